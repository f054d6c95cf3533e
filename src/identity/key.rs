//! What a proof is looked up by: small enough to be copied, and worthless in a log.
//!
//! Its own file, because the cache of answers, the stores and the readers of heads all speak of it.

use std::fmt;

use sha2::{Digest, Sha256};

use super::laravel::SessionId;

/// Bytes of a user's id in a session that have room: a bigint, a UUID and a ULID do.
const USER_LIMIT: usize = 47;

/// Prints as `***`: whoever knows most of these is that user.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    Session(SessionId),
    User(UserKey),
    /// SHA-256 of a token's text.
    Token(TokenDigest),
    /// SHA-256 of a Sanctum token's secret part, and the row's id where the token says it.
    Sanctum {
        id: Option<i64>,
        digest: TokenDigest,
    },
}

/// SHA-256: tokens are long and random, so no slow hash is needed, and none of them is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Lower-case hexadecimal, as Laravel stores it.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A user as a session's data names one, whether PHP has it as an integer or as a string.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserKey {
    length: u8,
    bytes: [u8; USER_LIMIT],
}

impl UserKey {
    /// `None`: empty, longer than 47 bytes, or not all visible ASCII.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; USER_LIMIT];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        let fits = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
        fits.then_some(Self {
            length: text.len() as u8,
            bytes,
        })
    }

    pub fn reveal(&self) -> &str {
        // ASCII by construction; no user has the empty id.
        let text = self.bytes.get(..usize::from(self.length));
        text.and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_one_that_sanctum_stores() {
        assert_eq!(
            TokenDigest::of(&[b'B'; 40]).hex(),
            "0bd73af61dd00a2be7bdcdff73d6efb3a88ef386ee53fe3edcce98813c1387d8"
        );
    }

    #[test]
    fn a_users_id_is_short_visible_ascii() {
        let longest = "9".repeat(USER_LIMIT);
        for id in ["7", "c0ffee00-0000-4000-8000-000000000000", &longest] {
            assert_eq!(UserKey::parse(id.as_bytes()).unwrap().reveal(), id);
        }
        for id in ["", " ", "a b", "ä", &format!("{longest}9")] {
            assert_eq!(UserKey::parse(id.as_bytes()), None, "{id}");
        }
    }

    #[test]
    fn no_key_prints() {
        let digest = TokenDigest::of(b"token");
        for key in [
            Key::Token(digest),
            Key::Sanctum {
                id: Some(5),
                digest,
            },
            Key::User(UserKey::parse(b"7").unwrap()),
        ] {
            assert_eq!(format!("{key:?}"), "***");
        }
        assert_eq!(format!("{digest:?}"), "***");
    }
}
