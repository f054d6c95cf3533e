//! A callback as it came: where to, with which fields, and the bytes that were signed.
//!
//! Its own file, and pure: what a vendor signs are its own bytes, so they are taken apart here, once, and put together again by nobody.

use http::{HeaderMap, Method};

/// The address that a vendor was told and the one by which it came may differ: a proxy ends TLS, and takes a port away or puts one there.
pub struct Received<'a> {
    pub method: &'a Method,
    /// Whole URLs, query included, by which the vendor may have called.
    pub urls: &'a [String],
    /// Without the question mark.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

pub type Fields = Vec<(String, String)>;

impl Received<'_> {
    /// `None`: none, or one that is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn is_form(&self) -> bool {
        self.is("application/x-www-form-urlencoded")
    }

    pub fn is_json(&self) -> bool {
        self.is("application/json")
    }

    fn is(&self, kind: &str) -> bool {
        let told = self.header("content-type").unwrap_or_default();
        let told = told.split(';').next().unwrap_or_default().trim();
        told.eq_ignore_ascii_case(kind)
    }

    /// Of a form in the body. Empty where it is none.
    pub fn form(&self) -> Fields {
        match (self.is_form(), std::str::from_utf8(self.body)) {
            (true, Ok(body)) => parse(body),
            _ => Fields::new(),
        }
    }

    /// Of the body, as a form or as a flat object of JSON, or of the query where there is no body.
    pub fn fields(&self) -> Option<Fields> {
        if self.body.is_empty() {
            return Some(parse(self.query));
        }
        match (self.is_form(), self.is_json()) {
            (true, _) => Some(self.form()),
            (_, true) => {
                let object = serde_json::from_slice::<serde_json::Map<_, _>>(self.body).ok()?;
                let text = |value| match value {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                let fields = object.into_iter();
                Some(fields.map(|(name, value)| (name, text(value))).collect())
            }
            _ => None,
        }
    }
}

/// The first of this name.
pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(it, _)| it == name);
    found.map(|(_, value)| value.as_str())
}

/// A form's or a query's text. What is no escape stands as it is, and what is no UTF-8 is replaced, as browsers' standard has it
/// (url.spec.whatwg.org, section 5.1).
pub fn parse(text: &str) -> Fields {
    let pairs = text.split('&').filter(|it| !it.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = match byte {
            b'%' => bytes.get(at + 1..at + 3).and_then(hex),
            _ => None,
        };
        match (byte, escaped) {
            (_, Some(value)) => {
                decoded.push(value);
                at += 2;
            }
            (b'+', None) => decoded.push(b' '),
            (other, None) => decoded.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let value = digit(digits[0])? * 16 + digit(digits[1])?;
    u8::try_from(value).ok()
}

/// A URL with and without the port that its scheme has by itself, as given first.
pub fn spellings(url: &str) -> Vec<String> {
    let mut all = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else {
        return all;
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let port = if scheme == "https" { ":443" } else { ":80" };
    // What follows the bracket of an IPv6 address, or the name.
    let after_host = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_host..].rfind(':') {
        Some(at) => {
            let host = &authority[..after_host + at];
            all.push(format!("{scheme}://{host}{tail}"));
        }
        None => all.push(format!("{scheme}://{authority}{port}{tail}")),
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let fields = parse("To=%2B1555&Body=a+b%20c%26d&&Empty=&Alone&Bad=%zz%4&Twice=1&Twice=2");
        let expected = [
            ("To", "+1555"),
            ("Body", "a b c&d"),
            ("Empty", ""),
            ("Alone", ""),
            ("Bad", "%zz%4"),
            ("Twice", "1"),
            ("Twice", "2"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields, expected);
        assert_eq!(field(&fields, "Twice"), Some("1"));
        assert_eq!(decode("%C3%A4%ff"), "ä\u{fffd}");
    }

    #[test]
    fn a_port_is_put_there_and_taken_away() {
        for (url, other) in [
            ("https://a.test/x?y=1:2", "https://a.test:443/x?y=1:2"),
            ("http://a.test/x", "http://a.test:80/x"),
            ("https://a.test:443/x", "https://a.test/x"),
            ("http://a.test:1234/x", "http://a.test/x"),
            ("https://[::1]/x", "https://[::1]:443/x"),
            ("https://[::1]:8443/x", "https://[::1]/x"),
        ] {
            assert_eq!(spellings(url), [url.to_owned(), other.to_owned()]);
        }
    }
}
