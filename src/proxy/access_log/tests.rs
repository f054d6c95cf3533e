//! Lines through the whole of it: into the buffers, over to the writer, out. Its own file, for its writers that watch or block.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use super::{AccessLog, HALF, Line, locked};

const PATIENCE: Duration = Duration::from_secs(20);

fn line(path: &str) -> Line<'_> {
    Line {
        request_id: "0af7651916cd43dd8448eb211c80319c",
        client: Some(IpAddr::from([192, 0, 2, 1])),
        method: "GET",
        host: Some("example.com"),
        path,
        status: Some(200),
        bytes: 68,
        elapsed: Duration::from_micros(1_234),
        tenant: Some(7),
        identity: Some("header"),
        auth: None,
        capability: "dashboard",
        side: Some("modern"),
        reason: "flag",
        revision: 12,
        fallback: None,
        upstream: Some("modern"),
        attempts: 1,
        error: None,
    }
}

/// Keeps what is written, and says after each write that it was.
struct Page {
    text: Arc<Mutex<Vec<u8>>>,
    told: SyncSender<()>,
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.text).extend_from_slice(bytes);
        // Who does not listen has heard enough.
        let _ = self.told.try_send(());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start() -> (AccessLog, Arc<Mutex<Vec<u8>>>, Receiver<()>) {
    let text = Arc::new(Mutex::new(Vec::new()));
    let (told, written) = sync_channel(64);
    let page = Page {
        text: Arc::clone(&text),
        told,
    };
    let log = AccessLog::start_to(Box::new(page), Counter::default()).unwrap();
    (log, text, written)
}

fn lines_of(text: &Mutex<Vec<u8>>) -> usize {
    locked(text)
        .split_inclusive(|byte| *byte == b'\n')
        .inspect(|line| assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok()))
        .count()
}

#[test]
fn a_line_is_written_without_another_one_behind_it() {
    let (log, text, written) = start();
    // Each after a pause in which the writer fell asleep, or nearly.
    for count in 1..=20 {
        log.write(&line("/dashboard"));
        written.recv_timeout(PATIENCE).unwrap();
        assert_eq!(lines_of(&text), count);
    }
}

#[test]
fn every_line_of_every_worker_is_there_after_a_flush() {
    const EACH: usize = 5_000;
    let (log, text, _written) = start();
    std::thread::scope(|workers| {
        for _ in 0..4 {
            let log = log.clone();
            workers.spawn(move || (0..EACH).for_each(|_| log.write(&line("/dashboard"))));
        }
    });
    log.flush(PATIENCE);
    assert_eq!(lines_of(&text), 4 * EACH);
    assert_eq!(log.dropped.get(), 0);
}

#[test]
fn workers_that_share_a_buffer_lose_nothing_either() {
    const EACH: usize = 5_000;
    let (log, text, _written) = start();
    std::thread::scope(|workers| {
        for _ in 0..4 {
            workers.spawn(|| (0..EACH).for_each(|_| log.write(&line("/dashboard"))));
        }
    });
    log.flush(PATIENCE);
    assert_eq!(lines_of(&text), 4 * EACH);
}

#[test]
fn the_last_lines_are_written_when_the_log_is_dropped() {
    let (log, text, written) = start();
    let worker = log.clone();
    worker.write(&line("/of-the-worker"));
    log.write(&line("/of-the-log"));
    drop((worker, log));
    // Until the writer has dropped its page.
    while written.recv_timeout(PATIENCE).is_ok() {}
    assert_eq!(lines_of(&text), 2);
}

/// Takes nothing until its gate is dropped.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv_timeout(PATIENCE);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_find_no_room_are_dropped_and_counted() {
    let (gate, held) = sync_channel(1);
    let log = AccessLog::start_to(Box::new(Stuck(held)), Counter::default()).unwrap();
    let long = "/".repeat(1 << 20);
    // Two halves, and at most as much again in the writer's hands.
    for _ in 0..5 * (HALF >> 20) {
        log.write(&line(&long));
    }
    assert!(log.dropped.get() > 0);
    drop(gate);
}
