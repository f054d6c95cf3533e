//! One request as one line of JSON, written by hand into a buffer that is already there.
//!
//! Pure, and its own file: a serialiser, a time formatter and a buffer a line cost more than finding the tenant and
//! deciding did. The test reads the lines back with the JSON library.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat};

/// Everything that is known of a request when it is over. No body, no query, no token.
pub struct Line<'a> {
    pub request_id: &'a str,
    pub client: Option<IpAddr>,
    pub method: &'a str,
    pub host: Option<&'a str>,
    /// Without the query, which may hold a token.
    pub path: &'a str,
    /// `None`: the client went away first.
    pub status: Option<u16>,
    pub bytes: u64,
    /// Written as milliseconds, with three digits after the point.
    pub elapsed: Duration,
    pub tenant: Option<i64>,
    /// Which resolver named the tenant.
    pub identity: Option<&'a str>,
    /// What authenticated somebody, or why what was shown did not. Never who it is.
    pub auth: Option<&'a str>,
    pub capability: &'a str,
    pub side: Option<&'a str>,
    pub reason: &'a str,
    pub revision: i64,
    /// Why legacy answered where the decision was modern; `reason` stays the decision's.
    pub fallback: Option<&'a str>,
    pub upstream: Option<&'a str>,
    /// Times that the request was sent upstream; more than one is a retry.
    pub attempts: u8,
    pub error: Option<&'a str>,
}

/// The text of the second that it is: lines of one second share it.
pub struct Clock {
    second: u64,
    text: String,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            second: u64::MAX,
            text: String::new(),
        }
    }
}

impl Clock {
    /// Writes `now` as RFC 3339 with microseconds, in UTC.
    fn write(&mut self, text: &mut Vec<u8>, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second {
            self.second = since.as_secs();
            let seconds = i64::try_from(self.second).unwrap_or_default();
            self.text = DateTime::from_timestamp(seconds, 0)
                .unwrap_or_default()
                .to_rfc3339_opts(SecondsFormat::Secs, true);
            self.text.pop();
        }
        text.extend_from_slice(self.text.as_bytes());
        text.push(b'.');
        digits::<6>(text, since.subsec_micros());
        text.push(b'Z');
    }
}

impl Line<'_> {
    /// Writes the line and its end. What is not known of a request has no key, but for what every request should have.
    pub fn append(&self, text: &mut Vec<u8>, clock: &mut Clock, now: SystemTime) {
        text.reserve(512);
        text.extend_from_slice(br#"{"time":""#);
        clock.write(text, now);
        text.push(b'"');
        word(text, br#","request_id":"#, self.request_id);
        text.extend_from_slice(br#","client":"#);
        match self.client {
            Some(ip) => address(text, ip),
            None => text.extend_from_slice(b"null"),
        }
        word(text, br#","method":"#, self.method);
        match self.host {
            Some(host) => string(text, br#","host":"#, host),
            None => text.extend_from_slice(br#","host":null"#),
        }
        string(text, br#","path":"#, self.path);
        match self.status {
            Some(status) => number(text, br#","status":"#, status),
            None => text.extend_from_slice(br#","status":null"#),
        }
        number(text, br#","bytes":"#, self.bytes);
        let micros = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX);
        number(text, br#","ms":"#, micros / 1000);
        text.push(b'.');
        digits::<3>(text, (micros % 1000) as u32);
        if let Some(tenant) = self.tenant {
            number(text, br#","tenant":"#, tenant);
        }
        if let Some(identity) = self.identity {
            word(text, br#","identity":"#, identity);
        }
        if let Some(auth) = self.auth {
            word(text, br#","auth":"#, auth);
        }
        string(text, br#","capability":"#, self.capability);
        if let Some(side) = self.side {
            word(text, br#","side":"#, side);
        }
        word(text, br#","reason":"#, self.reason);
        number(text, br#","revision":"#, self.revision);
        if let Some(fallback) = self.fallback {
            word(text, br#","fallback":"#, fallback);
        }
        if let Some(upstream) = self.upstream {
            string(text, br#","upstream":"#, upstream);
        }
        number(text, br#","attempts":"#, self.attempts);
        if let Some(error) = self.error {
            string(text, br#","error":"#, error);
        }
        text.extend_from_slice(b"}\n");
    }
}

/// A key with its comma and colon, and a string that needs no escape: one of our words, a token as HTTP has them, or a
/// request's id.
fn word(text: &mut Vec<u8>, key: &[u8], value: &str) {
    debug_assert!(!value.bytes().any(must_escape), "{value:?}");
    text.extend_from_slice(key);
    text.push(b'"');
    text.extend_from_slice(value.as_bytes());
    text.push(b'"');
}

/// A key with its comma and colon, and any string.
fn string(text: &mut Vec<u8>, key: &[u8], value: &str) {
    text.extend_from_slice(key);
    text.push(b'"');
    let bytes = value.as_bytes();
    // To the end, without a way out: so the compiler looks at many bytes at once.
    match bytes
        .iter()
        .fold(false, |any, byte| any | must_escape(*byte))
    {
        false => text.extend_from_slice(bytes),
        true => bytes.iter().for_each(|byte| escaped(text, *byte)),
    }
    text.push(b'"');
}

/// What JSON does not let stand in a string as it is (RFC 8259, 7).
fn must_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn escaped(text: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
        0..0x20 => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            text.extend_from_slice(b"\\u00");
            text.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        _ => text.push(byte),
    }
}

fn number(text: &mut Vec<u8>, key: &[u8], value: impl itoa::Integer) {
    text.extend_from_slice(key);
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The last `N` decimal digits of a number, with zeros in front.
fn digits<const N: usize>(text: &mut Vec<u8>, mut value: u32) {
    let mut out = [b'0'; N];
    for digit in out.iter_mut().rev() {
        *digit += (value % 10) as u8;
        value /= 10;
    }
    text.extend_from_slice(&out);
}

fn address(text: &mut Vec<u8>, ip: IpAddr) {
    text.push(b'"');
    match ip {
        IpAddr::V4(v4) => {
            for (place, octet) in v4.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        // Writing into a vector cannot fail.
        IpAddr::V6(_) => drop(write!(text, "{ip}")),
    }
    text.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn line() -> Line<'static> {
        Line {
            request_id: "0af7651916cd43dd8448eb211c80319c",
            client: Some(IpAddr::from([192, 0, 2, 1])),
            method: "GET",
            host: Some("example.com"),
            path: "/dashboard",
            status: Some(200),
            bytes: 68,
            elapsed: Duration::from_micros(1_007),
            tenant: Some(7),
            identity: Some("header"),
            auth: Some("jwt"),
            capability: "dashboard",
            side: Some("modern"),
            reason: "flag",
            revision: 12,
            fallback: Some("timeout"),
            upstream: Some("modern"),
            attempts: 1,
            error: None,
        }
    }

    fn read(line: &Line<'_>) -> Value {
        let mut text = Vec::new();
        let now = UNIX_EPOCH + Duration::from_micros(1_795_000_000_000_042);
        line.append(&mut text, &mut Clock::default(), now);
        assert_eq!(text.pop(), Some(b'\n'));
        serde_json::from_slice(&text).expect("JSON")
    }

    #[test]
    fn a_line_tells_what_is_known() {
        let expected = json!({
            "time": "2026-11-18T11:06:40.000042Z", "request_id": "0af7651916cd43dd8448eb211c80319c", "client": "192.0.2.1",
            "method": "GET", "host": "example.com", "path": "/dashboard", "status": 200, "bytes": 68, "ms": 1.007,
            "tenant": 7, "identity": "header", "auth": "jwt", "capability": "dashboard", "side": "modern", "reason": "flag",
            "revision": 12, "fallback": "timeout", "upstream": "modern", "attempts": 1,
        });
        assert_eq!(read(&line()), expected);
    }

    #[test]
    fn what_is_not_known_is_null_or_absent() {
        let bare = Line {
            client: None,
            host: None,
            status: None,
            tenant: None,
            identity: None,
            auth: None,
            side: None,
            fallback: None,
            upstream: None,
            error: Some("bad-request"),
            ..line()
        };
        let read = read(&bare);
        for key in ["client", "host", "status"] {
            assert_eq!(read.get(key), Some(&Value::Null), "{key}");
        }
        for key in ["tenant", "identity", "auth", "side", "fallback", "upstream"] {
            assert_eq!(read.get(key), None, "{key}");
        }
        assert_eq!(read["error"], "bad-request");
    }

    #[test]
    fn the_second_is_told_anew_when_it_is_another() {
        let mut clock = Clock::default();
        let mut at = |micros| {
            let mut text = Vec::new();
            clock.write(&mut text, UNIX_EPOCH + Duration::from_micros(micros));
            String::from_utf8(text).expect("text")
        };
        assert_eq!(at(999_999), "1970-01-01T00:00:00.999999Z");
        assert_eq!(at(1_000_000), "1970-01-01T00:00:01.000000Z");
        assert_eq!(at(86_400_000_001), "1970-01-02T00:00:00.000001Z");
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_stays_inside_its_string(path in any::<String>(), host in any::<String>(), micros in any::<u32>(), v6 in any::<u128>()) {
            let ip = IpAddr::from(v6.to_be_bytes());
            let read = read(&Line { path: &path, host: Some(&host), client: Some(ip), elapsed: Duration::from_micros(micros.into()), ..line() });
            prop_assert_eq!(&read["path"], &path);
            prop_assert_eq!(&read["host"], &host);
            prop_assert_eq!(&read["client"], &ip.to_string());
            prop_assert_eq!(read["ms"].as_f64(), Some(f64::from(micros) / 1000.0));
        }
    }
}
