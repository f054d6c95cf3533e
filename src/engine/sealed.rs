//! Providers' credentials at rest: sealed with a key that the database does not have.
//!
//! Its own file, because it is the one place where such a key is used. AES-256-GCM, with a random nonce for each text, and
//! the tenant and the credential's name as associated data: a row that is copied to another tenant does not open there.
//!
//! A sealed text is `ficus1.{key id}.{base64url of nonce, ciphertext and tag}`. The key's id is in it, so that keys are
//! rotated by putting a new one first: the old one still opens, until every text has been sealed anew.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::TryRngCore;
use rand::rngs::OsRng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::ids::TenantId;
use crate::secret::Secret;

const VERSION: &str = "ficus1";
const KEY_BYTES: usize = 32;
const KEY_ID_LIMIT: usize = 32;
/// The name of the password of a tenant's mail server.
pub const SMTP_PASSWORD: &str = "smtp/password";
/// Bytes of a credential: a private key in PEM has some 3 KiB.
pub const TEXT_LIMIT: usize = 64 * 1024;

/// The keys, the first of which seals. It does not print.
pub struct Keyring(Vec<(String, LessSafeKey)>);

/// What is wrong with a key file. It says the line, and not what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyring {
    #[error(
        "line {0}: expected an id of a-z, 0-9, '-' and '_', a colon, and the base64 of {KEY_BYTES} bytes"
    )]
    Line(usize),
    #[error("line {0}: an id that stands above already")]
    Twice(usize),
    #[error(
        "there is no key in it: expected a line such as \"2026a:\" and the base64 of {KEY_BYTES} random bytes"
    )]
    Empty,
}

/// Why a credential cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is no sealed credential")]
    Malformed,
    #[error("it was sealed with the key {0:?}, which is not among the keys")]
    UnknownKey(String),
    #[error("it does not open: changed, or sealed for another tenant or another name")]
    Refused,
    #[error("it is longer than {TEXT_LIMIT} bytes")]
    TooLong,
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// Whose credential it is, and which.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub tenant: TenantId,
    /// Such as `smtp/7/password`.
    pub name: &'a str,
}

impl Keyring {
    /// A line for each key, `id:base64`, the one that seals first; empty lines and what begins with `#` are skipped.
    /// One key from the environment is a text of one line.
    pub fn parse(text: &Secret) -> Result<Self, BadKeyring> {
        let mut keys: Vec<(String, LessSafeKey)> = Vec::new();
        for (number, line) in text.reveal().lines().enumerate() {
            let (number, line) = (number + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (id, key) = parse_key(line).ok_or(BadKeyring::Line(number))?;
            if keys.iter().any(|(known, _)| known == id) {
                return Err(BadKeyring::Twice(number));
            }
            keys.push((id.to_owned(), key));
        }
        match keys.is_empty() {
            true => Err(BadKeyring::Empty),
            false => Ok(Self(keys)),
        }
    }

    pub fn seal(&self, place: Place<'_>, text: &Secret) -> Result<String, Fault> {
        let text = text.reveal();
        if text.len() > TEXT_LIMIT {
            return Err(Fault::TooLong);
        }
        // There is one: a keyring without keys is not made.
        let (id, key) = self.0.first().ok_or(Fault::UnknownKey(String::new()))?;
        let mut nonce = [0; NONCE_LEN];
        OsRng
            .try_fill_bytes(&mut nonce)
            .map_err(|_| Fault::NoRandomness)?;
        let mut sealed = text.as_bytes().to_vec();
        let about = Aad::from(about(place, id));
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), about, &mut sealed)
            .map_err(|_| Fault::TooLong)?;
        sealed.splice(0..0, nonce);
        Ok(format!("{VERSION}.{id}.{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<Secret, Fault> {
        let (id, bytes) = split(sealed)?;
        let mut bytes = URL_SAFE_NO_PAD
            .decode(bytes)
            .map_err(|_| Fault::Malformed)?;
        let (_, key) = self
            .0
            .iter()
            .find(|(known, _)| known == id)
            .ok_or_else(|| Fault::UnknownKey(id.to_owned()))?;
        let (nonce, text) = bytes
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or(Fault::Malformed)?;
        let about = Aad::from(about(place, id));
        let text = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), about, text)
            .map_err(|_| Fault::Refused)?;
        let text = std::str::from_utf8(text).map_err(|_| Fault::Malformed)?;
        Ok(Secret::new(text))
    }

    /// Whether it was sealed with another key than the one that seals now: seal it anew.
    pub fn is_outdated(&self, sealed: &str) -> bool {
        let first = self.0.first().map(|(id, _)| id.as_str());
        split(sealed).is_ok_and(|(id, _)| Some(id) != first)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.iter().map(|(id, _)| id);
        f.debug_tuple("Keyring")
            .field(&ids.collect::<Vec<_>>())
            .finish()
    }
}

fn parse_key(line: &str) -> Option<(&str, LessSafeKey)> {
    let (id, key) = line.split_once(':')?;
    if !is_key_id(id) {
        return None;
    }
    let key = STANDARD.decode(key.trim()).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &key).ok()?;
    Some((id, LessSafeKey::new(key)))
}

fn is_key_id(id: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=KEY_ID_LIMIT).contains(&id.len()) && id.bytes().all(fits)
}

/// The key's id and what was sealed with it.
fn split(sealed: &str) -> Result<(&str, &str), Fault> {
    // A third more for base64, and room for the rest.
    if sealed.len() > TEXT_LIMIT / 3 * 4 + 200 {
        return Err(Fault::TooLong);
    }
    let rest = sealed
        .strip_prefix(VERSION)
        .and_then(|rest| rest.strip_prefix('.'));
    let (id, bytes) = rest
        .and_then(|rest| rest.split_once('.'))
        .ok_or(Fault::Malformed)?;
    match is_key_id(id) {
        true => Ok((id, bytes)),
        false => Err(Fault::Malformed),
    }
}

/// The associated data: each part behind its length, so that no two places read alike.
fn about(place: Place<'_>, key_id: &str) -> Vec<u8> {
    let tenant = place.tenant.0.to_string();
    let mut about = Vec::new();
    for part in [VERSION, key_id, &tenant, place.name] {
        about.extend((part.len() as u64).to_be_bytes());
        about.extend(part.as_bytes());
    }
    about
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; KEY_BYTES]))
    }

    fn keyring(lines: &[String]) -> Keyring {
        Keyring::parse(&Secret::new(lines.join("\n"))).unwrap()
    }

    fn place(tenant: i64, name: &str) -> Place<'_> {
        Place {
            tenant: TenantId(tenant),
            name,
        }
    }

    const PASSWORD: &str = "pässword";

    fn sealed(keys: &Keyring) -> String {
        keys.seal(place(2, "smtp/7"), &Secret::new(PASSWORD))
            .unwrap()
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_and_in_no_other() {
        let keys = keyring(&[line("a", 1)]);
        let sealed = sealed(&keys);
        let opened = keys.open(place(2, "smtp/7"), &sealed).unwrap();
        assert_eq!(opened.reveal(), PASSWORD);
        for other in [
            place(3, "smtp/7"),
            place(2, "smtp/8"),
            place(2, "smtp/"),
            place(27, "smtp/"),
        ] {
            assert_eq!(keys.open(other, &sealed).err(), Some(Fault::Refused));
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_alike() {
        let keys = keyring(&[line("a", 1)]);
        assert_ne!(sealed(&keys), sealed(&keys));
    }

    #[test]
    fn an_old_key_opens_and_a_new_one_seals() {
        let old = sealed(&keyring(&[line("a", 1)]));
        let both = keyring(&[
            "# since March".to_owned(),
            line("b", 2),
            String::new(),
            line("a", 1),
        ]);
        assert_eq!(
            both.open(place(2, "smtp/7"), &old).unwrap().reveal(),
            PASSWORD
        );
        assert!(both.is_outdated(&old));
        let new = sealed(&both);
        assert!(new.starts_with("ficus1.b."), "{new}");
        assert!(!both.is_outdated(&new));
        let only = keyring(&[line("b", 2)]);
        assert_eq!(
            only.open(place(2, "smtp/7"), &old).err(),
            Some(Fault::UnknownKey("a".to_owned()))
        );
        // The same id with other bytes is no key of it.
        let other = keyring(&[line("a", 3)]);
        assert_eq!(
            other.open(place(2, "smtp/7"), &old).err(),
            Some(Fault::Refused)
        );
    }

    #[test]
    fn any_changed_character_is_refused() {
        let keys = keyring(&[line("a", 1)]);
        let sealed = sealed(&keys);
        for at in 0..sealed.len() {
            let mut other = sealed.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert!(keys.open(place(2, "smtp/7"), &other).is_err(), "{other}");
        }
        for text in [
            "",
            "ficus1.a.",
            "ficus1.a.AAAA",
            "ficus2.a.AAAA",
            "ficus1..AAAA",
            "ficus1.a",
        ] {
            assert!(keys.open(place(2, "smtp/7"), text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bad_key_is_told_by_its_line() {
        let parse = |text: &str| Keyring::parse(&Secret::new(text)).err();
        let good = line("a", 1);
        assert_eq!(parse(""), Some(BadKeyring::Empty));
        assert_eq!(
            parse(&format!("{good}\na:short")),
            Some(BadKeyring::Line(2))
        );
        assert_eq!(parse(&good.replace("a:", "A:")), Some(BadKeyring::Line(1)));
        assert_eq!(parse(&good.replace("a:", "")), Some(BadKeyring::Line(1)));
        assert_eq!(
            parse(&format!("{good}\n\n{good}")),
            Some(BadKeyring::Twice(3))
        );
    }

    #[test]
    fn sizes_are_bounded() {
        let keys = keyring(&[line("a", 1)]);
        let longest = Secret::new("x".repeat(TEXT_LIMIT));
        let sealed = keys.seal(place(2, "n"), &longest).unwrap();
        assert!(keys.open(place(2, "n"), &sealed).is_ok());
        let longer = Secret::new("x".repeat(TEXT_LIMIT + 1));
        assert_eq!(keys.seal(place(2, "n"), &longer), Err(Fault::TooLong));
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(
            format!("{:?}", keyring(&[line("a", 1)])),
            "Keyring([\"a\"])"
        );
    }
}
