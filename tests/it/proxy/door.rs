//! Where connections come in: who takes them, what happens when there are too many, and how they end at a stop.
//!
//! Its own file, because this is about connections, whatever is asked on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::wire::{End, FINE, Wire, ask, get, in_time, origin, recorder};
use super::{in_front_of, transparent};
use crate::support::process::{Ficus, eventually};

#[tokio::test]
async fn each_worker_keeps_upstream_connections_of_its_own() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let legacy = origin(move |mut wire| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { while wire.request().await.is_ok() && wire.try_send(FINE).await.is_ok() {} }
    });
    // Two threads, as every process of the tests has.
    let ficus = transparent(legacy.await).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Wire::connect(ficus.proxy).await;
        assert_eq!(client.ask(get("/", "")).await.head.status(), 200);
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.ask(get("/", "")).await.head.status(), 200);
    }
    // One after the other, each worker needs one: fewer, and a worker had no client; more, and none was used again.
    assert_eq!(opened.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_idle_connection_ends_with_the_stop_and_holds_nobody_up() {
    let (legacy, _asked) = recorder(FINE).await;
    let mut ficus = in_front_of(legacy, "[proxy]\ndrain = \"10m\"").await;
    let (mut used, mut fresh) = (
        Wire::connect(ficus.proxy).await,
        Wire::connect(ficus.proxy).await,
    );
    assert_eq!(used.ask(get("/", "")).await.head.status(), 200);
    ficus.signal("TERM");
    assert_eq!(used.rest().await, (Vec::new(), End::Closed));
    assert_eq!(fresh.rest().await, (Vec::new(), End::Closed));
    assert_eq!(ficus.wait().await, Some(0));
}

#[tokio::test]
async fn a_request_in_flight_at_the_stop_is_answered_and_its_client_told_to_close() {
    let (asked, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let script = (Arc::clone(&asked), Arc::clone(&go));
    let legacy = origin(move |mut wire| {
        let (asked, go) = script.clone();
        async move {
            let _ = wire.request().await;
            asked.add_permits(1);
            let _ = go.acquire().await;
            wire.send(FINE).await;
        }
    });
    let mut ficus = transparent(legacy.await).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client.send(get("/", "")).await;
    in_time(asked.acquire()).await.expect("open").forget();
    ficus.signal("TERM");
    eventually("the stop is begun", || async {
        ficus.log().contains("stopping").then_some(())
    })
    .await;
    // Nobody is let in any more; this one is waited for.
    eventually("the door is shut", || async {
        tokio::net::TcpStream::connect(ficus.proxy).await.err()
    })
    .await;
    go.add_permits(1);
    let answer = client.answer().await;
    assert_eq!((answer.head.status(), answer.text()), (200, "fine"));
    assert_eq!(answer.head.get("connection"), Some("close"));
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    assert_eq!(ficus.wait().await, Some(0));
}

#[tokio::test]
async fn out_of_descriptors_it_waits_and_goes_on() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    // The kernel takes connections earlier than ficus does, which reads files while it starts.
    assert_eq!(ask(ficus.proxy, get("/", "")).await.text(), "fine");
    limit_descriptors(&ficus, 8);
    // More than it can take, and each stays.
    let mut crowd = Vec::new();
    for _ in 0..32 {
        crowd.push(Wire::connect(ficus.proxy).await);
    }
    eventually("it says what it lacks", || async {
        ficus
            .log()
            .contains("raise the limit of open files")
            .then_some(())
    })
    .await;
    drop(crowd);
    let mut client = Wire::connect(ficus.proxy).await;
    assert_eq!(client.ask(get("/", "")).await.head.status(), 200);
}

/// Leaves the process `more` descriptors than it has open.
fn limit_descriptors(ficus: &Ficus, more: usize) {
    let pid = ficus.pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let limit = open.count() + more;
    let done = std::process::Command::new("prlimit")
        .args([format!("--pid={pid}"), format!("--nofile={limit}:")])
        .status();
    assert!(done.expect("prlimit runs").success());
}
