//! An API key in a header of its own.
//!
//! Its own file, because ficus issues such keys itself: those have a checksum, so that what was mistyped or made up
//! is refused without a look-up.

use http::{HeaderMap, HeaderName};

use crate::identity::key::TokenDigest;
use crate::identity::{Key, Unresolved};
use crate::secret;

/// What ficus' own keys begin with. The underscore within keeps them apart from tokens of the admin API.
pub const PREFIX: &str = "ficus_key_";

/// Of keys that somebody else has issued.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=256;

/// `is_own`: only keys that ficus has issued.
pub fn read(headers: &HeaderMap, name: &HeaderName, is_own: bool) -> Result<Key, Unresolved> {
    let mut all = headers.get_all(name).iter();
    let text = all.next().ok_or(Unresolved::NoProof)?;
    if all.next().is_some() {
        return Err(Unresolved::Ambiguous);
    }
    let text = text.to_str().map_err(|_| Unresolved::Malformed)?;
    let fits = LENGTHS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !fits || (is_own && !secret::is_issued(PREFIX, text)) {
        return Err(Unresolved::Malformed);
    }
    Ok(Key::Token(TokenDigest::of(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-api-key");

    fn seen(values: &[&str], is_own: bool) -> Result<Key, Unresolved> {
        let headers = values
            .iter()
            .map(|value| (NAME, HeaderValue::from_str(value).unwrap()))
            .collect();
        read(&headers, &NAME, is_own)
    }

    #[test]
    fn an_issued_key_is_asked_by_its_digest() {
        let text = secret::issue(PREFIX);
        let key = Key::Token(TokenDigest::of(text.as_bytes()));
        assert_eq!(seen(&[&text], true), Ok(key));
        assert_eq!(seen(&[&text, &text], true), Err(Unresolved::Ambiguous));
        assert_eq!(seen(&[], true), Err(Unresolved::NoProof));
    }

    #[test]
    fn a_key_of_another_making_is_only_for_another_table() {
        let text = "sk_live_0123456789abcdef";
        assert_eq!(seen(&[text], true), Err(Unresolved::Malformed));
        assert!(seen(&[text], false).is_ok());
        for text in ["", "short", "with a blank inside", &"x".repeat(257)] {
            assert_eq!(seen(&[text], false), Err(Unresolved::Malformed), "{text}");
        }
    }

    #[test]
    fn a_token_of_the_admin_api_is_no_key() {
        assert_eq!(
            seen(&[&secret::issue("ficus_")], true),
            Err(Unresolved::Malformed)
        );
    }
}
