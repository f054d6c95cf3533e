//! What an address may look like: sockets, networks, URLs and host names, from text or to the sentence that says what was expected.
//!
//! Its own file, because these are the values whose rules come from elsewhere: RFC 3986, DNS, CIDR.

use std::net::SocketAddr;

use ipnet::IpNet;

pub use crate::proxy::upstream::Origin;

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

/// Where a trace collector listens.
pub fn collector_url(text: &str) -> Result<String, String> {
    public_url(text).map_err(|_| {
        r#"expected a URL without user and query such as "http://127.0.0.1:4317""#.to_owned()
    })
}

/// A URL that is asked for keys, as it is.
pub fn key_url(text: &str) -> Result<String, String> {
    let uri = text
        .parse::<http::Uri>()
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    match uri {
        Some(_) if !text.contains(['@', '#']) => Ok(text.to_owned()),
        _ => Err(
            r#"expected a URL such as "https://id.example.com/.well-known/jwks.json""#.to_owned(),
        ),
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

/// A URL that our Redis client takes: without TLS.
pub fn redis_url(text: &str) -> Result<(), String> {
    let rest = ["redis://", "redis+unix://", "unix://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(()),
        _ => Err(
            r#"expected a URL such as "redis://:password@host:6379/0" or "redis+unix:///path?db=0""#
                .to_owned(),
        ),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        fn no_text_makes_an_address_panic(text in ".{0,40}") {
            let _ = (origin(&text), network(&text), host(&text), tenant_host(&text), public_url(&text), key_url(&text));
        }
    }
}
