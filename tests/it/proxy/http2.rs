//! HTTP/2 at the door, HTTP/1.1 behind it: what one has in frames the other gets as one clean request.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, StatusCode};
use tempfile::TempDir;

use super::tls::section;
use super::wire::{Asked, FINE, in_time, recorder};
use super::*;
use crate::support::process::free_ports;
use crate::support::tls::Authority;

struct Stage {
    ficus: Ficus,
    asked: Asked,
    sender: SendRequest<Bytes>,
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
    for round in 0..500 {
        let path = format!("/{round}");
        assert_eq!(
            stage
                .send(request(Method::POST, &path), &["some ", "body", ""])
                .await,
            200
        );
        // On a pooled connection, a second end would be the beginning of this request's line.
        let request = stage.asked.next().await;
        assert_eq!(request.head.first, format!("POST {path} HTTP/1.1"));
        assert_eq!(request.body, b"some body");
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
