//! Large bodies pass through: no more of them is in memory than a few buffers, and who is slow slows the sender down.
//!
//! Its own file, because it watches the process from outside: its memory and what its sockets take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use super::wire::{Wire, get, in_time, origin};
use super::{in_front_of, transparent};
use crate::support::process::{Ficus, eventually};

const BODY: usize = 200 << 20;
const PIECE: usize = 64 << 10;
/// What a request's way through may add to the process, whatever its body.
const GROWTH: usize = 32 << 20;

/// The piece that stands at a place of the body: it begins with its place, so that none can stand for another.
fn piece(number: usize) -> Vec<u8> {
    let mut piece = vec![0xa5; PIECE];
    piece[..8].copy_from_slice(&number.to_be_bytes());
    piece
}

fn checksum() -> Vec<u8> {
    let mut hash = Sha256::new();
    (0..BODY / PIECE).for_each(|n| hash.update(piece(n)));
    hash.finalize().to_vec()
}

/// Writes the whole body, and counts what is gone so far.
async fn pour(to: &mut (impl AsyncWriteExt + Unpin), gone: &AtomicUsize) {
    for number in 0..BODY / PIECE {
        to.write_all(&piece(number)).await.expect("written");
        gone.fetch_add(PIECE, Ordering::Relaxed);
    }
}

async fn drink(from: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let (mut hash, mut left, mut bytes) = (Sha256::new(), BODY, vec![0; PIECE]);
    while left > 0 {
        let read = from.read(&mut bytes).await.expect("read");
        assert!(read > 0, "{left} bytes are missing");
        hash.update(&bytes[..read]);
        left -= read;
    }
    hash.finalize().to_vec()
}

/// The sender's count when it has stopped moving: the reader takes nothing and every buffer between is full.
async fn stalled(gone: &AtomicUsize) -> usize {
    let mut last = (usize::MAX, 0);
    eventually("the sender stands still", || {
        let now = gone.load(Ordering::Relaxed);
        last = if now == last.0 && now > 0 {
            (now, last.1 + 1)
        } else {
            (now, 0)
        };
        // A quarter of a second without one piece, at 5 ms each look.
        let still = (last.1 >= 50).then_some(now);
        async move { still }
    })
    .await
}

fn narrow_listener() -> (SocketAddr, TcpListener) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("a buffer");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let listener = socket.listen(16).expect("a listener");
    (listener.local_addr().expect("its address"), listener)
}

/// The most that the process has had in memory since the mark was last put back.
fn peak(ficus: &Ficus) -> usize {
    field(ficus, "VmHWM:") << 10
}

fn resident(ficus: &Ficus) -> usize {
    field(ficus, "VmRSS:") << 10
}

fn field(ficus: &Ficus, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", ficus.pid())).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.expect("the field").trim().trim_end_matches(" kB");
    number.parse().expect("a number")
}

#[tokio::test]
async fn an_upload_is_not_kept_and_a_slow_origin_slows_the_client() {
    let (address, listener) = narrow_listener();
    let ficus = in_front_of(address, "[proxy.timeouts]\nwrite = \"60s\"\n").await;
    let before = resident(&ficus);
    let gone = Arc::new(AtomicUsize::new(0));
    let (go, gate) = oneshot::channel::<()>();
    let origin = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut wire = Wire::over(stream);
        wire.head().await.expect("a head");
        gate.await.expect("told to read");
        // What came with the head is at the front of the body.
        let (early, mut stream) = wire.into_parts();
        let sum = drink(&mut early.as_slice().chain(&mut stream)).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .expect("answered");
        sum
    });
    let mut client = Wire::connect(ficus.proxy).await;
    client
        .send(format!(
            "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY}\r\n\r\n"
        ))
        .await;
    let counter = Arc::clone(&gone);
    let client = tokio::spawn(async move {
        pour(&mut client.stream, &counter).await;
        client.answer().await.head.status()
    });
    let taken = stalled(&gone).await;
    assert!(
        taken < BODY / 4,
        "{taken} bytes were taken though nobody reads"
    );
    go.send(()).expect("the origin waits");
    assert_eq!(in_time(client).await.expect("an answer"), 200);
    assert!(
        origin.await.expect("a sum") == checksum(),
        "not the same bytes"
    );
    let growth = peak(&ficus).saturating_sub(before);
    assert!(growth < GROWTH, "grew by {growth} bytes");
}

#[tokio::test]
async fn a_download_is_not_kept_and_a_slow_client_slows_the_origin() {
    let gone = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&gone);
    let legacy = origin(move |mut wire| {
        let gone = Arc::clone(&counter);
        async move {
            wire.request().await.expect("a request");
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n"))
                .await;
            pour(&mut wire.stream, &gone).await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let before = resident(&ficus);
    let mut client = Wire::connect_narrow(ficus.proxy).await;
    client.send(get("/", "")).await;
    let head = client.head().await.expect("a head");
    assert_eq!(head.get("content-length"), Some(BODY.to_string().as_str()));
    let taken = stalled(&gone).await;
    assert!(
        taken < BODY / 4,
        "{taken} bytes were taken though nobody reads"
    );
    let (early, mut stream) = client.into_parts();
    let sum = in_time(drink(&mut early.as_slice().chain(&mut stream))).await;
    assert!(sum == checksum(), "not the same bytes");
    let growth = peak(&ficus).saturating_sub(before);
    assert!(growth < GROWTH, "grew by {growth} bytes");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_its_upstream_let_go() {
    let (left, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let legacy = origin(move |mut wire| {
        let left = left.clone();
        async move {
            wire.request().await.expect("a request");
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
                .await;
            while wire.try_send(piece(0)).await.is_ok() {}
            left.send(()).expect("told");
        }
    })
    .await;
    let ficus = in_front_of(legacy, "[proxy.timeouts]\nwrite = \"300ms\"\n").await;
    let mut client = Wire::connect_narrow(ficus.proxy).await;
    client.send(get("/", "")).await;
    in_time(ended.recv()).await.expect("the origin is let go");
    let (body, _) = client.rest().await;
    assert!(body.len() < 1_000_000_000);
}

#[tokio::test]
async fn a_client_that_stops_sending_its_body_is_told_and_its_upstream_let_go() {
    let (left, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let legacy = origin(move |mut wire| {
        let left = left.clone();
        async move {
            wire.head().await.expect("a head");
            left.send(wire.rest().await.0).expect("told");
        }
    })
    .await;
    let ficus = in_front_of(legacy, "[proxy.timeouts]\nbody_read = \"200ms\"\n").await;
    let mut client = Wire::connect(ficus.proxy).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.head.status(), 408);
    assert_eq!(answer.json()["type"], "urn:ficus:problem:request-timeout");
    assert_eq!(client.rest().await.0, b"");
    let told = in_time(ended.recv()).await;
    assert_eq!(told.expect("the origin is let go"), b"half");
}
