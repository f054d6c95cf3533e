//! A request's head as RFC 9110 and 9112 have a gateway read it, before anything is decided by it.
//!
//! Its own file, because two readings of one head are a way around a rule: a whole URI as the target is found by no
//! route, and an `Upgrade` that the connection does not name is a tunnel to the proxy and none to the origin.

use std::borrow::Cow;

use http::{HeaderMap, Method, header};
use pingora::prelude::*;
use pingora::proxy::Session;

/// Changes what the client sent, so that routes, log and upstream see one form of it.
pub fn conform(session: &mut Session) -> Result<()> {
    let head = session.req_header();
    if let Some(target) = origin_form(head.raw_path(), &head.method) {
        let target = target.into_owned();
        session.req_header_mut().set_raw_path(&target)?;
    }
    let headers = &session.req_header().headers;
    if headers.contains_key(header::UPGRADE) && !names(headers, "upgrade") {
        session.req_header_mut().remove_header(&header::UPGRADE);
    }
    Ok(())
}

/// Whether the client says that this is its last request on the connection. pingora reads one `Connection` field, and
/// there may be several.
pub fn is_last(headers: &HeaderMap) -> bool {
    names(headers, "close")
}

/// Whether `option` is among the connection options.
fn names(headers: &HeaderMap, option: &str) -> bool {
    let lines = headers.get_all(header::CONNECTION).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|it| it.trim().eq_ignore_ascii_case(option))
}

/// What an origin is asked for, of a target that is a whole URI. `None`: it is none.
fn origin_form<'a>(target: &'a [u8], method: &Method) -> Option<Cow<'a, [u8]>> {
    if matches!(target, [b'/', ..] | b"*") {
        return None;
    }
    let text = std::str::from_utf8(target).ok()?;
    let (_, rest) = text.split_once("://")?;
    let path = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
    Some(match path.as_bytes() {
        // The one that is asked about the server as a whole (RFC 9112, 3.2.4).
        b"" if method == Method::OPTIONS => Cow::Borrowed(b"*"),
        path @ [b'/', ..] => Cow::Borrowed(path),
        query => Cow::Owned([b"/", query].concat()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str, method: Method) -> Option<String> {
        let form = origin_form(target.as_bytes(), &method)?;
        Some(String::from_utf8_lossy(&form).into_owned())
    }

    #[test]
    fn a_whole_uri_becomes_what_an_origin_is_asked_for() {
        for (target, path) in [
            ("http://a.test/x?y#", "/x?y#"),
            ("HTTPS://a.test:8443//x", "//x"),
            ("http://a.test", "/"),
            ("http://a.test?x=http://b/", "/?x=http://b/"),
            ("http://[::1]:80/x", "/x"),
        ] {
            assert_eq!(asked(target, Method::GET).as_deref(), Some(path));
        }
        let whole = asked("http://a.test", Method::OPTIONS);
        assert_eq!(whole.as_deref(), Some("*"));
        for target in ["/", "/x?u=http://b/", "*", "//b.test/x"] {
            assert_eq!(asked(target, Method::GET), None, "{target}");
        }
    }

    #[test]
    fn an_option_is_found_on_every_line() {
        let mut headers = HeaderMap::new();
        assert!(!is_last(&headers));
        for (line, last) in [
            ("keep-alive", false),
            ("x-close", false),
            ("a , CLOSE", true),
        ] {
            headers.append(header::CONNECTION, line.parse().expect("a value"));
            assert_eq!(is_last(&headers), last, "{line}");
        }
    }
}
