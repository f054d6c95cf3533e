//! The tenant from a segment of the path, and the one form in which paths are compared.
//!
//! Its own file, because the proxy's routes need the same form: two readings of one path are a way around a rule.

use std::borrow::Cow;

use matchit::Router;

use super::{Named, Unresolved};

const PARAMETER: &str = "tenant";

/// The form in which paths are compared: percent-encoding undone, empty and dot segments resolved, no slash at
/// the end. This is how Laravel and PHP's servers read a path, so `/campaign%2Fx` and `//campaign/x/` are `/campaign/x`.
/// Bytes that are no UTF-8 become U+FFFD, which no pattern names.
pub fn normal_path(target: &str) -> Cow<'_, str> {
    let (path, is_normal) = path_alone(target);
    if is_normal {
        return Cow::Borrowed(path);
    }
    let decoded = decode_percent(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    Cow::Owned(format!("/{}", segments.join("/")))
}

/// The path without query and fragment, and whether it is in normal form already, as nearly every one is: told in one
/// pass over its bytes.
fn path_alone(target: &str) -> (&str, bool) {
    let mut is_normal = target.starts_with('/');
    let mut before = 0;
    let mut end = target.len();
    for (place, byte) in target.bytes().enumerate() {
        match byte {
            b'?' | b'#' => {
                end = place;
                break;
            }
            b'%' => is_normal = false,
            b'/' | b'.' if before == b'/' => is_normal = false,
            _ => {}
        }
        before = byte;
    }
    let path = target.get(..end).unwrap_or(target);
    (path, is_normal && (end == 1 || before != b'/'))
}

/// A `%` without two hexadecimal digits stands for itself, as it does to PHP.
pub(super) fn decode_percent(text: &str) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|d| d as u8);
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let pair = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// `/t/{tenant}/{*rest}`: as a route's path, with one segment or a part of one that is the tenant.
#[derive(Clone)]
pub struct PathPattern(Router<()>);

impl PathPattern {
    /// The fault as a sentence without its subject, for the caller to prefix with the key.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "{pattern:?} is no path pattern: expected a path with {{tenant}} in it, such as \"/t/{{tenant}}/{{*rest}}\""
            )
        };
        if !pattern.starts_with('/') || !pattern.contains("{tenant}") {
            return Err(fault());
        }
        let mut router = Router::new();
        router
            .insert(normal_path(pattern), ())
            .map_err(|_| fault())?;
        Ok(Self(router))
    }

    pub(super) fn resolve<'a>(&self, target: &'a str) -> Result<Named<'a>, Unresolved> {
        let name = match normal_path(target) {
            Cow::Borrowed(path) => self.tenant(path).map(Named::parse),
            Cow::Owned(path) => self
                .tenant(&path)
                .map(|name| Named::parse(name).map(Named::into_owned)),
        };
        name.ok_or(Unresolved::NoProof)?
            .ok_or(Unresolved::Malformed)
    }

    fn tenant<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.0.at(path).ok()?.params.get(PARAMETER)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::TenantId;

    fn read(target: &str) -> Result<Named<'_>, Unresolved> {
        PathPattern::parse("/t/{tenant}/{*rest}")
            .unwrap()
            .resolve(target)
    }

    fn acme() -> Result<Named<'static>, Unresolved> {
        Ok(Named::Slug("acme".into()))
    }

    #[test]
    fn one_segment_stands_for_the_tenant() {
        assert_eq!(read("/t/acme/orders?page=2"), acme());
        assert_eq!(read("/t/42/orders"), Ok(Named::Id(TenantId(42))));
    }

    #[test]
    fn the_segment_is_read_in_the_form_in_which_routes_are_compared() {
        for target in [
            "/t/%61cme/x",
            "//t/acme//x/",
            "/t/other/../acme/x",
            "/t%2Facme%2Fx",
            "/./t/ACME/x",
        ] {
            assert_eq!(read(target), acme(), "{target}");
        }
    }

    #[test]
    fn other_paths_are_no_proof() {
        for target in [
            "/",
            "/t",
            "/t/acme",
            "/t/acme/",
            "/u/acme/x",
            "*",
            "",
            "/?x=/t/acme/x",
        ] {
            assert_eq!(read(target), Err(Unresolved::NoProof), "{target}");
        }
    }

    #[test]
    fn a_segment_that_is_no_tenant_is_malformed() {
        for target in ["/t/9x/a", "/t/%ff/a", "/t/a%00/a", "/t/a%20b/a", "/t/0/a"] {
            assert_eq!(read(target), Err(Unresolved::Malformed), "{target}");
        }
    }

    #[test]
    fn a_pattern_must_be_a_path_with_a_tenant() {
        for pattern in [
            "",
            "/t",
            "t/{tenant}",
            "/t/{other}",
            "/t/{*tenant}",
            "/{tenant}{x}",
            "/{tenant}/{tenant",
            "/{tenant}/{*rest}/x",
        ] {
            assert!(PathPattern::parse(pattern).is_err(), "{pattern:?}");
        }
    }

    proptest! {
        #[test]
        fn a_path_in_normal_form_is_known_at_sight(target in "/?[a.%é/]{0,9}[?#]?[a/.%]{0,3}") {
            let path = target.split(['?', '#']).next().unwrap_or_default();
            let is_normal = path.starts_with('/')
                && !["%", "//", "/."].iter().any(|other| path.contains(other))
                && (path.len() == 1 || !path.ends_with('/'));
            prop_assert_eq!(path_alone(&target), (path, is_normal));
        }

        #[test]
        fn the_normal_form_is_normal(path in "/[a-z%./2eEfF]{0,40}") {
            let once = normal_path(&path).into_owned();
            prop_assert!(once.starts_with('/'));
            prop_assert!(!once.contains("//") && !once.split('/').any(|s| s == "." || s == ".."));
            prop_assert!(once.len() == 1 || !once.ends_with('/'));
            // A second reading may undo a second layer of encoding, but finds nothing else to do.
            if !once.contains('%') {
                prop_assert_eq!(normal_path(&once), once.as_str());
            }
        }

        #[test]
        fn a_slug_is_given_back_however_it_is_encoded(slug in "[a-z][a-z0-9_-]{0,20}", encoded in prop::collection::vec(any::<bool>(), 21)) {
            let spelt: String = slug.bytes().zip(encoded).map(|(b, encode)| match encode {
                true => format!("%{b:02x}"),
                false => char::from(b).to_string(),
            }).collect();
            let target = format!("/t/{spelt}/x");
            prop_assert_eq!(read(&target), Ok(Named::Slug(slug.as_str().into())));
        }

        #[test]
        fn no_target_panics(target in "\\PC{0,60}") {
            let _ = read(&target);
            let _ = PathPattern::parse(&target);
        }
    }
}
