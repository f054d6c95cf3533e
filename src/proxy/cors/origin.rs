//! Origins as the configuration names them and as browsers send them.
//!
//! Pure, and its own file, because a pattern that is read too widely lets a stranger's pages in.

/// One entry of `origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    Any,
    Exact(String),
    /// One whole label between the two.
    Label {
        before: String,
        after: String,
    },
}

impl OriginPattern {
    /// `*`, `https://app.example.com`, `https://*.example.com`: as browsers write origins, so that bytes can be compared.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let text = text.to_ascii_lowercase();
        let expected = || {
            r#"expected "*" or an origin such as "https://app.example.com" or "https://*.example.com:8443", without a path"#.to_owned()
        };
        let (scheme, authority) = text.split_once("://").ok_or_else(expected)?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if scheme.is_empty() || !scheme.bytes().all(fits) {
            return Err(expected());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let default_port = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let port = port
            .map(|port| port.parse::<u16>().map_err(|_| expected()))
            .transpose()?;
        if port.is_some() && port == default_port {
            return Err("names the scheme's own port, which browsers leave out".to_owned());
        }
        let Some((first, rest)) = host.split_once('*') else {
            let is_v6 = host
                .strip_prefix('[')
                .and_then(|h| h.strip_suffix(']'))
                .is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok());
            return match is_v6 || host.split('.').all(is_label) {
                true => Ok(Self::Exact(text)),
                false => Err(expected()),
            };
        };
        let is_whole = (first.is_empty() || first.ends_with('.')) && rest.starts_with('.');
        let over = first.strip_suffix('.').map(|first| first.split('.'));
        let under = rest.get(1..).unwrap_or_default();
        let labels = over.into_iter().flatten().chain(under.split('.'));
        if !is_whole || !labels.into_iter().all(is_label) {
            return Err(
                r#"has a "*" that is not one whole label of the host before others"#.to_owned(),
            );
        }
        if !under.contains('.') && under != "localhost" {
            return Err(format!("would let every site under .{under} in"));
        }
        let (before, after) = text.split_once('*').ok_or_else(expected)?;
        Ok(Self::Label {
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }

    pub(super) fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => own == origin,
            Self::Label { before, after } => origin
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(is_label),
        }
    }
}

impl std::fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(own) => f.write_str(own),
            Self::Label { before, after } => write!(f, "{before}*{after}"),
        }
    }
}

fn is_label(label: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    !label.is_empty() && label.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_no_browser_would_send_is_no_pattern() {
        for text in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://a.test/",
            "https://a.test/path",
            "https://user@a.test",
            "https://a.test:",
            "https://a.test:99999",
            "https://a.test:443",
            "http://a.test:80",
            "https://*",
            "https://*.com",
            "https://a*.example.com",
            "https://*a.example.com",
            "https://*.*.example.com",
            "https://a.*",
            "https://.*.example.com",
            "https://a..test",
            "https://a b.test",
            "*.example.com",
        ] {
            assert!(OriginPattern::parse(text).is_err(), "{text}");
        }
        for text in [
            "https://App.Example.com",
            "http://*.localhost:3000",
            "https://a.*.example.com",
            "capacitor://localhost",
        ] {
            assert!(OriginPattern::parse(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_lets_one_label_in_and_nothing_else(label in "[a-z0-9.:/@#?-]{0,12}") {
            let pattern = OriginPattern::parse("https://*.example.com").expect("a pattern");
            let origin = format!("https://{label}.example.com");
            prop_assert_eq!(pattern.matches(&origin), is_label(&label));
        }
    }
}
