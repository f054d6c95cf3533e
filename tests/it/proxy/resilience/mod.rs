//! Upstreams in trouble: what clients notice of it, and how often anything is carried out.
//!
//! Its own folder, because each way to be in trouble has its own cure.

mod addresses;
mod bounds;
mod breaker;
mod fallback;
mod miss;
mod names;
mod stages;
mod tls;
mod unsteady;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::wire::{Message, Wire, origin};
use crate::support::Database;
use crate::support::process::{Ficus, eventually};

/// An origin that answers `body` to everything, and counts.
async fn counting(body: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let address = origin(move |mut wire| {
        let count = Arc::clone(&counted);
        async move {
            while wire.request().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
                if wire.try_send(answer(200, body)).await.is_err() {
                    return;
                }
            }
        }
    });
    (address.await, count)
}

/// An answer with a text.
fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn post(target: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nhost: app.example.com\r\n{fields}content-length: {length}\r\n\r\n{body}"
    )
}

/// Status and kind of ficus' own refusal.
fn refusal(answer: &Message) -> (u16, String) {
    let kind = answer.json()["type"].as_str().expect("a type").to_owned();
    let kind = kind.trim_start_matches("urn:ficus:problem:").to_owned();
    (answer.head.status(), kind)
}

/// Waits until a metric has a value.
async fn until_metric(ficus: &Ficus, line: &str) {
    eventually(line, || async {
        ficus
            .metrics()
            .await
            .lines()
            .any(|l| l == line)
            .then_some(())
    })
    .await;
}

/// Tenants 1 and 2 on the modern side of `dashboard`.
async fn moved() -> Database {
    let database = Database::new().await;
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (1, 'albatross'), (2, 'bluebird');
         insert into ficus.flag (tenant_id, capability, state)
         values (1, 'dashboard', 'modern'), (2, 'dashboard', 'modern')",
    )
    .execute(database.pool())
    .await
    .expect("seeded");
    database
}

/// Waits for `line` of the access log, counted from 0.
async fn log_line(ficus: &Ficus, line: usize) -> serde_json::Value {
    eventually("a line of the access log", || async {
        ficus.access_log().into_iter().nth(line)
    })
    .await
}

/// A connection on which a whole answer came.
async fn asked(ficus: &Ficus, request: &str) -> Message {
    Wire::connect(ficus.proxy).await.ask(request).await
}
