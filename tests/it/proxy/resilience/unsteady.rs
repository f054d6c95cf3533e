//! An address that comes and goes, and one that takes everything and answers nothing, beside one that is well.
//!
//! Its own file, because nobody refuses anything here: what clients notice is how long they wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::Deaf;
use super::super::wire::{Wire, get, origin};
use super::addresses::with_two;
use super::{answer, asked, counting};
use crate::support::process::{Ficus, PATIENCE};

/// Asks until `until`, and answers the longest wait. Every request has its answer.
async fn longest_wait(ficus: &Ficus, until: Instant) -> Duration {
    let mut longest = Duration::ZERO;
    while Instant::now() < until {
        let begun = Instant::now();
        let answer = asked(ficus, &get("/a", "")).await;
        assert_eq!((answer.head.status(), answer.text()), (200, "fine"));
        longest = longest.max(begun.elapsed());
    }
    longest
}

/// An address at which somebody answers for `period`, and then nobody for as long, and so on. Without its listener its
/// connections end too, in the middle of whatever they were at.
async fn flapping(period: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let mut next = Some(listener);
        loop {
            let listener = match next.take() {
                Some(listener) => listener,
                None => TcpListener::bind(address).await.expect("the same port"),
            };
            let mut open = JoinSet::new();
            let serving = async {
                while let Ok((stream, _)) = listener.accept().await {
                    open.spawn(async move {
                        let mut wire = Wire::over(stream);
                        while wire.request().await.is_ok() {
                            let _ = wire.try_send(answer(200, "fine")).await;
                        }
                    });
                }
            };
            let _ = timeout(period, serving).await;
            drop((listener, open));
            sleep(period).await;
        }
    });
    address
}

#[tokio::test]
async fn an_address_that_comes_and_goes_costs_nobody_an_answer() {
    let (good, _) = counting("fine").await;
    let flapping = flapping(Duration::from_secs(3)).await;
    let more = "outlier = { failures = 3, eject = \"500ms\" }";
    let ficus = with_two(flapping, good, more).await;
    // Away and back and away again.
    let longest = longest_wait(&ficus, Instant::now() + Duration::from_secs(10)).await;
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}

#[tokio::test]
async fn an_address_that_takes_requests_and_answers_none_costs_a_few_their_time_and_is_left_out() {
    let (good, _) = counting("fine").await;
    let is_silent = Arc::new(AtomicBool::new(false));
    let silence = Arc::clone(&is_silent);
    let silent = origin(move |mut wire| {
        let is_silent = Arc::clone(&silence);
        async move {
            while wire.request().await.is_ok() && !is_silent.load(Ordering::SeqCst) {
                let _ = wire.try_send(answer(200, "fine")).await;
            }
            std::future::pending().await
        }
    })
    .await;
    let more = "read_timeout = \"500ms\"\noutlier = { failures = 3, eject = \"1h\" }";
    let ficus = with_two(silent, good, more).await;
    // Each has pooled connections by now.
    longest_wait(&ficus, Instant::now() + Duration::from_millis(300)).await;
    is_silent.store(true, Ordering::SeqCst);
    let ejected = r#"ficus_upstream_ejections_total{upstream="both"} 1"#;
    let (mut told, begun) = (0, Instant::now());
    while !ficus.metrics().await.contains(ejected) {
        let answer = asked(&ficus, &get("/a", "")).await;
        told += usize::from(answer.head.status() == 504);
        assert!(begun.elapsed() < PATIENCE, "it is never left out");
    }
    // Whoever was asked has the request, and may be at work on it: another is not asked the same. Three such, and nobody is.
    assert_eq!(told, 3);
    longest_wait(&ficus, Instant::now() + Duration::from_secs(1)).await;
}

#[tokio::test]
async fn an_address_that_lets_nobody_in_costs_the_time_to_connect() {
    let (good, _) = counting("fine").await;
    let deaf = Deaf::new().await;
    let more = "connect_timeout = \"300ms\"\noutlier = { failures = 3, eject = \"1h\" }";
    let ficus = with_two(deaf.address, good, more).await;
    let longest = longest_wait(&ficus, Instant::now() + Duration::from_secs(3)).await;
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    let failures = r#"ficus_upstream_failures_total{upstream="both",kind="connect"} 3"#;
    assert!(ficus.metrics().await.contains(failures));
}
