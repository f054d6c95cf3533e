//! A request's head, checked to the letter of RFC 9112 while it arrives.
//!
//! Its own file, because this is the one place where bytes are judged before any parser makes something of them: what
//! two parsers could read differently goes no further. Pure, without allocation, and cheap: every request passes here.

use memchr::memchr;

use super::field::{
    authority_of, is_clean, is_coding_unknown, is_host, is_method, is_target, length_of,
    name_length, trim,
};
use super::flaw::Flaw;
use crate::proxy::Limits;

/// Bytes of a request line beside its target: a method as long as any that is registered, blanks and the version.
const LINE_BESIDE_TARGET: usize = 64;

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Nothing,
    Length(u64),
    Chunked,
}

/// A head without a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where the head ends in the bytes that were given.
    pub end: usize,
    pub framing: Framing,
    /// It asks for another protocol.
    pub upgrade: bool,
}

/// The checks so far. All positions are in the bytes of the head, which are given again with what came after them.
#[derive(Debug, Default)]
pub struct Checker {
    /// The first line that has not been checked.
    line: usize,
    /// The first byte of it in which no end of a line was looked for.
    looked: usize,
    has_line: bool,
    blank_lines: u8,
    is_old: bool,
    fields: usize,
    bytes: usize,
    /// The target's authority, where the target is absolute.
    authority: Option<(usize, usize)>,
    host: Option<(usize, usize)>,
    length: Option<u64>,
    is_chunked: bool,
    upgrade: bool,
}

impl Checker {
    /// Checks what is new in `head`, the bytes of the head so far and perhaps more. `None`: it is not whole yet.
    pub fn check(&mut self, head: &[u8], limits: &Limits) -> Result<Option<Head>, Flaw> {
        while let Some(found) = head.get(self.looked..).and_then(|new| memchr(b'\n', new)) {
            let end = self.looked + found;
            let line = (end.checked_sub(1).filter(|cr| *cr >= self.line))
                .filter(|cr| head[*cr] == b'\r')
                .map(|cr| &head[self.line..cr])
                .ok_or(Flaw::BareLf)?;
            let start = std::mem::replace(&mut self.line, end + 1);
            self.looked = self.line;
            match (self.has_line, line.is_empty()) {
                (true, true) => return self.finish(head).map(Some),
                (true, false) => self.field(line, start, limits)?,
                // One is forgiven: old clients sent it after a body (RFC 9112, 2.2).
                (false, true) if self.blank_lines == 0 => self.blank_lines = 1,
                (false, true) => return Err(Flaw::EmptyLines),
                (false, false) => self.request_line(line, start, limits)?,
            }
        }
        self.partial(&head[self.line.min(head.len())..], limits)?;
        self.looked = head.len();
        Ok(None)
    }

    /// A line whose end has not come: what is too much already, and what can never become a line.
    fn partial(&self, line: &[u8], limits: &Limits) -> Result<(), Flaw> {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let seen = (self.looked - self.line.min(self.looked)).saturating_sub(1);
        if !is_clean(text.get(seen..).unwrap_or_default()) {
            return Err(Flaw::Control);
        }
        if !self.has_line {
            return match line.len() > limits.uri_bytes + LINE_BESIDE_TARGET {
                true => Err(Flaw::UriTooLong),
                false => Ok(()),
            };
        }
        match self.bytes + line.len() > limits.header_bytes + LINE_BESIDE_TARGET {
            true => Err(Flaw::HeadTooLarge),
            false => Ok(()),
        }
    }

    fn request_line(&mut self, line: &[u8], start: usize, limits: &Limits) -> Result<(), Flaw> {
        self.has_line = true;
        if !is_clean(line) {
            return Err(Flaw::Control);
        }
        let mut parts = line.split(|b| *b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Flaw::RequestLine);
        };
        if !is_method(method) {
            return Err(Flaw::Method);
        }
        match version {
            b"HTTP/1.1" => {}
            b"HTTP/1.0" => self.is_old = true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Flaw::Version);
            }
            _ => return Err(Flaw::RequestLine),
        }
        // Neither is for a proxy in front of one application: CONNECT opens tunnels, TRACE shows what fields we added.
        if matches!(method, b"CONNECT" | b"TRACE") {
            return Err(Flaw::MethodRefused);
        }
        if target.len() > limits.uri_bytes {
            return Err(Flaw::UriTooLong);
        }
        if !is_target(target) {
            return Err(Flaw::Target);
        }
        match target {
            [b'/', ..] => {}
            b"*" if method == b"OPTIONS" => {}
            _ => {
                let (from, to) = authority_of(target).ok_or(Flaw::Target)?;
                let at = start + method.len() + 1;
                self.authority = Some((at + from, at + to));
            }
        }
        Ok(())
    }

    fn field(&mut self, line: &[u8], start: usize, limits: &Limits) -> Result<(), Flaw> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Flaw::Folded);
        }
        if !is_clean(line) {
            return Err(Flaw::Control);
        }
        let colon = name_length(line).ok_or(Flaw::FieldName)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        self.fields += 1;
        self.bytes += line.len();
        if self.fields > limits.header_count || self.bytes > limits.header_bytes {
            return Err(Flaw::HeadTooLarge);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let value = trim(value);
                if !is_host(value) {
                    return Err(Flaw::Host);
                }
                // `value` is a part of `line`, somewhere after the colon.
                let at = start + colon + 1 + leading(&line[colon + 1..]);
                match self.host.replace((at, at + value.len())) {
                    None => {}
                    Some(_) => return Err(Flaw::TwoHosts),
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = length_of(trim(value)).ok_or(Flaw::Length)?;
                if self.length.replace(length).is_some() {
                    return Err(Flaw::Length);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let value = trim(value);
                if self.is_chunked {
                    return Err(Flaw::Coding);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(match is_coding_unknown(value) {
                        true => Flaw::CodingRefused,
                        false => Flaw::Coding,
                    });
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// What only the whole head can tell.
    fn finish(&self, head: &[u8]) -> Result<Head, Flaw> {
        match (self.host, self.authority) {
            (None, None) if self.is_old => {}
            (None, _) => return Err(Flaw::NoHost),
            (Some(host), Some(authority))
                if head[host.0..host.1] != head[authority.0..authority.1] =>
            {
                return Err(Flaw::HostDiffers);
            }
            _ => {}
        }
        let framing = match (self.is_chunked, self.length) {
            (true, Some(_)) => return Err(Flaw::TwoFramings),
            // Who speaks 1.0 knows no chunks: somebody between us has meddled (RFC 9112, 6.1).
            (true, None) if self.is_old => return Err(Flaw::Coding),
            (true, None) => Framing::Chunked,
            (false, None | Some(0)) => Framing::Nothing,
            (false, Some(length)) => Framing::Length(length),
        };
        Ok(Head {
            end: self.line,
            framing,
            upgrade: self.upgrade && !self.is_old,
        })
    }
}

/// Blanks before a value.
fn leading(value: &[u8]) -> usize {
    value
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        header_count: 10,
        header_bytes: 1024,
        uri_bytes: 100,
        body_bytes: 0,
        min_rate: 0,
        connections: 0,
        connections_per_ip: 0,
    };

    /// The verdict, which must be the same however the bytes are cut.
    fn check(head: &[u8]) -> Result<Option<Head>, Flaw> {
        let whole = Checker::default().check(head, &LIMITS);
        for step in [1, 2, 3, 7, 16] {
            let mut checker = Checker::default();
            let pieces = (step..head.len()).step_by(step).chain([head.len()]);
            let cut = pieces
                .map(|end| checker.check(&head[..end], &LIMITS))
                .find(|verdict| !matches!(verdict, Ok(None)))
                .unwrap_or(Ok(None));
            // In pieces it ends with the piece in which the head does, and a flaw may show itself earlier.
            assert_eq!(
                cut.is_err(),
                whole.is_err(),
                "{} by {step}",
                head.escape_ascii()
            );
            if whole.is_ok() {
                assert_eq!(cut, whole, "{} by {step}", head.escape_ascii());
            }
        }
        whole
    }

    fn fields(fields: &str) -> Result<Option<Head>, Flaw> {
        check(format!("POST /a?b=%20 HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
    }

    fn framing(text: &str) -> Option<Framing> {
        fields(text).ok().flatten().map(|head| head.framing)
    }

    #[test]
    fn what_is_right_passes_with_its_framing() {
        assert_eq!(framing(""), Some(Framing::Nothing));
        assert_eq!(framing("Content-Length: 0\r\n"), Some(Framing::Nothing));
        assert_eq!(
            framing("content-length:\t12 \r\n"),
            Some(Framing::Length(12))
        );
        assert_eq!(
            framing("TRANSFER-ENCODING: Chunked\r\n"),
            Some(Framing::Chunked)
        );
        assert_eq!(
            framing("x: caf\u{e9} \"q\" ; \t z\r\nx-empty:\r\n"),
            Some(Framing::Nothing)
        );
        let head =
            check(b"\r\nGET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\nmore").unwrap();
        assert_eq!(head.map(|h| (h.end, h.upgrade)), Some((49, true)));
        for line in [
            "OPTIONS * HTTP/1.1\r\nHost: a",
            "GET http://a:80/x HTTP/1.1\r\nHost: a:80",
            "GET / HTTP/1.0",
            "GET / HTTP/1.1\r\nHost: [::1]:8080",
            "M-SEARCH /|{}^ HTTP/1.1\r\nhost: a.b.",
        ] {
            assert!(
                check(format!("{line}\r\n\r\n").as_bytes())
                    .unwrap()
                    .is_some(),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_not_whole_is_waited_for() {
        for part in [
            "",
            "\r",
            "\r\n",
            "G",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r",
        ] {
            assert_eq!(check(part.as_bytes()), Ok(None), "{part:?}");
        }
    }

    #[test]
    fn lines_that_two_parsers_could_end_differently_are_refused() {
        for (head, flaw) in [
            (&b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..], Flaw::BareLf),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Flaw::BareLf),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Flaw::BareLf),
            (b"\nGET / HTTP/1.1\r\n", Flaw::BareLf),
            (
                b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                Flaw::EmptyLines,
            ),
            (b"GET / HTTP/1.1\rHost: a\r\n\r\n", Flaw::Control),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n",
                Flaw::Control,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nx: a\0\r\n\r\n",
                Flaw::Control,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nx: a\x7f\r\n\r\n",
                Flaw::Control,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
                Flaw::Folded,
            ),
            (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Flaw::Folded),
            (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", Flaw::FieldName),
            (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Flaw::FieldName),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
                Flaw::FieldName,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nx\xe9: b\r\n\r\n",
                Flaw::FieldName,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nx(y): b\r\n\r\n",
                Flaw::FieldName,
            ),
        ] {
            assert_eq!(check(head), Err(flaw), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn request_lines_are_three_words() {
        for (line, flaw) in [
            (&b"GET /"[..], Flaw::RequestLine),
            (b"GET  / HTTP/1.1", Flaw::RequestLine),
            (b"GET / HTTP/1.1 ", Flaw::RequestLine),
            (b" GET / HTTP/1.1", Flaw::RequestLine),
            (b"GET / a HTTP/1.1", Flaw::RequestLine),
            (b"GET / http/1.1", Flaw::RequestLine),
            (b"GET / HTTP/1.10", Flaw::RequestLine),
            (b"GET / HTTP/11", Flaw::RequestLine),
            (b"GET / HTTP/2.0", Flaw::Version),
            (b"PRI * HTTP/2.0", Flaw::Version),
            (b"GET / HTTP/1.2", Flaw::Version),
            (b"GET / HTTP/0.9", Flaw::Version),
            (b"G(T / HTTP/1.1", Flaw::Method),
            (b"GET\x0b/ HTTP/1.1", Flaw::Control),
            (b"CONNECT a:443 HTTP/1.1", Flaw::MethodRefused),
            (b"TRACE / HTTP/1.1", Flaw::MethodRefused),
            (b"GET /\xc3\xa9 HTTP/1.1", Flaw::Target),
            (b"GET /#f HTTP/1.1", Flaw::Target),
            (b"GET a HTTP/1.1", Flaw::Target),
            (b"GET * HTTP/1.1", Flaw::Target),
            (b"GET a:443 HTTP/1.1", Flaw::Target),
            (b"GET ftp://a/ HTTP/1.1", Flaw::Target),
        ] {
            let head = [line, b"\r\nHost: a\r\n\r\n"].concat();
            assert_eq!(check(&head), Err(flaw), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn the_host_is_one_and_the_same() {
        let with = |line: &str, fields: &str| check(format!("{line}\r\n{fields}\r\n").as_bytes());
        let new = "GET / HTTP/1.1";
        assert_eq!(with(new, ""), Err(Flaw::NoHost));
        assert_eq!(with(new, "Host: a\r\nhost: a\r\n"), Err(Flaw::TwoHosts));
        assert_eq!(
            with("GET / HTTP/1.0", "Host: a\r\nhost: b\r\n"),
            Err(Flaw::TwoHosts)
        );
        for bad in [
            "", "a b", "a/b", "a..b", "u@a", "a:b", "a:99999", "[::1", "[::g]", "a,b", "%61",
        ] {
            assert_eq!(
                with(new, &format!("Host: {bad}\r\n")),
                Err(Flaw::Host),
                "{bad:?}"
            );
        }
        assert_eq!(
            with("GET http://b/ HTTP/1.1", "Host: a\r\n"),
            Err(Flaw::HostDiffers)
        );
        assert_eq!(
            with("GET http://a:80/ HTTP/1.1", "Host: a\r\n"),
            Err(Flaw::HostDiffers)
        );
        assert_eq!(with("GET http://a/ HTTP/1.1", ""), Err(Flaw::NoHost));
        assert_eq!(with("GET http://a/ HTTP/1.0", ""), Err(Flaw::NoHost));
        assert!(with("GET http://a/ HTTP/1.1", "x: y\r\nHost:  a \r\n").is_ok());
    }

    #[test]
    fn a_body_has_one_length() {
        for (text, flaw) in [
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Flaw::Length),
            ("Content-Length: 5, 5\r\n", Flaw::Length),
            ("Content-Length: +5\r\n", Flaw::Length),
            ("Content-Length: \r\n", Flaw::Length),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Flaw::TwoFramings,
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
                Flaw::TwoFramings,
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Flaw::Coding,
            ),
            ("Transfer-Encoding: chunked, chunked\r\n", Flaw::Coding),
            ("Transfer-Encoding: xchunked\r\n", Flaw::Coding),
            ("Transfer-Encoding: \"chunked\"\r\n", Flaw::Coding),
            ("Transfer-Encoding: identity\r\n", Flaw::Coding),
            ("Transfer-Encoding: gzip, chunked\r\n", Flaw::CodingRefused),
        ] {
            assert_eq!(fields(text), Err(flaw), "{text:?}");
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(check(old), Err(Flaw::Coding));
    }

    #[test]
    fn limits_hold_before_the_head_is_whole() {
        let refused = |head: String| {
            let mut checker = Checker::default();
            let bytes = head.as_bytes();
            (1..=bytes.len()).find_map(|end| {
                checker
                    .check(&bytes[..end], &LIMITS)
                    .err()
                    .map(|flaw| (flaw, end))
            })
        };
        let (flaw, at) = refused(format!("GET /{}", "a".repeat(10_000))).expect("refused");
        assert!(flaw == Flaw::UriTooLong && at < 200, "{at}");
        let (flaw, at) =
            refused(format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(10_000))).expect("refused");
        assert!(flaw == Flaw::HeadTooLarge && at < 1200, "{at}");
        let (flaw, at) =
            refused(format!("GET / HTTP/1.1\r\n{}", "x: 1\r\n".repeat(1000))).expect("refused");
        assert!(flaw == Flaw::HeadTooLarge && at < 100, "{at}");
        // One over, and just not.
        let line = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(n - 1));
        assert_eq!(refused(line(100)), None);
        assert_eq!(refused(line(101)).map(|r| r.0), Some(Flaw::UriTooLong));
    }
}
