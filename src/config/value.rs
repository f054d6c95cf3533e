//! What a single value may look like: pure functions from text to a type, or to the sentence that says what was expected.
//!
//! Its own file, because the rules of one value need neither the file nor its neighbours.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use ipnet::IpNet;

/// A base URL without a path: where an upstream is.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    pub tls: bool,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

/// A whole number and `ms`, `s`, `m` or `h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || r#"expected a duration such as "250ms", "30s", "15m" or "1h""#.to_owned();
    let (number, unit) = split_unit(text).ok_or_else(expected)?;
    let milliseconds_a_unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    number
        .checked_mul(milliseconds_a_unit)
        .map(Duration::from_millis)
        .ok_or_else(expected)
}

/// A whole number of bytes, or with `B`, `KiB`, `MiB`, `GiB`.
pub fn size(text: &str) -> Result<u64, String> {
    let expected = || r#"expected a size such as "512", "8KiB", "16MiB" or "1GiB""#.to_owned();
    let (number, unit) = split_unit(text).ok_or_else(expected)?;
    let bytes_a_unit = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    number.checked_mul(bytes_a_unit).ok_or_else(expected)
}

/// The duration in the largest unit that holds it whole, as `duration` reads it.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match milliseconds {
        0 => "0s".to_owned(),
        n if n % 3_600_000 == 0 => format!("{}h", n / 3_600_000),
        n if n % 60_000 == 0 => format!("{}m", n / 60_000),
        n if n % 1_000 == 0 => format!("{}s", n / 1_000),
        n => format!("{n}ms"),
    }
}

/// The size in the largest unit that holds it whole, as `size` reads it.
pub fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        n if n % (1 << 30) == 0 => format!("{}GiB", n >> 30),
        n if n % (1 << 20) == 0 => format!("{}MiB", n >> 20),
        n if n % (1 << 10) == 0 => format!("{}KiB", n >> 10),
        n => n.to_string(),
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// An address and a port; names are not resolved, so that a listener cannot move with a DNS answer.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        r#"expected an address with a port such as "127.0.0.1:8080" or "[::1]:8080""#.to_owned()
    })
}

/// A network, or a lone address as the network of itself.
pub fn network(text: &str) -> Result<IpNet, String> {
    let expected = || {
        r#"expected a network or an address such as "10.0.0.0/8", "::1" or "192.0.2.7""#.to_owned()
    };
    let network = match text.parse::<std::net::IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| expected())?,
    };
    if network.addr() != network.network() {
        return Err(format!(
            "has bits set beyond its prefix; write {:?}",
            network.trunc().to_string()
        ));
    }
    Ok(network)
}

/// `http://host[:port]` or `https://host[:port]`, nothing behind it but a slash.
pub fn origin(text: &str) -> Result<Origin, String> {
    let expected =
        |why: &str| format!(r#"{why}; expected "http://host:port" or "https://host:port""#);
    let (tls, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some(_) => return Err(expected("has a scheme that is neither http nor https")),
        None => return Err(expected("is not a URL")),
    };
    let (authority, path) = rest
        .find(['/', '?', '#'])
        .map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return Err(expected(
            "has a user name in it, which ficus would not send",
        ));
    }
    if !matches!(path, "" | "/") {
        return Err(expected(
            "has a path or query, and ficus sends the client's own",
        ));
    }
    let (name, port) = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority, None),
    };
    let port = match port {
        None => {
            if tls {
                443
            } else {
                80
            }
        }
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => port,
            _ => return Err(expected("has a port that is not between 1 and 65535")),
        },
    };
    let host = match name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address
            .parse::<std::net::Ipv6Addr>()
            .ok()
            .map(|address| address.to_string()),
        None => is_host_name(name).then(|| name.to_ascii_lowercase()),
    };
    let host = host.ok_or_else(|| expected("has no valid host"))?;
    Ok(Origin { tls, host, port })
}

/// A URL for people, kept as text.
pub fn public_url(text: &str) -> Result<String, String> {
    let uri = text
        .parse::<http::Uri>()
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    match uri {
        Some(uri) if uri.query().is_none() && !text.contains(['@', '#']) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(r#"expected a URL such as "https://ficus.example.com""#.to_owned()),
    }
}

/// A URL that a PostgreSQL client takes. Only its form: what it leads to, `ficus check` tries.
pub fn database_url(text: &str) -> Result<(), String> {
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(()),
        _ => Err(
            r#"expected a URL such as "postgres://user:password@host:5432/database""#.to_owned(),
        ),
    }
}

/// Laravel's APP_KEY for AES-256.
pub fn app_key(text: &str) -> Result<(), String> {
    let key = text
        .strip_prefix("base64:")
        .and_then(|key| base64::engine::general_purpose::STANDARD.decode(key).ok());
    match key {
        Some(key) if key.len() == 32 => Ok(()),
        Some(key) => Err(format!(
            "holds {} bytes; expected \"base64:\" and 32 bytes, as Laravel's APP_KEY for AES-256-CBC",
            key.len()
        )),
        None => Err("expected \"base64:\" and 32 bytes in base64, as Laravel's APP_KEY".to_owned()),
    }
}

/// The query that finds a session's tenant: it must use both of its parameters, or PostgreSQL refuses it at the first request.
pub fn session_query(text: &str) -> Result<String, String> {
    for parameter in ["$1", "$2"] {
        if !text.contains(parameter) {
            return Err(format!(
                "has no {parameter}; $1 is the session's id, $2 the oldest last_activity that is alive"
            ));
        }
    }
    Ok(text.to_owned())
}

/// A cookie's name: a token, by RFC 6265.
pub fn cookie_name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let good = !text.is_empty() && text.bytes().all(fits);
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected a cookie's name such as \"laravel_session\"".to_owned())
    }
}

pub fn header_name(text: &str) -> Result<http::HeaderName, String> {
    text.parse()
        .map_err(|_| "expected a header's name such as \"x-tenant-id\"".to_owned())
}

/// Upper case only, because methods are case-sensitive and `get` would never match.
pub fn method(text: &str) -> Result<http::Method, String> {
    let upper = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    match text.parse() {
        Ok(method) if upper => Ok(method),
        _ => Err("expected a method in upper case such as \"GET\"".to_owned()),
    }
}

/// A host as the Host header names it, without port, in lower case.
pub fn host(text: &str) -> Result<String, String> {
    if is_host_name(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("expected a host name without port such as \"app.example.com\"".to_owned())
    }
}

/// A host name in which one whole label is `{tenant}`.
pub fn tenant_host(text: &str) -> Result<String, String> {
    let labels = text.split('.').filter(|label| *label == "{tenant}").count();
    let filled = text.replacen("{tenant}", "tenant", 1);
    if labels == 1 && is_host_name(&filled) && filled.contains('.') {
        return Ok(text.to_ascii_lowercase());
    }
    Err(
        "expected a host name with {tenant} in place of one label such as \"{tenant}.example.com\""
            .to_owned(),
    )
}

/// The name of a capability; the check on `ficus.capability.name` has the same rule. Upstreams keep to it too.
pub fn is_name(text: &str) -> bool {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    (1..=63).contains(&text.len())
        && text.as_bytes()[0].is_ascii_lowercase()
        && text.bytes().all(fits)
}

/// Labels of letters, digits, `-` and `_` (which people do use in container names), or an IPv4 address.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A filter of log lines as `RUST_LOG` takes it.
pub fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("expected a log filter such as \"info\" or \"ficus=debug,warn\"".to_owned()),
    }
}

pub fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        Err("expected a path".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_origin_takes_the_port_of_its_scheme() {
        assert_eq!(
            origin("http://legacy"),
            Ok(Origin {
                tls: false,
                host: "legacy".into(),
                port: 80
            })
        );
        assert_eq!(
            origin("https://Modern.example.com/"),
            Ok(Origin {
                tls: true,
                host: "modern.example.com".into(),
                port: 443
            })
        );
        assert_eq!(
            origin("http://[::1]:8500"),
            Ok(Origin {
                tls: false,
                host: "::1".into(),
                port: 8500
            })
        );
        assert_eq!(
            origin("https://[::1]"),
            Ok(Origin {
                tls: true,
                host: "::1".into(),
                port: 443
            })
        );
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "legacy:80",
            "ftp://legacy",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:",
            "http://a:+8",
            "http://a:65536",
            "http://u:p@a",
            "http://a/x",
            "http://a?x",
            "http://a#x",
            "http://[::g]",
            "http://a b",
            "http://[::1",
            "http://-a",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_without_unit_is_no_duration() {
        for text in [
            "",
            "30",
            "s",
            "1.5s",
            "-1s",
            "30 s",
            "30S",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_with_host_bits_is_refused_with_the_right_one() {
        assert_eq!(
            network("10.1.2.3/8"),
            Err("has bits set beyond its prefix; write \"10.0.0.0/8\"".to_owned())
        );
        assert_eq!(
            network("192.0.2.7").map(|n| n.to_string()),
            Ok("192.0.2.7/32".to_owned())
        );
    }

    proptest! {
        #[test]
        fn a_shown_duration_is_read_as_itself(milliseconds in 0..u64::from(u32::MAX)) {
            let exact = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&show_duration(exact)), Ok(exact));
        }

        #[test]
        fn a_shown_size_is_read_as_itself(bytes: u64) {
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,40}") {
            let _ = (duration(&text), size(&text), origin(&text), network(&text), host(&text), tenant_host(&text), public_url(&text), app_key(&text));
        }
    }
}
