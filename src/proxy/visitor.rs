//! The visitor's cookie: what a split by session keeps together.
//!
//! Its own file, because it is the one thing that ficus ever puts into a browser (docs/adr/0181).

use http::{HeaderMap, HeaderName, HeaderValue, header};
use rand::Rng;

/// Letters of an id: six bits each, 128 and some in all.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LENGTH: usize = 22;
const NAME: &str = "ficus_split";
/// A year: longer than a migration, and what browsers allow.
const MAX_AGE: u32 = 31_536_000;

static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A visitor, and whether the browser is still to be told who it is.
pub struct Visitor {
    pub id: String,
    pub is_new: bool,
}

/// Who the cookies say it is, or somebody new. A value that is none of ours is as good as none.
pub fn visitor(headers: &HeaderMap) -> Visitor {
    match named(headers) {
        Some(id) => Visitor {
            id: id.to_owned(),
            is_new: false,
        },
        None => {
            let mut random = rand::rng();
            let letter = |_| char::from(LETTERS[random.random_range(0..LETTERS.len())]);
            Visitor {
                id: (0..LENGTH).map(letter).collect(),
                is_new: true,
            }
        }
    }
}

/// The id in the cookies, if there is one.
pub fn named(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='));
    let is_ours =
        |value: &&str| value.len() == LENGTH && value.bytes().all(|b| LETTERS.contains(&b));
    values.find(is_ours)
}

/// For this host alone, not for scripts, not with requests that other sites make but for links; over TLS only where the client
/// came over it, by our own door or by a trusted peer's word.
pub fn set_cookie(id: &str, headers: &HeaderMap, tls: bool, trusted: bool) -> Option<HeaderValue> {
    let said = headers.get(&X_FORWARDED_PROTO).filter(|_| trusted);
    let secure = tls || said.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"https"));
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{NAME}={id}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(cookies: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in cookies {
            headers.append(header::COOKIE, line.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_visitor_who_has_the_cookie_is_the_same_again() {
        let first = visitor(&with(&["a=b"]));
        assert!(first.is_new);
        let line = format!("a=b; ficus_split={}; c=d", first.id);
        let again = visitor(&with(&["x=y", &line]));
        assert_eq!((again.id, again.is_new), (first.id, false));
    }

    #[test]
    fn a_value_that_is_none_of_ours_is_as_good_as_none() {
        for line in [
            "ficus_split=",
            "ficus_split=short",
            "ficus_split=abcdefghijklmnopqrstu|",
            "xficus_split=abcdefghijklmnopqrstuv",
        ] {
            assert_eq!(named(&with(&[line])), None, "{line}");
        }
    }

    #[test]
    fn the_cookie_is_the_hosts_own_and_no_scripts() {
        let text = |tls, trusted| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
            let cookie = set_cookie("id", &headers, tls, trusted).unwrap();
            cookie.to_str().unwrap().to_owned()
        };
        let plain = "ficus_split=id; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax";
        assert_eq!(text(false, false), plain);
        assert_eq!(text(true, false), format!("{plain}; Secure"));
        assert_eq!(text(false, true), format!("{plain}; Secure"));
    }
}
