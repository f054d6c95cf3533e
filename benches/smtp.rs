//! Messages a second through the engine's SMTP client, beside lettre, over twenty connections to a sink.
//!
//! Its own bench: `FICUS_SMTP_SINK=smtp-sink cargo bench --bench smtp` (root: `smtp-sink -u nobody`). The sink is
//! Postfix's, which reads and forgets; it takes its own share of the processors. FICUS_MESSAGES makes a trial run small.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot be set up has nothing to measure, and its figures are its output"
)]

use std::future::ready;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ficus::engine::provider::smtp::{
    Address, Envelope, Grouping, Limits, Message, Outcome, Pool, Security, Server,
};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;

const CONNECTIONS: usize = 20;
const PORT: u16 = 2626;

/// Postfix's sink, for as long as this lives.
struct Sink(Child);

impl Sink {
    async fn start() -> Option<Self> {
        let command = std::env::var("FICUS_SMTP_SINK").ok()?;
        let mut words = command.split_whitespace();
        let child = Command::new(words.next()?)
            .args(words)
            .args([&format!("127.0.0.1:{PORT}"), "1000"])
            .stdout(Stdio::null())
            .spawn()
            .expect("the sink starts");
        let sink = Self(child);
        while tokio::net::TcpStream::connect(("127.0.0.1", PORT))
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(sink)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It is ours, and it holds nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let count = std::env::var("FICUS_MESSAGES").map_or(40_000, |it| it.parse().expect("a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let Some(_sink) = Sink::start().await else {
            println!("FICUS_SMTP_SINK is not set: nothing to measure against");
            return;
        };
        for (name, grouping) in [
            ("ficus, one round trip a message", Grouping::AcrossMessages),
            ("ficus, two round trips a message", Grouping::WithinMessage),
            ("ficus, one command at a time", Grouping::Never),
        ] {
            report(name, count, ours(count, grouping).await);
        }
        // It waits 40 ms a message, so that a tenth says as much.
        report(
            "lettre, a connection a task",
            count / 10,
            lettre(count / 10).await,
        );
    });
}

fn report(name: &str, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!(
        "{name}: {count} messages in {:.2} s, {rate:.0} msg/s",
        took.as_secs_f64()
    );
}

fn body() -> Bytes {
    let line = "a line of some sixty characters, as a newsletter has them.\r\n";
    format!(
        "Subject: bench\r\nFrom: ann@example.com\r\n\r\n{}",
        line.repeat(33)
    )
    .into()
}

async fn ours(count: usize, grouping: Grouping) -> Duration {
    let server = Server {
        security: Security::Plain,
        grouping,
        ..Server::new("127.0.0.1", PORT)
    };
    let limits = Limits {
        connections: CONNECTIONS,
        messages_per_connection: 0,
        ..Limits::default()
    };
    let pool = Pool::new(server, limits).expect("a pool");
    let body = body();
    let address = |text| Address::parse(text).expect("an address");
    let messages = (0..count).map(|_| {
        let envelope = Envelope::new(
            Some(address("ann@example.com")),
            vec![address("bob@example.com")],
        );
        let message = Message::new(envelope.expect("an envelope"), body.clone());
        (message.expect("a message"), ready(Ok(())))
    });
    let begun = Instant::now();
    let outcomes = pool.send_all(messages).await;
    let took = begun.elapsed();
    for outcome in &outcomes {
        assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    }
    pool.close().await;
    took
}

/// Its pool would add a NOOP before each message: each task has a connection of its own instead.
async fn lettre(count: usize) -> Duration {
    let from = "ann@example.com".parse().expect("an address");
    let to = "bob@example.com".parse().expect("an address");
    let envelope = lettre::address::Envelope::new(Some(from), vec![to]).expect("an envelope");
    let (envelope, body, next) = (Arc::new(envelope), body(), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (envelope, body, next) = (Arc::clone(&envelope), body.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let name = ClientId::Domain("localhost".to_owned());
                let connected = AsyncSmtpConnection::connect_tokio1(
                    ("127.0.0.1", PORT),
                    None,
                    &name,
                    None,
                    None,
                );
                let mut connection = connected.await.expect("the sink is there");
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    connection.send(&envelope, &body).await.expect("it is sent");
                }
                let _ = connection.quit().await;
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task");
    }
    begun.elapsed()
}
