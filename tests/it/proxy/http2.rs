//! HTTP/2 at the door, HTTP/1.1 behind it: what one has in frames the other gets as one clean request.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, StatusCode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::client::TlsStream;

use super::tls::section;
use super::wire::{Asked, FINE, in_time, recorder};
use super::*;
use crate::support::process::free_ports;
use crate::support::tls::Authority;

struct Stage {
    ficus: Ficus,
    asked: Asked,
    sender: SendRequest<Bytes>,
    authority: Authority,
    address: SocketAddr,
    _folder: TempDir,
}

async fn stage(more: &str) -> Stage {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    authority
        .issue(&["app.example.com"])
        .write(folder.path(), "app");
    let [address]: [SocketAddr; 1] = free_ports();
    let (legacy, asked) = recorder(FINE).await;
    let config = section(address, folder.path(), &["app"], more);
    let ficus = in_front_of(legacy, &config).await;
    let client = authority.client(&["h2", "http/1.1"], None);
    let stream = client
        .connect(address, "app.example.com")
        .await
        .expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    Stage {
        ficus,
        asked,
        sender,
        authority,
        address,
        _folder: folder,
    }
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("https://app.example.com{path}"))
}

impl Stage {
    /// Sends a request with a body in these frames, the last of which ends it; answers the status.
    async fn send(
        &mut self,
        request: http::request::Builder,
        frames: &[&'static str],
    ) -> StatusCode {
        let request = request.body(()).expect("a request");
        let mut sender = self.sender.clone().ready().await.expect("room");
        let (answer, mut body) = sender
            .send_request(request, frames.is_empty())
            .expect("sent");
        for (place, frame) in frames.iter().enumerate() {
            let is_last = place + 1 == frames.len();
            body.send_data(Bytes::from_static(frame.as_bytes()), is_last)
                .expect("sent");
        }
        in_time(answer).await.expect("an answer").status()
    }
}

#[tokio::test]
async fn a_request_arrives_as_one_of_http_1() {
    let mut stage = stage("").await;
    let asking = request(Method::GET, "/a?b=c")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-tenant-id", "7")
        .header("x-ficus-tenant", "7");
    assert_eq!(stage.send(asking, &[]).await, 200);
    let request = stage.asked.next().await;
    assert_eq!(request.head.first, "GET /a?b=c HTTP/1.1");
    assert_eq!(request.head.get("host"), Some("app.example.com"));
    assert_eq!(request.head.get("cookie"), Some("a=1; b=2"));
    assert_eq!(request.head.get("x-forwarded-proto"), Some("https"));
    assert_eq!(
        (
            request.head.get("x-tenant-id"),
            request.head.get("x-ficus-tenant")
        ),
        (None, None)
    );
}

#[tokio::test]
async fn a_body_that_ends_in_an_empty_frame_is_ended_once() {
    let mut stage = stage("").await;
    for _ in 0..40 {
        // As many at once as a connection takes in half, so that upstream connections are used again and again.
        let mut answers = Vec::new();
        for _ in 0..50 {
            let request = request(Method::POST, "/many").body(()).expect("a request");
            let mut sender = stage.sender.clone().ready().await.expect("room");
            let (answer, mut body) = sender.send_request(request, false).expect("sent");
            for (frame, is_last) in [("some ", false), ("body", false), ("", true)] {
                let frame = Bytes::from_static(frame.as_bytes());
                body.send_data(frame, is_last).expect("sent");
            }
            answers.push(answer);
        }
        for answer in answers {
            assert_eq!(in_time(answer).await.expect("an answer").status(), 200);
            // On a pooled connection, a second end would be the beginning of this request's line.
            let request = stage.asked.next().await;
            assert_eq!(request.head.first, "POST /many HTTP/1.1");
            assert_eq!(request.body, b"some body");
        }
    }
    for (length, frames) in [
        ("9", &["some body", ""][..]),
        ("0", &[""]),
        ("9", &["some body"]),
    ] {
        let asking = request(Method::PUT, "/l").header("content-length", length);
        assert_eq!(stage.send(asking, frames).await, 200);
        let request = stage.asked.next().await;
        assert_eq!(request.body.len().to_string(), length);
    }
    assert_eq!(stage.asked.waiting(), 0);
}

#[tokio::test]
async fn many_requests_at_once_share_one_connection() {
    let mut stage = stage("").await;
    let mut answers = Vec::new();
    for round in 0..50 {
        let request = request(Method::GET, &format!("/{round}"))
            .body(())
            .expect("a request");
        let mut sender = stage.sender.clone().ready().await.expect("room");
        answers.push(sender.send_request(request, true).expect("sent").0);
    }
    for answer in answers {
        assert_eq!(in_time(answer).await.expect("an answer").status(), 200);
    }
    let mut paths = Vec::new();
    for _ in 0..50 {
        paths.push(stage.asked.next().await.head.first);
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 50, "each request once");
}

#[tokio::test]
async fn limits_hold_for_http_2_too() {
    let mut stage = stage("[proxy.limits]\nheader_count = 20\nbody_bytes = \"4KiB\"\n").await;
    let mut many = request(Method::GET, "/many");
    for place in 0..30 {
        many = many.header(format!("x-{place}"), "1");
    }
    assert_eq!(stage.send(many, &[]).await, 431);
    let asking = request(Method::POST, "/long").header("content-length", "5000");
    let long: &'static str = "x".repeat(5000).leak();
    assert_eq!(stage.send(asking, &[long]).await, 413);
    assert_eq!(stage.send(request(Method::GET, "/fine"), &[]).await, 200);
    assert_eq!(stage.asked.next().await.head.first, "GET /fine HTTP/1.1");
}

#[tokio::test]
async fn a_stop_lets_the_streams_end_that_have_begun() {
    let mut stage = stage("").await;
    assert_eq!(stage.send(request(Method::GET, "/a"), &[]).await, 200);
    stage.ficus.signal("TERM");
    assert_eq!(stage.ficus.wait().await, Some(0), "{}", stage.ficus.log());
}

#[tokio::test]
async fn a_body_that_stops_costs_its_stream_and_no_other() {
    let mut stage = stage("[proxy.timeouts]\nbody_read = \"1s\"\n").await;
    let asking = request(Method::POST, "/silent")
        .body(())
        .expect("a request");
    let mut sender = stage.sender.clone().ready().await.expect("room");
    let begun = Instant::now();
    let (answer, mut body) = sender.send_request(asking, false).expect("sent");
    body.send_data(Bytes::from_static(b"and then"), false)
        .expect("sent");
    let fault = in_time(answer).await.expect_err("no answer");
    assert!(fault.is_reset() && fault.is_remote(), "{fault}");
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert!(stage.ficus.log().contains("slow-body"));
    assert_eq!(stage.send(request(Method::GET, "/next"), &[]).await, 200);
}

#[tokio::test]
async fn a_body_that_flows_slowly_is_waited_for() {
    let more = "[proxy.timeouts]\nbody_read = \"1s\"\n[proxy.limits]\nmin_rate = \"100\"\n";
    let mut stage = stage(more).await;
    let asking = request(Method::POST, "/slow").body(()).expect("a request");
    let mut sender = stage.sender.clone().ready().await.expect("room");
    let (answer, mut body) = sender.send_request(asking, false).expect("sent");
    // Ten times the rate, for longer than two periods.
    for round in 0..30 {
        body.send_data(Bytes::from_static(&[b'x'; 100]), round == 29)
            .expect("sent");
        sleep(Duration::from_millis(90)).await;
    }
    assert_eq!(in_time(answer).await.expect("an answer").status(), 200);
    assert_eq!(stage.asked.next().await.body.len(), 3000);
}

/// A client that writes its frames itself.
struct Frames(TlsStream<TcpStream>);

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;

impl Frames {
    async fn connect(stage: &Stage) -> Self {
        let client = stage.authority.client(&["h2"], None);
        let stream = client.connect(stage.address, "app.example.com").await;
        let mut client = Self(stream.expect("a handshake"));
        let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        opening.extend(frame(4, 0, 0, &[]));
        client.0.write_all(&opening).await.expect("sent");
        client
    }

    /// Sends for stream after stream what `frames` says, until the other side ends the connection; answers for how many.
    async fn until_closed(self, frames: impl Fn(u32) -> Vec<u8>) -> u32 {
        let (mut reader, mut writer) = tokio::io::split(self.0);
        // What comes is taken, or the other side could not speak either.
        let reading = tokio::spawn(async move {
            let mut bytes = [0; 16 * 1024];
            while matches!(reader.read(&mut bytes).await, Ok(1..)) {}
        });
        let mut sent = 0;
        while !reading.is_finished() && sent < 20_000 {
            if writer.write_all(&frames(2 * sent + 1)).await.is_err() {
                break;
            }
            sent += 1;
            tokio::task::yield_now().await;
        }
        in_time(reading).await.expect("it ends");
        sent
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A whole GET of `/`: method, scheme and path are in HPACK's table, the host follows as it is.
fn asking(stream: u32) -> Vec<u8> {
    let mut fields = vec![0x82, 0x87, 0x84, 0x41, 15];
    fields.extend_from_slice(b"app.example.com");
    frame(HEADERS, 5, stream, &fields)
}

/// Clients that make requests in order to take them back are let go for one of `reasons`, and others hear nothing of it.
async fn is_let_go(reasons: &[&str], frames: impl Fn(u32) -> Vec<u8>) {
    let mut stage = stage("").await;
    let sent = Frames::connect(&stage).await.until_closed(frames).await;
    assert!(sent < 20_000, "it is never let go");
    let metrics = stage.ficus.metrics().await;
    let line = |reason| format!("ficus_door_refused_total{{reason=\"{reason}\"}} 1");
    let is_counted = reasons.iter().any(|reason| metrics.contains(&line(reason)));
    assert!(is_counted, "after {sent} streams, none of {reasons:?}");
    assert_eq!(stage.send(request(Method::GET, "/other"), &[]).await, 200);
}

#[tokio::test]
async fn who_resets_its_streams_as_fast_as_it_opens_them_is_let_go() {
    is_let_go(&["stream-resets", "http2-flood"], |stream| {
        [asking(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    })
    .await;
}

#[tokio::test]
async fn who_makes_the_proxy_reset_its_streams_is_let_go() {
    let largest = 0x7fff_ffff_u32.to_be_bytes();
    is_let_go(&["provoked-resets", "http2-flood"], |stream| {
        let grow = frame(WINDOW_UPDATE, 0, stream, &largest);
        [asking(stream), grow.clone(), grow].concat()
    })
    .await;
}
