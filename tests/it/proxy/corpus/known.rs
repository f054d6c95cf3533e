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
        "absolute-form/good-ipv6",
        "a whole URI is sent on as it came",
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
        "absolute-form/scheme-upper-case",
        "a whole URI is sent on as it came",
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
        "upgrade/websocket-without-connection",
        "an Upgrade that the connection does not name is sent on",
    ),
];
