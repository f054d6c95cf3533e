//! Laravel Sanctum's personal access tokens: `{id}|{secret}`, or the secret alone.
//!
//! Its own file, because of its form. `PersonalAccessToken::findToken` of Sanctum 2 looks the row up by the id and
//! compares the hash, or looks it up by the hash; the first is what every token has that Sanctum shows today.

use http::HeaderMap;

use super::authorization;
use crate::identity::key::TokenDigest;
use crate::identity::{Key, Unresolved};

/// `Str::random(40)` in Sanctum 2; later versions may put a prefix before and a checksum behind.
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 40..=128;

/// Digits of an id: those of any bigint, less one that might overflow.
const ID_DIGITS: usize = 18;

pub fn read(headers: &HeaderMap) -> Result<Key, Unresolved> {
    parse(authorization::bearer(authorization::read(headers)?)?)
}

fn parse(token: &str) -> Result<Key, Unresolved> {
    let Some((id, secret)) = token.split_once('|') else {
        // Without the bar it may be anybody's: a JWT, another service's key.
        let key = of_secret(None, token);
        return key.ok_or(Unresolved::Unrecognised);
    };
    let is_id = (1..=ID_DIGITS).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit());
    if !is_id {
        return Err(Unresolved::Malformed);
    }
    let id = id.parse().map_err(|_| Unresolved::Malformed)?;
    of_secret(Some(id), secret).ok_or(Unresolved::Malformed)
}

fn of_secret(id: Option<i64>, secret: &str) -> Option<Key> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_secret = SECRET_LENGTHS.contains(&secret.len()) && secret.bytes().all(fits);
    is_secret.then(|| Key::Sanctum {
        id,
        digest: TokenDigest::of(secret.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_secret_is_what_follows_the_bar() {
        let secret = "B".repeat(40);
        let digest = TokenDigest::of(secret.as_bytes());
        assert_eq!(
            parse(&format!("17|{secret}")),
            Ok(Key::Sanctum {
                id: Some(17),
                digest
            })
        );
        assert_eq!(parse(&secret), Ok(Key::Sanctum { id: None, digest }));
    }

    #[test]
    fn one_secret_under_two_ids_is_two_keys() {
        let secret = "B".repeat(40);
        assert_ne!(parse(&format!("1|{secret}")), parse(&format!("2|{secret}")));
    }

    #[test]
    fn a_bar_makes_it_sanctums_and_what_is_wrong_then_is_malformed() {
        let secret = "B".repeat(40);
        for token in [
            format!("|{secret}"),
            format!("x|{secret}"),
            format!("-1|{secret}"),
            format!("9999999999999999999|{secret}"),
            format!("1|1|{secret}"),
            "1|short".to_owned(),
            format!("1|{}", "B".repeat(129)),
        ] {
            assert_eq!(parse(&token), Err(Unresolved::Malformed), "{token}");
        }
    }

    #[test]
    fn another_kind_of_bearer_is_left_to_others() {
        for token in ["a.b.c", "short", &format!("{}.x.y", "e".repeat(60))] {
            assert_eq!(parse(token), Err(Unresolved::Unrecognised), "{token}");
        }
    }

    proptest! {
        #[test]
        fn no_token_makes_it_panic(token in ".{0,80}") {
            let _ = parse(&token);
        }
    }
}
