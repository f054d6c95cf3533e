//! How often a request is carried out: never twice, unless nobody could tell.
//!
//! Its own file, because every count here is the origin's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::wire::{FINE, Wire, ask, get, origin};
use super::{listening, setup};
use crate::support::Database;
use crate::support::process::{Ficus, Setup, eventually, named_upstream, two_sides};

const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";

/// With one thread, so that a connection that was used is the one that is used next.
async fn one_pool(legacy: SocketAddr) -> Ficus {
    listening(setup(legacy, "").variable("FICUS__PROXY__THREADS", "1")).await
}

/// Answers `answered` requests on each connection, takes one more, and hangs up. Counts what it took.
async fn forgetful(answered: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let address = origin(move |mut wire| {
        let taken = Arc::clone(&count);
        async move {
            for place in 0..=answered {
                if wire.request().await.is_err() {
                    return;
                }
                taken.fetch_add(1, Ordering::SeqCst);
                if place < answered {
                    wire.send(FINE).await;
                }
            }
        }
    });
    (address.await, taken)
}

#[tokio::test]
async fn a_post_that_may_have_been_carried_out_is_not_sent_again() {
    let (legacy, taken) = forgetful(1).await;
    let ficus = one_pool(legacy).await;
    assert_eq!(ask(ficus.proxy, get("/", "")).await.text(), "fine");
    let answer = ask(ficus.proxy, POST).await;
    assert_eq!(answer.head.status(), 502);
    assert_eq!(taken.load(Ordering::SeqCst), 2, "one GET, one POST");
}

#[tokio::test]
async fn a_get_on_a_connection_that_died_is_asked_once_more() {
    let (legacy, taken) = forgetful(1).await;
    let ficus = one_pool(legacy).await;
    assert_eq!(ask(ficus.proxy, get("/", "")).await.text(), "fine");
    let answer = ask(ficus.proxy, get("/again?token=MARKED-QUERY", "")).await;
    assert_eq!(answer.text(), "fine");
    assert_eq!(taken.load(Ordering::SeqCst), 3, "the second was sent twice");
    let line = eventually("two lines", || async {
        ficus.access_log().into_iter().nth(1)
    })
    .await;
    assert_eq!(line["attempts"], 2);
    assert!(!ficus.log().contains("MARKED"), "{}", ficus.log());
}

#[tokio::test]
async fn a_get_on_a_new_connection_is_not_asked_again() {
    let (legacy, taken) = forgetful(0).await;
    let ficus = one_pool(legacy).await;
    assert_eq!(ask(ficus.proxy, get("/", "")).await.head.status(), 502);
    assert_eq!(taken.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_origin_that_hangs_up_after_each_answer_costs_no_get_and_doubles_no_post() {
    let posts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&posts);
    let legacy = origin(move |mut wire| {
        let posts = Arc::clone(&count);
        async move {
            if let Ok(request) = wire.request().await {
                if request.head.first.starts_with("POST") {
                    posts.fetch_add(1, Ordering::SeqCst);
                }
                wire.send(FINE).await;
            }
        }
    })
    .await;
    let ficus = one_pool(legacy).await;
    let mut succeeded = 0;
    for _ in 0..50 {
        assert_eq!(ask(ficus.proxy, get("/", "")).await.head.status(), 200);
        let status = ask(ficus.proxy, POST).await.head.status();
        assert!([200, 502].contains(&status), "{status}");
        succeeded += usize::from(status == 200);
    }
    assert_eq!(
        posts.load(Ordering::SeqCst),
        succeeded,
        "what was carried out was told"
    );
}

#[tokio::test]
async fn a_request_ends_on_the_side_on_which_it_began() {
    let database = Database::new().await;
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (2, 'bluebird');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')",
    )
    .execute(database.pool())
    .await
    .expect("seeded");
    let (go_on, gate) = watch::channel(false);
    let modern = origin(move |mut wire| {
        let mut gate = gate.clone();
        async move {
            wire.request().await.expect("a request");
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                .await;
            gate.wait_for(|go_on| *go_on).await.expect("told");
            wire.send("4\r\nlast\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let config = two_sides(named_upstream("legacy").await, modern);
    let ficus = listening(Setup::new(database.url(), &config)).await;
    let request = get("/dashboard", "x-tenant-id: 2\r\n");
    let mut client = Wire::connect(ficus.proxy).await;
    client.send(&request).await;
    let head = client.head().await.expect("a head");
    assert_eq!(head.get("x-ficus-served-by"), Some("modern"));
    client.until(b"first\r\n").await.expect("half");

    sqlx::query("update ficus.flag set state = 'legacy'")
        .execute(database.pool())
        .await
        .expect("flipped");
    eventually("a new request is legacy's", || async {
        let mut other = Wire::connect(ficus.proxy).await;
        other.send(&request).await;
        let head = other.head().await.expect("a head");
        (head.get("x-ficus-served-by") == Some("legacy")).then_some(())
    })
    .await;
    go_on.send(true).expect("the origin waits");
    let rest = client.until(b"0\r\n\r\n").await.expect("the rest");
    assert_eq!(rest, b"4\r\nlast\r\n0\r\n\r\n");
}
