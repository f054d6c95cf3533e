//! Cases that ficus does not pass yet, each with what is missing.
//!
//! Its own file, because it may only shrink: a case on it that passes fails the test.

pub const FAILURES: &[(&str, &str)] = &[
    (
        "absolute-form/double-slash-path",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/empty-path",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/empty-path-options",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/empty-path-query",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/fragment",
        "the head is not looked at before the parser mends it",
    ),
    (
        "absolute-form/good-ipv6",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/http-1-0-without-host",
        "an old client's request is sent on without a Host",
    ),
    (
        "absolute-form/https-over-plain",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/post-with-body",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/same-host",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/same-host-port",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/same-host-query",
        "a whole URI is sent on as it came",
    ),
    (
        "absolute-form/scheme-ftp",
        "the head is not looked at before the parser mends it",
    ),
    (
        "absolute-form/scheme-gopher",
        "the head is not looked at before the parser mends it",
    ),
    (
        "absolute-form/scheme-javascript",
        "the head is not looked at before the parser mends it",
    ),
    (
        "absolute-form/scheme-unix",
        "the head is not looked at before the parser mends it",
    ),
    (
        "absolute-form/scheme-upper-case",
        "a whole URI is sent on as it came",
    ),
    (
        "content-length/list-same",
        "the head is not looked at before the parser mends it",
    ),
    (
        "content-length/twice-same",
        "the head is not looked at before the parser mends it",
    ),
    (
        "content-length/twice-same-value-other-text",
        "the head is not looked at before the parser mends it",
    ),
    (
        "hop-by-hop/close-on-second-line",
        "only one Connection field is read",
    ),
    (
        "host/http-1-0-missing",
        "an old client's request is sent on without a Host",
    ),
    (
        "request-line/line-cr-in-target",
        "the head is not looked at before the parser mends it",
    ),
    (
        "request-line/line-two-blanks-before-target",
        "the head is not looked at before the parser mends it",
    ),
    (
        "request-line/line-two-blanks-before-version",
        "the head is not looked at before the parser mends it",
    ),
    (
        "request-line/method-very-long",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/asterisk-get",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/asterisk-more",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/authority-get",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/authority-get-name-only",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/blank",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/blank-in-query",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/del",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/escape-byte",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/fragment",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/fragment-alone",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/fragment-before-query",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/fragment-empty",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/leading-at",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/leading-backslash",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/leading-dots",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/leading-query",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/leading-semicolon",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/no-leading-slash",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/no-leading-slash-path",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/nul",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/nul-in-query",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/raw-utf-8",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/raw-utf-8-in-query",
        "the head is not looked at before the parser mends it",
    ),
    (
        "target/tab",
        "the head is not looked at before the parser mends it",
    ),
    (
        "transfer-encoding/chunked-twice",
        "codings before the last are forgotten",
    ),
    (
        "transfer-encoding/gzip-then-chunked",
        "codings before the last are forgotten",
    ),
    (
        "transfer-encoding/identity-then-chunked",
        "codings before the last are forgotten",
    ),
    (
        "transfer-encoding/two-lines-chunked-twice",
        "codings before the last are forgotten",
    ),
    (
        "transfer-encoding/two-lines-identity-then-chunked",
        "codings before the last are forgotten",
    ),
    (
        "transfer-encoding/unknown-then-chunked",
        "codings before the last are forgotten",
    ),
    (
        "upgrade/connect-lower-case",
        "the head is not looked at before the parser mends it",
    ),
    ("upgrade/trace", "TRACE is sent on"),
    ("upgrade/trace-secrets", "TRACE is sent on"),
    ("upgrade/trace-with-body", "TRACE is sent on"),
    (
        "upgrade/websocket-without-connection",
        "an Upgrade that the connection does not name is sent on",
    ),
];
