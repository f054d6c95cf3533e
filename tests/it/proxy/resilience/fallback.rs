//! Legacy in modern's place: where it answers, and where it must not.
//!
//! Its own file, because the worst failure is a request that both sides carry out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::wire::{get, origin};
use super::super::{dead_port, listening};
use super::{asked, counting, log_line, moved, post, until_metric};
use crate::support::Database;
use crate::support::process::{Ficus, Setup, two_sides};

const TENANT: &str = "x-tenant-id: 1\r\n";

/// A capability of this effect that falls back.
async fn falling_back(
    database: &Database,
    legacy: SocketAddr,
    modern: SocketAddr,
    effect: &str,
) -> Ficus {
    let config = two_sides(legacy, modern).replace(
        "effect = \"read\"",
        &format!("effect = \"{effect}\"\nfallback = \"legacy\""),
    );
    listening(Setup::new(database.url(), &config)).await
}

/// Reads each request whole, as one that carries it out would, and hangs up.
async fn hanging_up() -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let address = origin(move |mut wire| {
        let count = Arc::clone(&counted);
        async move {
            if wire.request().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (address.await, count)
}

#[tokio::test]
async fn where_nothing_could_be_sent_legacy_answers_everything_even_what_sends() {
    let database = moved().await;
    let (legacy, count) = counting("legacy").await;
    let ficus = falling_back(&database, legacy, dead_port(), "send").await;
    for request in [get("/dashboard", TENANT), post("/dashboard", TENANT, "hi")] {
        let answer = asked(&ficus, &request).await;
        assert_eq!(answer.text(), "legacy");
        assert_eq!(answer.head.get("x-ficus-served-by"), Some("legacy"));
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let line = log_line(&ficus, 1).await;
    assert_eq!(
        [
            &line["side"],
            &line["reason"],
            &line["fallback"],
            &line["upstream"]
        ],
        ["legacy", "flag", "unreachable", "legacy"]
    );
    assert_eq!(line["attempts"], 2);
    until_metric(
        &ficus,
        r#"ficus_fallbacks_total{capability="dashboard",cause="unreachable"} 2"#,
    )
    .await;
}

#[tokio::test]
async fn what_sends_never_goes_to_legacy_once_modern_may_have_sent_it() {
    let database = moved().await;
    let (legacy, on_legacy) = counting("legacy").await;
    let (modern, on_modern) = hanging_up().await;
    let ficus = falling_back(&database, legacy, modern, "send").await;
    // Even a GET: in legacy's own routes it is what sends a campaign.
    for request in [get("/dashboard", TENANT), post("/dashboard", TENANT, "hi")] {
        assert_eq!(asked(&ficus, &request).await.head.status(), 502);
    }
    assert_eq!(on_modern.load(Ordering::SeqCst), 2);
    assert_eq!(on_legacy.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_read_that_modern_breaks_off_is_legacys_and_a_post_is_nobodys() {
    let database = moved().await;
    let (legacy, on_legacy) = counting("legacy").await;
    let (modern, _) = hanging_up().await;
    let ficus = falling_back(&database, legacy, modern, "read").await;
    let answer = asked(&ficus, &get("/dashboard", TENANT)).await;
    assert_eq!(answer.text(), "legacy");
    let answer = asked(&ficus, &post("/dashboard", TENANT, "hi")).await;
    assert_eq!(answer.head.status(), 502);
    assert_eq!(on_legacy.load(Ordering::SeqCst), 1);
    // Each worker writes its own lines, so their order says nothing.
    let lines = [log_line(&ficus, 0).await, log_line(&ficus, 1).await];
    let of = |method: &str| {
        lines
            .iter()
            .find(|l| l["method"] == method)
            .expect("its line")
    };
    assert_eq!(of("GET")["fallback"], "broken");
    // The one that failed is modern's, and its line says so.
    assert_eq!(of("POST")["side"], "modern");
}

#[tokio::test]
async fn without_a_fallback_a_dead_modern_side_is_told() {
    let database = moved().await;
    let (legacy, on_legacy) = counting("legacy").await;
    let config = two_sides(legacy, dead_port());
    let ficus = listening(Setup::new(database.url(), &config)).await;
    let answer = asked(&ficus, &get("/dashboard", TENANT)).await;
    assert_eq!(answer.head.status(), 502);
    assert_eq!(on_legacy.load(Ordering::SeqCst), 0);
}
