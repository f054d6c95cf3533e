//! Heads as bytes, whole and in pieces.
//!
//! Its own file, because there are more wrong heads than lines that tell them apart.

use super::*;

const LIMITS: Limits = Limits {
    header_count: 10,
    header_bytes: 1024,
    uri_bytes: 100,
    body_bytes: 0,
    min_rate: 0,
    untaken_bytes: 0,
    connections: 0,
    connections_per_ip: 0,
    requests: 0,
    tenant_requests: 0,
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
    let head = check(b"\r\nGET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\nmore").unwrap();
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
