//! Bounds on requests under way: who is refused, who is not, and that every place is given back.
//!
//! Its own file, because each test holds requests open at the origin, and none of them waits for a clock.

use std::net::SocketAddr;

use tokio::sync::{mpsc, watch};

use super::super::wire::{FINE, Wire, get, in_time, origin};
use super::super::{in_front_of, listening};
use super::{asked, moved, refusal};
use crate::support::process::{Ficus, Setup, eventually, named_upstream, two_sides};

/// An origin that holds `/slow` and below until it is told, and says when it has taken one.
struct Holding {
    address: SocketAddr,
    taken: mpsc::UnboundedReceiver<()>,
    go_on: watch::Sender<bool>,
}

async fn holding() -> Holding {
    let (go_on, gate) = watch::channel(false);
    let (told, taken) = mpsc::unbounded_channel();
    let address = origin(move |mut wire| {
        let (mut gate, told) = (gate.clone(), told.clone());
        async move {
            while let Ok(request) = wire.request().await {
                if request.head.first.contains("slow") {
                    told.send(()).expect("the test listens");
                    gate.wait_for(|go_on| *go_on).await.expect("told");
                }
                if wire.try_send(FINE).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    Holding {
        address,
        taken,
        go_on,
    }
}

impl Holding {
    /// Sends a request and waits until the origin holds it.
    async fn hold(&mut self, ficus: &Ficus, request: &str) -> Wire {
        let mut client = Wire::connect(ficus.proxy).await;
        client.send(request).await;
        in_time(self.taken.recv()).await.expect("the origin runs");
        client
    }
}

/// Asks until it is served: a place is free a moment after its request's end was seen.
async fn until_served(ficus: &Ficus, request: &str) {
    eventually("served again", || async {
        (asked(ficus, request).await.head.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_slow_tenant_fills_its_own_places_and_nobody_elses() {
    let database = moved().await;
    let mut modern = holding().await;
    let config = two_sides(named_upstream("legacy").await, modern.address).replace(
        "[upstream.legacy]",
        "limits = { tenant_requests = 3 }\n[upstream.legacy]",
    );
    let ficus = listening(Setup::new(database.url(), &config)).await;
    let slow = get("/dashboard/slow", "x-tenant-id: 1\r\n");
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(modern.hold(&ficus, &slow).await);
    }
    for _ in 0..10 {
        let answer = asked(&ficus, &slow).await;
        assert_eq!(refusal(&answer), (503, "tenant-busy".to_owned()));
        assert_eq!(answer.head.get("retry-after"), Some("1"));
        // The other tenant, and who names none, are served as ever.
        for fields in ["x-tenant-id: 2\r\n", ""] {
            let answer = asked(&ficus, &get("/dashboard/quick", fields)).await;
            assert_eq!(answer.head.status(), 200, "{fields:?}");
        }
    }
    // One of the three goes away, and its place with it.
    drop(held.pop());
    let mut again = loop {
        let mut client = Wire::connect(ficus.proxy).await;
        client.send(&slow).await;
        tokio::select! {
            answer = client.answer() => assert_eq!(answer.head.status(), 503),
            _ = modern.taken.recv() => break client,
        }
    };
    modern.go_on.send(true).expect("the origin waits");
    assert_eq!(again.answer().await.text(), "fine");
    for mut client in held {
        assert_eq!(client.answer().await.text(), "fine");
    }
    for _ in 0..5 {
        until_served(&ficus, &slow).await;
    }
    let metrics = ficus.metrics().await;
    assert!(metrics.contains("ficus_requests_refused_total{reason=\"tenant-busy\"}"));
}

#[tokio::test]
async fn over_the_bound_of_the_process_everybody_is_told_at_once() {
    let mut legacy = holding().await;
    let ficus = in_front_of(legacy.address, "[proxy.limits]\nrequests = 2\n").await;
    let first = legacy.hold(&ficus, &get("/slow", "")).await;
    let _second = legacy.hold(&ficus, &get("/slow", "")).await;
    let answer = asked(&ficus, &get("/", "")).await;
    assert_eq!(refusal(&answer), (503, "overloaded".to_owned()));
    assert_eq!(answer.head.get("retry-after"), Some("1"));
    drop(first);
    until_served(&ficus, &get("/", "")).await;
}

#[tokio::test]
async fn over_the_bound_of_an_upstream_others_are_served() {
    let mut slow = holding().await;
    let config = format!(
        "[upstream.slow]\nurl = \"http://{}\"\nmax_requests = 1\n[[route]]\npath = \"/{{*rest}}\"\nupstream = \"slow\"\n",
        slow.address
    );
    let ficus = in_front_of(named_upstream("legacy").await, &config).await;
    let held = slow.hold(&ficus, &get("/slow", "")).await;
    let answer = asked(&ficus, &get("/quick", "")).await;
    assert_eq!(refusal(&answer), (503, "upstream-busy".to_owned()));
    assert_eq!(asked(&ficus, &get("/", "")).await.head.status(), 200);
    drop(held);
    until_served(&ficus, &get("/quick", "")).await;
}
