//! Texts that must not be seen: how they print, and how ours are made.
//!
//! Its own file, because a secret that some module keeps in a `String` is one `{:?}` away from the log.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// 192 random bits need no slow hash where they are stored.
const RANDOM_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 4;

/// It prints as `***`, wherever it is printed from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Each call is a place to look at in a review.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A fresh token: `prefix` and base64url of 24 random bytes and their checksum.
pub fn issue(prefix: &str) -> String {
    let random: [u8; RANDOM_BYTES] = rand::random();
    let mut bytes = random.to_vec();
    bytes.extend(checksum(prefix, &random));
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Right prefix, length and checksum: a typing error and a found string can be judged without a database.
pub fn is_issued(prefix: &str, text: &str) -> bool {
    let Some(encoded) = text.strip_prefix(prefix) else {
        return false;
    };
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(encoded) else {
        return false;
    };
    match bytes.split_at_checked(RANDOM_BYTES) {
        Some((random, sum)) => sum.ct_eq(&checksum(prefix, random)).into(),
        None => false,
    }
}

fn checksum(prefix: &str, random: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new()
        .chain_update(prefix)
        .chain_update(random)
        .finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issued_text_is_known_and_a_mistyped_one_is_not() {
        let text = issue("ficus_");
        assert!(is_issued("ficus_", &text));
        assert!(!is_issued("other_", &text.replace("ficus_", "other_")));
        let last = text.len() - 3;
        let other = if text.as_bytes()[last] == b'A' {
            "B"
        } else {
            "A"
        };
        let mistyped = format!("{}{other}{}", &text[..last], &text[last + 1..]);
        assert!(!is_issued("ficus_", &mistyped), "{mistyped}");
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
