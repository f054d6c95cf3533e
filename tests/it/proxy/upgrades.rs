//! What is more than one request and one answer: WebSockets, events as they happen, `Expect: 100-continue`.
//!
//! Its own file, because here the order in time is the promise, and every wait is for a byte of the other side.

use super::wire::{FINE, Wire, in_time, origin};
use super::{in_front_of, transparent};

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches protocols as fast as it can, then echoes bytes until the other end closes.
async fn echo(mut wire: Wire) {
    let Ok(head) = wire.head().await else { return };
    if head.get("upgrade") != Some("websocket") {
        wire.send("HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n")
            .await;
        return;
    }
    wire.send(SWITCHED).await;
    while let Ok(byte) = wire.exactly(1).await {
        wire.send(byte).await;
    }
}

#[tokio::test]
async fn a_websocket_is_a_tunnel() {
    let ficus = transparent(origin(echo).await).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client.send(HANDSHAKE).await;
    let head = client.head().await.expect("an answer");
    assert_eq!(head.status(), 101);
    assert_eq!(head.get("upgrade"), Some("websocket"));
    assert_eq!(
        head.get("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    for said in [&b"\x81\x05hello"[..], b"\x82\x7e", &[0xff; 4000]] {
        client.send(said).await;
        assert_eq!(client.exactly(said.len()).await.expect("an echo"), said);
    }
}

#[tokio::test]
async fn many_handshakes_with_an_origin_that_answers_at_once_all_become_tunnels() {
    // So many, because the fault that `tunnel.rs` stands around is a race.
    let all = 10_000;
    let ficus = transparent(origin(echo).await).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..16 {
        let proxy = ficus.proxy;
        clients.spawn(async move {
            for number in (client..all).step_by(16) {
                let mut client = Wire::connect(proxy).await;
                client.send(HANDSHAKE).await;
                let head = client.head().await.expect("an answer");
                assert_eq!(head.status(), 101, "handshake {number}");
                let said: [u8; 4] = u32::to_be_bytes(number);
                client.send(said).await;
                let echoed = client.exactly(4).await;
                assert_eq!(echoed.expect("an echo"), said, "handshake {number}");
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test]
async fn a_silent_tunnel_outlives_every_other_deadline_and_has_its_own() {
    let more = "read_timeout = \"300ms\"\nwrite_timeout = \"300ms\"\n[proxy.timeouts]\nhead = \"300ms\"\n\
                body_read = \"300ms\"\nwrite = \"300ms\"\nkeepalive = \"1s\"\ntunnel_idle = \"2s\"\n";
    let ficus = in_front_of(origin(echo).await, more).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client.send(HANDSHAKE).await;
    assert_eq!(client.head().await.expect("an answer").status(), 101);
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    client.send("!").await;
    assert_eq!(client.exactly(1).await.expect("an echo"), b"!");
    let begun = std::time::Instant::now();
    client.rest().await;
    assert!(begun.elapsed() >= std::time::Duration::from_millis(1900));
    assert!(ficus.log().contains("idle-tunnel"));
}

#[tokio::test]
async fn an_upstream_that_never_answers_a_handshake_is_given_up() {
    let legacy = origin(|mut wire| async move {
        wire.rest().await;
    });
    let ficus = in_front_of(legacy.await, "read_timeout = \"300ms\"\n").await;
    let answer = super::wire::ask(ficus.proxy, HANDSHAKE).await;
    assert!([502, 504].contains(&answer.head.status()));
}

#[tokio::test]
async fn a_client_that_is_told_nothing_sends_its_body_in_the_end() {
    let legacy = origin(|mut wire| async move {
        while wire.request().await.is_ok() {
            wire.send(FINE).await;
        }
    });
    let ficus = transparent(legacy.await).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client
        .send("PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        .await;
    client.send("body").await;
    assert_eq!(client.answer().await.text(), "fine");
}

#[tokio::test]
async fn a_client_that_closes_its_side_has_gone_and_its_upstream_is_let_go() {
    let (left, mut gone) = tokio::sync::mpsc::unbounded_channel();
    let legacy = origin(move |mut wire| {
        let left = left.clone();
        async move {
            wire.request().await.expect("a request");
            wire.rest().await;
            left.send(()).expect("told");
        }
    });
    let ficus = transparent(legacy.await).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client.send(super::wire::get("/", "")).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream)
        .await
        .expect("half closed");
    in_time(gone.recv()).await.expect("the origin is let go");
}

#[tokio::test]
async fn either_end_of_a_tunnel_ends_it() {
    let (left, mut right) = tokio::sync::mpsc::unbounded_channel();
    let legacy = origin(move |mut wire| {
        let left = left.clone();
        async move {
            wire.head().await.expect("a handshake");
            wire.send(SWITCHED).await;
            if wire.exactly(1).await.expect("a byte") == b"?" {
                left.send(wire.rest().await.0).expect("told");
            }
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client.send(HANDSHAKE).await;
    assert_eq!(client.head().await.expect("an answer").status(), 101);
    client.send("!").await;
    assert_eq!(client.rest().await.0, b"", "the origin hung up");

    let mut client = Wire::connect(ficus.proxy).await;
    client.send(HANDSHAKE).await;
    assert_eq!(client.head().await.expect("an answer").status(), 101);
    client.send("?bye").await;
    drop(client);
    assert_eq!(
        in_time(right.recv()).await.expect("the origin is told"),
        b"bye"
    );
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_like_any_other() {
    let legacy = origin(|mut wire| async move {
        while wire.request().await.is_ok() {
            wire.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
                .await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let answer = super::wire::ask(ficus.proxy, HANDSHAKE).await;
    assert_eq!((answer.head.status(), answer.text()), (403, "no"));
}

#[tokio::test]
async fn events_arrive_when_they_are_sent() {
    let (next, gate) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let gate = std::sync::Arc::new(tokio::sync::Mutex::new(gate));
    let legacy = origin(move |mut wire| {
        let gate = std::sync::Arc::clone(&gate);
        async move {
            wire.request().await.expect("a request");
            wire.send(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            )
            .await;
            while let Some(event) = gate.lock().await.recv().await {
                wire.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
            }
            wire.send("0\r\n\r\n").await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client.send(super::wire::get("/events", "")).await;
    let head = client.head().await.expect("the head before any event");
    assert_eq!(head.get("content-type"), Some("text/event-stream"));
    // Each is sent only after the one before it has arrived, so one that is held back would never come.
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        next.send(event).expect("the origin waits");
        client.until(event.as_bytes()).await.expect("the event");
    }
    drop(next);
    client.until(b"0\r\n\r\n").await.expect("the end");
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_go_on_is_told_by_the_origin() {
    let legacy = origin(|mut wire| async move {
        while let Ok(head) = wire.head().await {
            assert_eq!(head.get("expect"), Some("100-continue"));
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            wire.body(&head).await.expect("a body");
            wire.send(FINE).await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for _ in 0..2 {
        client
            .send("PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
            .await;
        assert_eq!(client.head().await.expect("told").status(), 100);
        client.send("body").await;
        assert_eq!(client.answer().await.text(), "fine");
    }
}

#[tokio::test]
async fn an_origin_that_does_not_want_the_body_says_so_before_it_is_sent() {
    let legacy = origin(|mut wire| async move {
        wire.head().await.expect("a head");
        wire.send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
            .await;
        let (unwanted, _) = wire.rest().await;
        assert_eq!(unwanted, b"");
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client
        .send("PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.head.status(), answer.text()), (413, "big"));
    // Nobody knows whether the body still comes, so no other request may follow on this connection.
    assert_eq!(answer.head.get("connection"), Some("close"));
}
