//! The token of Laravel's own `token` guard: in the query, as bearer, or as the password of `Basic`.
//!
//! Its own file, because of the order of `Illuminate\Auth\TokenGuard`. A token in the body, which the guard would take
//! before a bearer, is not seen: bodies pass through unread.

use std::borrow::Cow;

use http::HeaderMap;

use super::{Presented, authorization};
use crate::identity::key::TokenDigest;
use crate::identity::{Key, Unresolved, query};

/// A token of more bytes fits into no `varchar(255)`.
const TOKEN_LIMIT: usize = 255;

/// `target` is the request's path and query as they came. `is_hashed`: the column holds SHA-256.
pub fn read<'a>(
    headers: &'a HeaderMap,
    target: &'a str,
    input_key: &str,
    is_hashed: bool,
) -> Result<Presented<'a>, Unresolved> {
    let in_query = match query::find(input_key, target) {
        Err(Unresolved::NoProof) => None,
        found => present(found?),
    };
    let token = match in_query {
        Some(token) => token,
        None => in_header(headers)?,
    };
    if token.len() > TOKEN_LIMIT || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Unresolved::Malformed);
    }
    let key = Key::Token(TokenDigest::of(token.as_bytes()));
    Ok(Presented {
        key,
        text: (!is_hashed).then_some(token),
    })
}

fn in_header(headers: &HeaderMap) -> Result<Cow<'_, str>, Unresolved> {
    let header = authorization::read(headers)?;
    match authorization::bearer(header) {
        Err(Unresolved::NoProof) => authorization::basic_password(header)
            .and_then(|password| present(Cow::Owned(password)).ok_or(Unresolved::NoProof)),
        found => present(Cow::Borrowed(found?)).ok_or(Unresolved::NoProof),
    }
}

/// PHP's `empty`, by which the guard goes on to the next place.
fn present(token: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!token.is_empty() && token != "0").then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;
    use proptest::prelude::*;

    use super::*;

    fn seen(target: &str, header: &str) -> Result<String, Unresolved> {
        let mut headers = HeaderMap::new();
        if !header.is_empty() {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        }
        read(&headers, target, "api_token", false).map(|it| it.text.unwrap().into_owned())
    }

    #[test]
    fn the_query_comes_before_the_bearer_and_the_bearer_before_the_password() {
        assert_eq!(seen("/a?api_token=q&b=1", "Bearer b"), Ok("q".to_owned()));
        assert_eq!(seen("/a?b=1", "Bearer b"), Ok("b".to_owned()));
        assert_eq!(seen("/a", "Basic dTpw"), Ok("p".to_owned()));
        for empty in ["/a?api_token=", "/a?api_token", "/a?api_token=0", "/a?"] {
            assert_eq!(seen(empty, "Bearer b"), Ok("b".to_owned()), "{empty}");
        }
        assert_eq!(seen("/a", ""), Err(Unresolved::NoProof));
    }

    #[test]
    fn what_php_decodes_is_decoded() {
        assert_eq!(seen("/a?api%5Ftoken=a%2Db", ""), Ok("a-b".to_owned()));
        assert_eq!(seen("/a?api_token=a=b", ""), Ok("a=b".to_owned()));
    }

    #[test]
    fn a_second_parameter_that_php_reads_as_ours_makes_it_ambiguous() {
        for query in [
            "api_token=a&api_token=b",
            "api_token=a&api+token=b",
            "api_token=a&+api_token=b",
            "api_token=a&api_token[x]=b",
        ] {
            let target = format!("/a?{query}");
            assert_eq!(
                seen(&target, "Bearer c"),
                Err(Unresolved::Ambiguous),
                "{query}"
            );
        }
    }

    #[test]
    fn a_hashed_token_is_asked_by_its_digest_alone() {
        let headers = HeaderMap::new();
        let presented = read(&headers, "/a?api_token=abc", "api_token", true).unwrap();
        assert_eq!(presented.text, None);
        assert_eq!(presented.key, Key::Token(TokenDigest::of(b"abc")));
        assert_eq!(format!("{presented:?}"), "***");
    }

    #[test]
    fn what_no_column_could_hold_is_malformed() {
        for token in [
            "a".repeat(256),
            "a%20b".to_owned(),
            "%C3%A4".to_owned(),
            "%ff".to_owned(),
        ] {
            let target = format!("/?api_token={token}");
            assert_eq!(seen(&target, ""), Err(Unresolved::Malformed), "{token}");
        }
    }

    proptest! {
        #[test]
        fn no_target_makes_it_panic(target in ".{0,80}") {
            let _ = seen(&target, "");
        }
    }
}
