//! DKIM signatures (RFC 6376, with RFC 8301 and RFC 8463): who sent a mail, in a form that receivers can check.
//!
//! Its own folder, because it is pure and knows nothing of our mails: bytes and a time go in, a header field comes out.
//! [`canon`] is what relays may not change, [`head`] which fields are signed, [`key`] the keys, [`signers`] who signs for whom.
//!
//! relaxed/relaxed, so that a relay may fold and space anew; no `l=`, under which anybody may add to a body; no `x=`, since a
//! mail may wait; no `i=`, which is then the domain. The time is the message's own, and neither algorithm draws a random number:
//! an attempt that is repeated sends the same bytes. Our own and not a crate's: those bring a verifier, a resolver and a second
//! set of ciphers, and what is needed is these few files over ring.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ring::digest;

pub mod canon;
pub mod head;
pub mod key;
pub mod signers;

pub use key::BadKey;
pub use signers::{Signers, Source};

use super::lines;
use crate::engine::address;
use crate::secret::Secret;
use head::Head;
use key::Key;

/// Bytes of a line that we write, beside the space that it begins with (RFC 5322, 2.1.1, advises 78). A domain or a selector
/// may be longer than that: it is not folded.
const LINE_BYTES: usize = 76;
/// Bytes of a selector.
const SELECTOR_LIMIT: usize = 63;
/// Bytes of a domain: with any selector and "._domainkey." it is a name in DNS, which has 253 (RFC 1035, 2.3.4).
const DOMAIN_LIMIT: usize = 178;

/// Signs for one domain. Its key does not print.
pub struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

/// Why there is no signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSigner {
    #[error("the domain {EXPECTED_DOMAIN}")]
    Domain,
    #[error("the selector {EXPECTED_SELECTOR}")]
    Selector,
    #[error("the key {0}")]
    Key(#[from] BadKey),
}

/// What a domain must be, as a predicate.
pub const EXPECTED_DOMAIN: &str = "is no domain; expected at most 178 bytes of lower-case ASCII with a dot, such as \"example.com\"";
/// What a selector must be, as a predicate.
pub const EXPECTED_SELECTOR: &str =
    "is no selector; expected at most 63 letters, digits, hyphens and dots, such as \"2026a\"";

/// Why a mail is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it has a bare CR or LF, a NUL, or a line of more than 998 bytes")]
    Lines,
    #[error("its head has a line that is no field")]
    Head,
    #[error("it has no From, or more than one")]
    From,
    #[error("the key made no signature")]
    Key,
}

impl Signer {
    pub fn new(domain: &str, selector: &str, key: &Secret) -> Result<Self, BadSigner> {
        if !is_domain(domain) {
            return Err(BadSigner::Domain);
        }
        if !is_selector(selector) {
            return Err(BadSigner::Selector);
        }
        Ok(Self {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            key: Key::parse(key)?,
        })
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The field `DKIM-Signature`, folded, with its CRLF: to be put in front of the mail, which ends its lines with CRLF.
    pub fn sign(&self, mail: &[u8], at: DateTime<Utc>) -> Result<String, Fault> {
        lines::check(mail).map_err(|_| Fault::Lines)?;
        let (head, body) = Head::split(mail)?;
        let names = head.signed_names()?;
        let mut field = self.unsigned(&names, &hash_body(body), at);
        let signature = self.key.sign(&signed_bytes(&head, &names, &field))?;
        push_folded(&mut field, &STANDARD.encode(signature));
        Ok(field + "\r\n")
    }

    /// The field up to its `b=`, which is over all the others.
    fn unsigned(&self, names: &[&str], body_hash: &str, at: DateTime<Utc>) -> String {
        // Digits only, at most twelve.
        let at = at.timestamp().clamp(0, 999_999_999_999);
        let Self {
            domain, selector, ..
        } = self;
        let algorithm = self.key.algorithm();
        let names = fold_names(names);
        format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; t={at};\r\n d={domain};\r\n s={selector};\r\n \
             {names};\r\n bh={body_hash};\r\n b="
        )
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .field("key", &format_args!("***"))
            .finish()
    }
}

/// As our addresses have them, and at least two labels, as `d=` wants.
pub fn is_domain(text: &str) -> bool {
    let ascii = address::ascii_domain(text);
    text.contains('.') && text.len() <= DOMAIN_LIMIT && ascii.is_ok_and(|ascii| ascii == text)
}

pub fn is_selector(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= SELECTOR_LIMIT && text.split('.').all(is_label)
}

/// `bh=`.
fn hash_body(body: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    canon::relax_body(body, |piece| hash.update(piece));
    STANDARD.encode(hash.finish())
}

/// What the key signs: the fields, then the signature's own without the value of its `b=` and without a CRLF.
fn signed_bytes(head: &Head<'_>, names: &[&str], unsigned: &str) -> Vec<u8> {
    let mut bytes = head.relaxed(names);
    let (name, value) = unsigned.split_once(':').unwrap_or((unsigned, ""));
    canon::relax_field(name.as_bytes(), value.as_bytes(), &mut bytes);
    bytes
}

fn fold_names(names: &[&str]) -> String {
    let (mut folded, mut line) = (String::new(), "h=".to_owned());
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            line.push(':');
        }
        // The colon, or the semicolon at the end, stands on the same line.
        if line.len() + name.len() + 1 > LINE_BYTES {
            folded += &line;
            folded += "\r\n ";
            line.clear();
        }
        line += name;
    }
    folded + &line
}

/// Base64 in lines; the first one has `b=` in front of it.
fn push_folded(field: &mut String, base64: &str) {
    let (first, mut rest) = base64.split_at(base64.len().min(LINE_BYTES - "b=".len()));
    field.push_str(first);
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE_BYTES));
        field.push_str("\r\n ");
        field.push_str(line);
        rest = behind;
    }
}

#[cfg(test)]
pub mod tests;
