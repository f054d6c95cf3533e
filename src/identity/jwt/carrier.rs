//! Where a head carries a token: `Authorization: Bearer` (RFC 6750, 2.1), or a cookie.
//!
//! Its own file, because a head that carries two carries none: which one counts would be the next reader's taste.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use crate::identity::Unresolved;

const SCHEME: &str = "Bearer";

/// The token in `Authorization`, else in the cookie of this name. Credentials of another scheme are no token.
pub fn find<'h>(headers: &'h HeaderMap, cookie: Option<&str>) -> Result<&'h str, Unresolved> {
    match (bearer(headers), cookie) {
        (Err(Unresolved::NoProof), Some(name)) => in_cookie(headers, name),
        (found, _) => found,
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Unresolved> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let header = all.next().ok_or(Unresolved::NoProof)?;
    if all.next().is_some() {
        return Err(Unresolved::Ambiguous);
    }
    let header = header.to_str().map_err(|_| Unresolved::Malformed)?;
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(Unresolved::NoProof);
    }
    match token.trim_start_matches(' ') {
        "" => Err(Unresolved::Malformed),
        token => Ok(token),
    }
}

/// Emptied is how applications take a cookie back.
fn in_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Unresolved> {
    let mut values = headers
        .get_all(COOKIE)
        .into_iter()
        .flat_map(|header| header.as_bytes().split(|b| *b == b';'))
        .filter_map(|pair| {
            let pair = pair.trim_ascii();
            pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
        })
        .filter(|value| !value.is_empty());
    let value = values.next().ok_or(Unresolved::NoProof)?;
    // A neighbouring host may have set the other one.
    if values.next().is_some() {
        return Err(Unresolved::Ambiguous);
    }
    std::str::from_utf8(value).map_err(|_| Unresolved::Malformed)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn found(lines: &[(HeaderName, &str)]) -> Result<String, Unresolved> {
        find(&headers(lines), Some("jwt")).map(str::to_owned)
    }

    #[test]
    fn the_scheme_has_no_case_and_the_token_has() {
        for line in ["Bearer a.B.c", "bearer a.B.c", "BEARER   a.B.c"] {
            assert_eq!(found(&[(AUTHORIZATION, line)]), Ok("a.B.c".to_owned()));
        }
    }

    #[test]
    fn other_credentials_are_no_token_and_leave_the_cookie_to_speak() {
        for line in [
            "Basic dTpw",
            "Bearers a.b.c",
            "Token a.b.c",
            "Basic x, Bearer a.b.c",
            "",
        ] {
            assert_eq!(
                found(&[(AUTHORIZATION, line)]),
                Err(Unresolved::NoProof),
                "{line}"
            );
            let both = [(AUTHORIZATION, line), (COOKIE, "jwt=x.y.z")];
            assert_eq!(found(&both), Ok("x.y.z".to_owned()));
        }
    }

    #[test]
    fn a_bearer_without_a_token_is_malformed() {
        for line in ["Bearer", "Bearer ", "Bearer   ", "Bearer \u{e4}"] {
            assert_eq!(
                found(&[(AUTHORIZATION, line)]),
                Err(Unresolved::Malformed),
                "{line}"
            );
        }
    }

    #[test]
    fn two_of_a_kind_are_ambiguous_even_when_they_agree() {
        let twice = [
            (AUTHORIZATION, "Bearer a.b.c"),
            (AUTHORIZATION, "Bearer a.b.c"),
        ];
        assert_eq!(found(&twice), Err(Unresolved::Ambiguous));
        let mixed = [
            (AUTHORIZATION, "Basic a"),
            (AUTHORIZATION, "Bearer a.b.c"),
            (COOKIE, "jwt=a.b.c"),
        ];
        assert_eq!(found(&mixed), Err(Unresolved::Ambiguous));
        for lines in [
            &[(COOKIE, "jwt=a; jwt=a")][..],
            &[(COOKIE, "jwt=a"), (COOKIE, "jwt=b")],
        ] {
            assert_eq!(found(lines), Err(Unresolved::Ambiguous));
        }
    }

    #[test]
    fn the_cookie_is_found_by_its_whole_name() {
        assert_eq!(
            found(&[(COOKIE, "a=1; jwt=x.y.z ;b=2")]),
            Ok("x.y.z".to_owned())
        );
        for line in ["xjwt=a", "jwt2=a", "JWT=a", "jwt", "jwt=", "a=jwt=b"] {
            assert_eq!(found(&[(COOKIE, line)]), Err(Unresolved::NoProof), "{line}");
        }
        assert_eq!(
            find(&headers(&[(COOKIE, "jwt=a")]), None),
            Err(Unresolved::NoProof)
        );
    }
}
