//! What is set for HTTP/2, and where it differs from HTTP/1 on the way to an upstream.
//!
//! Its own file, because each line here stands for a limit that HTTP/1 has elsewhere, or for a fault of pingora 0.9 that is kept
//! from upstreams.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version, header};
use pingora::apps::HttpServerOptions;
use pingora::protocols::http::v2::server::H2Options;

use super::backlog::{Backlog, Held, patience};
use crate::proxy::edge::Edge;

/// Requests at once on a connection: what browsers use, and Envoy's advice for the edge.
const STREAMS: u32 = 100;
/// What a client may send of one body, and of all, before it is asked for more: as much as is held for it at most.
pub const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What is held of an answer that the client does not take.
const SEND_BUFFER: usize = 64 * 1024;

/// For a piece of an answer at least: some 64 KiB, which is over 100 kbit/s.
const PIECE: Duration = Duration::from_secs(5);

/// For the connections of one worker, from the configuration at its start.
pub fn http2_options(edge: &Edge) -> (HttpServerOptions, H2Options) {
    let mut server = HttpServerOptions::default();
    server.h2_idle_timeout = Some(edge.timeouts.keepalive);
    let mut options = H2Options::default();
    options
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        // Its sum counts 32 bytes more for each field (RFC 9113, 6.5.2); the gateway counts again, without them.
        .max_header_list_size(
            u32::try_from(edge.limits.header_bytes + 32 * edge.limits.header_count)
                .unwrap_or(u32::MAX),
        );
    (server, options)
}

/// A piece of a long answer: how long the client may take for it, and its place among those who are waited for. Every stream
/// with a long answer is counted as one that waits.
pub fn allow_answer(edge: &Edge, backlog: &Backlog) -> (Duration, Held) {
    let held = backlog.hold();
    let (longest, budget) = (edge.timeouts.write, edge.limits.untaken_bytes);
    let time = patience(longest, backlog.bytes(), budget);
    // A piece is taken as a whole, or too slowly.
    (time.max(PIECE.min(longest)), held)
}

/// The end of a body that comes as an empty frame: pingora would write the last chunk twice, and the second would be
/// read as the beginning of the next request (cloudflare/pingora#935).
pub fn drop_empty_end(body: &mut Option<Bytes>, is_end: bool) {
    if is_end && body.as_ref().is_some_and(Bytes::is_empty) {
        *body = None;
    }
}

/// HTTP/2 lets a client send each cookie as a field of its own; HTTP/1 knows one (RFC 9113, 8.2.3; cloudflare/pingora#901).
pub fn joined_cookies(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    if version != Version::HTTP_2 {
        return None;
    }
    let mut all = headers.get_all(header::COOKIE).iter();
    let mut joined = all.next()?.as_bytes().to_vec();
    let mut is_one = true;
    for crumb in all {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
        is_one = false;
    }
    match is_one {
        true => None,
        false => HeaderValue::from_bytes(&joined).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_http_2_become_one_field() {
        let mut headers = HeaderMap::new();
        assert_eq!(joined_cookies(Version::HTTP_2, &headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("a=1"));
        assert_eq!(joined_cookies(Version::HTTP_2, &headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        let one = HeaderValue::from_static("a=1; b=2");
        assert_eq!(joined_cookies(Version::HTTP_2, &headers), Some(one));
        assert_eq!(joined_cookies(Version::HTTP_11, &headers), None);
    }

    #[test]
    fn only_an_empty_end_is_dropped() {
        for (body, is_end, left) in [
            (Some(""), true, None),
            (Some(""), false, Some("")),
            (Some("x"), true, Some("x")),
            (None, true, None),
        ] {
            let mut body = body.map(|text: &str| Bytes::from(text.to_owned()));
            drop_empty_end(&mut body, is_end);
            assert_eq!(body.as_deref(), left.map(str::as_bytes));
        }
    }
}
