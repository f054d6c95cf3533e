//! The tenant from the host name, and the one form in which host names are compared.
//!
//! Its own file, because the proxy's routes need the same form: two readings of one Host are a way around a rule.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::{Named, Unresolved};

/// RFC 1035, section 2.3.4.
const NAME_LIMIT: usize = 253;
const LABEL_LIMIT: usize = 63;

const PLACE: &str = "{tenant}";

/// A Host header or an authority in the form in which hosts are compared: lower-case, without port, without one
/// trailing dot. An IPv6 literal keeps its brackets. `None`: no host name (bad bytes, an empty label, a bad port).
pub fn normalise_host(text: &str) -> Option<Cow<'_, str>> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (literal, port) = bracketed.split_once(']')?;
        literal.parse::<Ipv6Addr>().ok()?;
        if !(port.is_empty() || is_port(port.strip_prefix(':')?)) {
            return None;
        }
        return Some(lower_case(&text[..literal.len() + 2]));
    }
    let name = match text.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return None,
        None => text,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    is_name(name).then(|| lower_case(name))
}

/// In one pass, since every request asks.
fn is_name(name: &str) -> bool {
    let mut label = 0;
    for byte in name.bytes() {
        label = match byte {
            b'.' if label > 0 => 0,
            byte if is_host_byte(byte) && label < LABEL_LIMIT => label + 1,
            _ => return false,
        };
    }
    label > 0 && name.len() <= NAME_LIMIT
}

/// An empty port is a port to RFC 3986.
fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && (text.is_empty() || text.parse::<u16>().is_ok())
}

/// Letters, digits and '-', and '_', which no standard allows in a host and people use. Names in other scripts arrive as `xn--`.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// `{tenant}.example.com`, taken apart around the label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    before: String,
    after: String,
}

impl HostPattern {
    /// The fault as a sentence without its subject, for the caller to prefix with the key.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "{pattern:?} is no host pattern: expected a host name with {PLACE} as one whole label, such as \"{PLACE}.example.com\""
            )
        };
        let (before, after) = pattern.split_once(PLACE).ok_or_else(fault)?;
        let whole_label = (before.is_empty() || before.ends_with('.'))
            && (after.is_empty() || after.starts_with('.'));
        // With a tenant in its place the pattern must be a host, and one in normal form but for its case.
        let sample = format!("{before}x{after}");
        let host = normalise_host(&sample).ok_or_else(fault)?;
        if !whole_label || (before.is_empty() && after.is_empty()) || host.len() != sample.len() {
            return Err(fault());
        }
        Ok(Self {
            before: before.to_ascii_lowercase(),
            after: after.to_ascii_lowercase(),
        })
    }

    /// The label in the tenant's place, if `host` fits.
    fn label<'a>(&self, host: &'a str) -> Option<&'a str> {
        let label = host
            .strip_prefix(self.before.as_str())?
            .strip_suffix(self.after.as_str())?;
        (!label.is_empty() && !label.contains('.')).then_some(label)
    }

    pub(super) fn resolve<'a>(&self, host: Option<&'a str>) -> Result<Named<'a>, Unresolved> {
        let label = host
            .and_then(|host| self.label(host))
            .ok_or(Unresolved::NoProof)?;
        Named::parse(label).ok_or(Unresolved::Malformed)
    }

    /// Whether both hosts have a tenant's label, and not the same one. Both are in normal form.
    pub(super) fn tells_apart(&self, one: &str, other: Option<&str>) -> bool {
        let other = other.and_then(|host| self.label(host));
        matches!((self.label(one), other), (Some(one), Some(other)) if one != other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::TenantId;

    fn read<'a>(pattern: &str, host: Option<&'a str>) -> Result<Named<'a>, Unresolved> {
        HostPattern::parse(pattern).unwrap().resolve(host)
    }

    #[test]
    fn hosts_come_out_in_one_form() {
        for (given, form) in [
            ("example.com", "example.com"),
            ("EXAMPLE.com.", "example.com"),
            ("example.com:8080", "example.com"),
            ("example.com.:", "example.com"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[FE80::1]:443", "[fe80::1]"),
            ("my_host", "my_host"),
        ] {
            assert_eq!(normalise_host(given).as_deref(), Some(form), "{given}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}.com", "a".repeat(64));
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            "a b",
            "a/b",
            "a@b",
            "a:b",
            "a:1:2",
            "a:65536",
            "a:-1",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[fe80::1%eth0]",
            "[x]",
            "ä.com",
            "a%41",
            "a,b",
            "a\0",
            &long,
        ] {
            assert_eq!(normalise_host(text), None, "{text:?}");
        }
    }

    #[test]
    fn one_label_stands_for_the_tenant() {
        assert_eq!(
            read("{tenant}.Example.com", Some("acme.example.com")),
            Ok(Named::Slug("acme".into()))
        );
        assert_eq!(
            read("{tenant}.example.com", Some("42.example.com")),
            Ok(Named::Id(TenantId(42)))
        );
        assert_eq!(
            read("app.{tenant}.example.com", Some("app.acme.example.com")),
            Ok(Named::Slug("acme".into()))
        );
    }

    #[test]
    fn other_hosts_are_no_proof() {
        for host in [
            None,
            Some("example.com"),
            Some(".example.com"),
            Some("a.b.example.com"),
            Some("acme.example.org"),
            Some("acmeexample.com"),
        ] {
            assert_eq!(
                read("{tenant}.example.com", host),
                Err(Unresolved::NoProof),
                "{host:?}"
            );
        }
    }

    #[test]
    fn a_label_that_is_no_tenant_is_malformed() {
        assert_eq!(
            read("{tenant}.example.com", Some("9x.example.com")),
            Err(Unresolved::Malformed)
        );
    }

    #[test]
    fn a_pattern_must_be_a_host_with_one_tenant_label() {
        for pattern in [
            "",
            "example.com",
            "{tenant}",
            "a{tenant}.example.com",
            "{tenant}-x.example.com",
            "{tenant}.{tenant}.com",
            "{tenant}.example.com:80",
            "{tenant}..com",
            "{tenant}.com.",
        ] {
            assert!(HostPattern::parse(pattern).is_err(), "{pattern:?}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(text in "\\[?[-a-zA-Z0-9_.:%é ]{0,40}\\]?(:[0-9]{0,6})?") {
            if let Some(once) = normalise_host(&text) {
                prop_assert_eq!(normalise_host(&once), Some(Cow::Borrowed(&*once)));
                prop_assert!(!once.bytes().any(|b| b.is_ascii_uppercase()));
            }
        }

        #[test]
        fn case_port_and_one_dot_make_no_difference(name in "[a-z0-9-]{1,9}(\\.[a-z0-9-]{1,9}){0,3}", port: u16, dot: bool, upper: bool) {
            let dotted = format!("{name}{}:{port}", if dot { "." } else { "" });
            let written = if upper { dotted.to_uppercase() } else { dotted };
            prop_assert_eq!(normalise_host(&written), Some(Cow::Borrowed(name.as_str())));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = normalise_host(&text);
            let _ = HostPattern::parse(&text);
        }

        #[test]
        fn a_pattern_gives_back_the_slug_that_was_put_in(slug in "[a-z][a-z0-9_-]{0,20}") {
            let host = format!("{slug}.example.com");
            prop_assert_eq!(read("{tenant}.example.com", Some(&host)), Ok(Named::Slug(slug.as_str().into())));
        }
    }
}
