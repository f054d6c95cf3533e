//! Upstreams that cannot be reached, are slow, break off or speak nonsense.
//!
//! Its own file, because in each case somebody waits for an answer, and half an answer must not look like a whole one.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use super::wire::{FINE, Wire, ask, get, in_time, origin};
use super::{Deaf, dead_port, in_front_of, transparent};
use crate::support::process::{Ficus, eventually};

/// Status and problem of one GET.
async fn refused(ficus: &Ficus) -> (u16, String) {
    let answer = ask(ficus.proxy, get("/", "")).await;
    let kind = answer.json()["type"].as_str().expect("a type").to_owned();
    let kind = kind.trim_start_matches("urn:ficus:problem:").to_owned();
    (answer.head.status(), kind)
}

fn said(status: u16, kind: &str) -> (u16, String) {
    (status, kind.to_owned())
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502() {
    let ficus = transparent(dead_port()).await;
    assert_eq!(refused(&ficus).await, said(502, "unreachable"));
    // And the next request of the same client is answered as well, on a connection of its own.
    assert_eq!(refused(&ficus).await, said(502, "unreachable"));
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_a_502() {
    let config = "[upstream.nowhere]\nurl = \"http://nowhere.invalid:80\"\n[capability.c]\nlegacy = \"nowhere\"\n\
                  modern = \"legacy\"\neffect = \"read\"\n[[route]]\npath = \"/\"\ncapability = \"c\"\n";
    let ficus = in_front_of(dead_port(), config).await;
    assert_eq!(refused(&ficus).await, said(502, "unreachable"));
}

#[tokio::test]
async fn an_upstream_that_does_not_take_connections_is_a_504() {
    let deaf = Deaf::new().await;
    let ficus = in_front_of(deaf.address, "connect_timeout = \"200ms\"\n").await;
    assert_eq!(refused(&ficus).await, said(504, "upstream-timeout"));
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_a_504_and_is_let_go() {
    let (left, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let legacy = origin(move |mut wire| {
        let left = left.clone();
        async move {
            wire.head().await.expect("a head");
            left.send(wire.rest().await.0).expect("told");
        }
    })
    .await;
    let ficus = in_front_of(legacy, "read_timeout = \"200ms\"\n").await;
    assert_eq!(refused(&ficus).await, said(504, "upstream-timeout"));
    assert_eq!(
        in_time(ended.recv())
            .await
            .expect("the connection is closed"),
        b""
    );
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_of_a_body_is_a_504() {
    let legacy = origin(|mut wire| async move {
        wire.head().await.expect("a head");
        std::future::pending().await
    })
    .await;
    let more = "write_timeout = \"300ms\"\n[proxy.timeouts]\ndrain_body = \"1s\"\n";
    let ficus = in_front_of(legacy, more).await;
    let client = tokio::net::TcpStream::connect(ficus.proxy).await;
    let (reader, mut writer) = client.expect("a connection").into_split();
    let mut reader = tokio::io::BufReader::new(reader);
    let head = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n";
    writer.write_all(head.as_bytes()).await.expect("sent");
    let sending =
        tokio::spawn(async move { while writer.write_all(&[b'x'; 65536]).await.is_ok() {} });
    let mut first = String::new();
    in_time(reader.read_line(&mut first)).await.expect("a line");
    assert_eq!(first, "HTTP/1.1 504 Gateway Timeout\r\n");
    // What is left of the body is read for a while, and then the connection ends.
    in_time(sending).await.expect("it ends");
}

#[tokio::test]
async fn a_pooled_connection_is_closed_when_nobody_uses_it_for_its_time() {
    let (left, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let legacy = origin(move |mut wire| {
        let left = left.clone();
        async move {
            wire.request().await.expect("a request");
            wire.send(FINE).await;
            left.send(wire.rest().await.0).expect("told");
        }
    })
    .await;
    let ficus = in_front_of(legacy, "idle_timeout = \"300ms\"\n").await;
    assert_eq!(ask(ficus.proxy, get("/", "")).await.text(), "fine");
    assert_eq!(in_time(ended.recv()).await.expect("it is closed"), b"");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_before_its_answer_is_a_502() {
    for begun in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let legacy = origin(move |mut wire| async move {
            wire.head().await.expect("a head");
            wire.send(begun).await;
        })
        .await;
        let ficus = transparent(legacy).await;
        let (status, _) = refused(&ficus).await;
        assert_eq!(status, 502, "{begun:?}");
    }
    let legacy = origin(|mut wire| async move {
        wire.head().await.expect("a head");
        wire.reset();
    })
    .await;
    assert_eq!(refused(&transparent(legacy).await).await.0, 502);
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_502() {
    for nonsense in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 two hundred\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    ] {
        let legacy = origin(move |mut wire| async move {
            wire.head().await.expect("a head");
            wire.send(nonsense).await;
            wire.rest().await;
        })
        .await;
        let ficus = transparent(legacy).await;
        assert_eq!(
            refused(&ficus).await,
            said(502, "bad-answer"),
            "{nonsense:?}"
        );
    }
}

#[tokio::test]
async fn half_an_answer_never_looks_like_a_whole_one() {
    // An answer with a length is passed on by buffers, so its half is larger than one.
    let large = &*format!("{}hello", "a".repeat(4096)).leak();
    for (framing, half, by_reset) in [
        ("content-length: 9999", large, false),
        ("content-length: 9999", large, true),
        ("transfer-encoding: chunked", "5\r\nhello\r\n", false),
        ("transfer-encoding: chunked", "5\r\nhello\r\n", true),
    ] {
        let (broken, gate) = tokio::sync::watch::channel(false);
        let legacy = origin(move |mut wire| {
            let mut gate = gate.clone();
            async move {
                wire.head().await.expect("a head");
                wire.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{half}"))
                    .await;
                gate.wait_for(|broken| *broken).await.expect("told");
                if by_reset {
                    wire.reset();
                }
            }
        })
        .await;
        let ficus = transparent(legacy).await;
        let mut client = Wire::connect(ficus.proxy).await;
        client.send(get("/", "")).await;
        let head = client.head().await.expect("a head");
        assert_eq!(head.status(), 200);
        client.until(b"hello").await.expect("the first half");
        broken.send(true).expect("the origin waits");
        let (rest, _) = client.rest().await;
        let rest = String::from_utf8(rest).expect("text");
        assert!(
            !rest.contains("0\r\n"),
            "{framing}, reset {by_reset}: ended with {rest:?}"
        );
        assert!(
            !rest.contains("urn:ficus"),
            "no second answer inside the first: {rest:?}"
        );
        let line = eventually("a line", || async { ficus.access_log().pop() }).await;
        assert_eq!(line["status"], 200);
        assert!(
            line["error"].is_string(),
            "the log says that it broke: {line}"
        );
        let metrics = ficus.metrics().await;
        let mut refused = metrics
            .lines()
            .filter(|l| l.starts_with("ficus_requests_refused"));
        assert!(
            refused.all(|l| l.ends_with(" 0")),
            "an answer was given: {metrics}"
        );
    }
}
