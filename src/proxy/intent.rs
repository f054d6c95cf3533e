//! Whether a request writes: what a freeze stops.
//!
//! Pure, and its own file, because what it misses lands on a system that somebody believes to stand still. Where the
//! head leaves a doubt, it is a write; only a route that says otherwise is believed.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method, header};

use crate::flags::Effect;

/// With these a client asks that its request be read as another method: Laravel, Symfony, Rails, Express and ASP.NET read one
/// or the other.
static OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];
/// The same as a parameter, which a form has in its body, where it is not seen, or in its query.
const PARAMETER: &str = "_method";

/// `route` and `capability`: what they say that their requests do. `target`: path and query as they came.
pub fn is_write(
    method: &Method,
    headers: &HeaderMap,
    target: &str,
    route: Option<Effect>,
    capability: Option<Effect>,
) -> bool {
    match (route, capability) {
        // What a browser asks before its request, and what no application carries out.
        _ if matches!(*method, Method::OPTIONS | Method::TRACE) => false,
        (Some(said), _) => said != Effect::Read,
        (None, Some(Effect::Send)) => true,
        _ => {
            !is_harmless(method.as_str())
                // Nobody sees what is said in a tunnel.
                || headers.contains_key(header::UPGRADE)
                || asks_for_another_method(headers, target)
        }
    }
}

fn asks_for_another_method(headers: &HeaderMap, target: &str) -> bool {
    let by_header = OVERRIDES
        .iter()
        .flat_map(|name| headers.get_all(name))
        .any(|value| value.to_str().map_or(true, |value| !is_harmless(value)));
    let query = target.split_once('?').map_or("", |(_, query)| query);
    // Nearly every query ends here.
    by_header || query.split(['&', ';']).any(is_override)
}

fn is_override(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let name = decode(name);
    // PHP reads blanks before a name away, and a dot, a blank or a bracket in it as an underscore.
    let name = name.trim_start().split('[').next().unwrap_or_default();
    let same =
        |(ours, theirs): (char, char)| ours == theirs || ours == '_' && matches!(theirs, '.' | ' ');
    let mut pairs = PARAMETER
        .chars()
        .zip(name.chars().map(|c| c.to_ascii_lowercase()));
    name.len() == PARAMETER.len() && pairs.all(same) && !is_harmless(&decode(value))
}

fn is_harmless(method: &str) -> bool {
    let method = method.trim();
    ["", "GET", "HEAD", "OPTIONS"]
        .iter()
        .any(|it| method.eq_ignore_ascii_case(it))
}

/// Percent-decodes, as far as the text is percent-encoded at all.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let (byte, left) = match (first, byte) {
            (b'%', Some(byte)) => (byte, &tail[2..]),
            (b'+', _) => (b' ', tail),
            (other, _) => (*other, tail),
        };
        bytes.push(byte);
        rest = left;
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(method: &str, target: &str, fields: &[(&str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        is_write(&method, &headers, target, None, Some(Effect::Read))
    }

    #[test]
    fn safe_methods_read_and_every_other_writes() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(!writes(method, "/a?b=c", &[]), "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get"] {
            // A method is case-sensitive: `get` is none that anybody knows, and it is read leniently by PHP.
            assert_eq!(writes(method, "/a", &[]), method != "get", "{method}");
        }
    }

    #[test]
    fn a_method_that_is_asked_for_beside_counts() {
        for name in [
            "X-HTTP-Method-Override",
            "x-http-method",
            "X-METHOD-OVERRIDE",
        ] {
            assert!(writes("GET", "/a", &[(name, "DELETE")]), "{name}");
            assert!(!writes("GET", "/a", &[(name, "get")]), "{name}");
        }
        // One of two is enough, and none makes a write harmless.
        let both = [("x-http-method", "GET"), ("x-http-method", "PUT")];
        assert!(writes("GET", "/a", &both));
        assert!(writes("POST", "/a", &[("x-http-method", "GET")]));
    }

    #[test]
    fn a_method_in_the_query_counts_in_every_spelling() {
        for query in [
            "_method=DELETE",
            "a=b&_method=put",
            "a=b;_method=put",
            "%5fmethod=delete",
            "_%6Dethod=PATCH",
            "%20_method=DELETE",
            ".method=DELETE",
            "+method=x&_method[]=DELETE",
            "_method=%44ELETE",
        ] {
            assert!(writes("GET", &format!("/a?{query}"), &[]), "{query}");
        }
        for query in [
            "",
            "_method=",
            "_method=GET",
            "x_method=DELETE",
            "_methods=DELETE",
            "a=_method",
            "%",
            "%4",
            "%zz=1",
        ] {
            assert!(!writes("GET", &format!("/a?{query}"), &[]), "{query}");
        }
    }

    #[test]
    fn a_tunnel_may_write() {
        assert!(writes("GET", "/a", &[("upgrade", "websocket")]));
    }

    #[test]
    fn the_routes_word_counts_above_all_and_what_sends_always_writes() {
        let none = HeaderMap::new();
        let ask = |method, route, capability| is_write(&method, &none, "/a", route, capability);
        assert!(ask(Method::GET, Some(Effect::Send), Some(Effect::Read)));
        assert!(ask(Method::HEAD, Some(Effect::Write), None));
        assert!(!ask(Method::POST, Some(Effect::Read), Some(Effect::Send)));
        assert!(ask(Method::GET, None, Some(Effect::Send)));
        assert!(!ask(Method::GET, None, Some(Effect::Write)));
        assert!(!ask(
            Method::OPTIONS,
            Some(Effect::Send),
            Some(Effect::Send)
        ));
        assert!(ask(Method::POST, None, None));
    }
}
