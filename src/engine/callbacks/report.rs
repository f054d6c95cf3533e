//! What a callback comes to: a report that is believed, or why it is not.
//!
//! Its own file, because four vendors' files end in it, and it begins what is written down.

use sha2::{Digest, Sha256};

use super::rank::{Cause, Delivery};

/// Bytes of what is kept of a vendor's own words.
const WORD_LIMIT: usize = 40;
const PART_LIMIT: usize = 128;

/// Why a callback changes nothing. As the metric has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing, or the wrong thing, was signed.
    Forged,
    /// Signed, and too long ago or in the future.
    Stale,
    /// It was believed before.
    Replayed,
    /// Signed by an algorithm that is not the account's.
    Algorithm,
    /// A vendor that signs did not. It says that this happens, and sends again what is answered by 5xx.
    Unsigned,
    /// About another message than its address says.
    Misaddressed,
    /// Good, and no report: what a vendor says of other things, or in words that are newer than ours.
    Ignored,
    Unreadable,
}

impl Refused {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::Algorithm => "algorithm",
            Self::Unsigned => "unsigned",
            Self::Misaddressed => "misaddressed",
            Self::Ignored => "ignored",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One report on one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The vendor's name for what it is about.
    pub reference: String,
    /// The same, where a message has several of them; else empty.
    pub part: String,
    /// The vendor's word.
    pub said: String,
    pub delivery: Delivery,
    /// Empty: the vendor gave none.
    pub code: String,
    pub cause: Cause,
    /// What makes it this report and no other.
    pub digest: [u8; 32],
}

impl Report {
    /// Of nothing that was said of it yet but its name. `identity`: the nonce, or all that was signed.
    pub fn about(reference: &str, said: &str, delivery: Delivery, identity: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in identity {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self {
            reference: cut(reference, PART_LIMIT),
            part: String::new(),
            said: cut(said, WORD_LIMIT),
            delivery,
            code: String::new(),
            cause: Cause::None,
            digest: digest.finalize().into(),
        }
    }

    pub fn coded(self, code: &str, cause: Cause) -> Self {
        let code = cut(code, WORD_LIMIT);
        Self {
            code,
            cause,
            ..self
        }
    }

    /// It is about a part that has a name of its own.
    pub fn of_part(self) -> Self {
        Self {
            part: self.reference.clone(),
            ..self
        }
    }
}

/// Visible ASCII alone: what else stood there was not a vendor's word.
fn cut(text: &str, limit: usize) -> String {
    let fits = text.chars().filter(char::is_ascii_graphic);
    fits.take(limit).collect()
}
