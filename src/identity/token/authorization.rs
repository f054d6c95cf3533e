//! The `Authorization` header as Laravel 8 reads it.
//!
//! Its own file, because the grammar is Laravel's and PHP's and not RFC 9110's: what the legacy application would not
//! take as the token, we may not take either.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::identity::Unresolved;

/// The whole header. [`Unresolved::Ambiguous`] where it is there twice: which one counts is the web server's taste.
pub fn read(headers: &HeaderMap) -> Result<&str, Unresolved> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let header = all.next().ok_or(Unresolved::NoProof)?;
    if all.next().is_some() {
        return Err(Unresolved::Ambiguous);
    }
    header.to_str().map_err(|_| Unresolved::Malformed)
}

/// `Illuminate\Http\Request::bearerToken`: what follows the last `Bearer `, up to a comma. [`Unresolved::NoProof`] where
/// there is none.
pub fn bearer(header: &str) -> Result<&str, Unresolved> {
    let at = header.rfind("Bearer ").ok_or(Unresolved::NoProof)?;
    let token = header.get(at + 7..).unwrap_or_default();
    let token = token.split_once(',').map_or(token, |(token, _)| token);
    if token.is_empty() {
        return Err(Unresolved::NoProof);
    }
    Ok(token)
}

/// The password of `Basic`, as PHP takes it apart.
pub fn basic_password(header: &str) -> Result<String, Unresolved> {
    const SCHEME: &str = "Basic ";
    let (scheme, encoded) = header
        .split_at_checked(SCHEME.len())
        .ok_or(Unresolved::NoProof)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(Unresolved::NoProof);
    }
    let pair = STANDARD
        .decode(encoded)
        .map_err(|_| Unresolved::Malformed)?;
    let pair = String::from_utf8(pair).map_err(|_| Unresolved::Malformed)?;
    let (_, password) = pair.split_once(':').ok_or(Unresolved::Malformed)?;
    if password.is_empty() {
        return Err(Unresolved::NoProof);
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bearer_is_what_follows_the_last_mention_up_to_a_comma() {
        for (header, token) in [
            ("Bearer a", "a"),
            ("Bearer a,b", "a"),
            ("Basic x, Bearer a", "a"),
            ("Bearer Bearer a", "a"),
            ("XBearer a b", "a b"),
        ] {
            assert_eq!(bearer(header), Ok(token), "{header}");
        }
        for header in ["", "bearer a", "Bearer", "Bearer ", "Bearer ,a", "Basic a"] {
            assert_eq!(bearer(header), Err(Unresolved::NoProof), "{header}");
        }
    }

    #[test]
    fn the_basic_password_is_what_follows_the_first_colon() {
        assert_eq!(basic_password("Basic dTphOmI="), Ok("a:b".to_owned()));
        assert_eq!(basic_password("bAsIc dTphOmI="), Ok("a:b".to_owned()));
        assert_eq!(basic_password("Basic dTo="), Err(Unresolved::NoProof));
        for header in ["Basic dQ==", "Basic *", "Basic /w==", "Basic "] {
            assert_eq!(
                basic_password(header),
                Err(Unresolved::Malformed),
                "{header}"
            );
        }
        for header in ["", "Basic", "Bearer dTphOmI="] {
            assert_eq!(basic_password(header), Err(Unresolved::NoProof), "{header}");
        }
    }

    #[test]
    fn a_header_that_is_there_twice_is_ambiguous() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), Err(Unresolved::NoProof));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert_eq!(read(&headers), Ok("Bearer a"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_eq!(read(&headers), Err(Unresolved::Ambiguous));
    }

    proptest! {
        #[test]
        fn no_header_makes_a_reader_panic(header in ".{0,60}") {
            let _ = (bearer(&header), basic_password(&header));
        }
    }
}
