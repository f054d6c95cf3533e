//! The circuit breaker as clients see it.
//!
//! Its own file, because here time has to pass: the breaker's own, which the test sets short or without end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::in_front_of;
use super::super::wire::{get, origin};
use super::{answer, asked, refusal, until_metric};
use crate::support::process::eventually;

/// An origin that answers 503 while it is told to, and counts.
async fn failing() -> (SocketAddr, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (fails, count) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (is_failing, counted) = (Arc::clone(&fails), Arc::clone(&count));
    let address = origin(move |mut wire| {
        let (fails, count) = (Arc::clone(&is_failing), Arc::clone(&counted));
        async move {
            while wire.request().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
                let status = if fails.load(Ordering::SeqCst) {
                    503
                } else {
                    200
                };
                wire.send(answer(status, "said")).await;
            }
        }
    });
    (address.await, fails, count)
}

fn breaker(open: &str) -> String {
    format!(
        "[upstream.legacy.breaker]\nfailures = 50\nmin_requests = 4\nopen = \"{open}\"\nprobes = 1\n"
    )
}

#[tokio::test]
async fn an_upstream_that_fails_is_left_alone_and_asked_again_when_it_is_well() {
    let (legacy, fails, count) = failing().await;
    let ficus = in_front_of(legacy, &breaker("300ms")).await;
    for _ in 0..4 {
        assert_eq!(asked(&ficus, &get("/", "")).await.text(), "said");
    }
    until_metric(&ficus, r#"ficus_breaker_state{upstream="legacy"} 2"#).await;
    eventually("a refusal", || async {
        let answer = asked(&ficus, &get("/", "")).await;
        (answer.text() != "said").then(|| {
            assert_eq!(refusal(&answer), (503, "breaker-open".to_owned()));
            assert_eq!(answer.head.get("retry-after"), Some("1"));
        })
    })
    .await;
    // While it is open or tried with one at a time, next to nothing gets through.
    let before = count.load(Ordering::SeqCst);
    for _ in 0..20 {
        asked(&ficus, &get("/", "")).await;
    }
    assert!(count.load(Ordering::SeqCst) < before + 10);
    fails.store(false, Ordering::SeqCst);
    until_closed(&ficus).await;
    assert_eq!(asked(&ficus, &get("/", "")).await.head.status(), 200);
}

async fn until_closed(ficus: &crate::support::process::Ficus) {
    eventually("the breaker closes", || async {
        asked(ficus, &get("/", "")).await;
        let closed = r#"ficus_breaker_state{upstream="legacy"} 0"#;
        ficus.metrics().await.contains(closed).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_changes_something_else_leaves_an_open_breaker_open() {
    let (legacy, fails, count) = failing().await;
    let ficus = in_front_of(legacy, &breaker("1h")).await;
    for _ in 0..4 {
        asked(&ficus, &get("/", "")).await;
    }
    fails.store(false, Ordering::SeqCst);
    let reload = |ficus: &crate::support::process::Ficus, from: &str, to: &str| {
        let text = std::fs::read_to_string(&ficus.config).expect("its configuration");
        assert!(text.contains(from));
        let aside = ficus.config.with_extension("new");
        std::fs::write(&aside, text.replace(from, to)).expect("written");
        std::fs::rename(&aside, &ficus.config).expect("in place");
    };
    reload(
        &ficus,
        "[flags]",
        "[proxy.limits]\nheader_count = 50\n[flags]",
    );
    until_metric(&ficus, "ficus_config_reloads_total 1").await;
    let answer = asked(&ficus, &get("/", "")).await;
    assert_eq!(refusal(&answer).1, "breaker-open");
    let seconds: u32 = answer
        .head
        .get("retry-after")
        .expect("told")
        .parse()
        .expect("seconds");
    assert!((3000..=3600).contains(&seconds), "{seconds}");
    assert_eq!(count.load(Ordering::SeqCst), 4);

    // One that changes the upstream begins anew.
    reload(&ficus, "probes = 1", "probes = 2");
    until_metric(&ficus, "ficus_config_reloads_total 2").await;
    assert_eq!(asked(&ficus, &get("/", "")).await.text(), "said");
    until_metric(&ficus, r#"ficus_breaker_state{upstream="legacy"} 0"#).await;
}
