//! SIGTERM with requests in flight: what has begun is answered, within the time that it is given.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, sleep};

use super::*;
use crate::support::Database;
use crate::support::process::upstream;

/// The length of a streamed answer: 20 pieces of 8 KiB.
const STREAMED: usize = 20 * 8192;

/// Thinks for a second, streams for one, or never answers, as the path says.
async fn slow_upstream() -> SocketAddr {
    upstream(|request: Request| async move {
        match request.uri().path() {
            "/thinks" => {
                sleep(Duration::from_secs(1)).await;
                Response::new(Body::from("thought"))
            }
            "/streams" => {
                let pieces = stream::unfold(0, |sent| async move {
                    if sent == 20 {
                        return None;
                    }
                    sleep(Duration::from_millis(50)).await;
                    let piece = Bytes::from(vec![b'x'; 8192]);
                    Some((Ok::<_, Infallible>(piece), sent + 1))
                });
                Response::new(Body::from_stream(pieces))
            }
            _ => std::future::pending().await,
        }
    })
    .await
}

async fn start(drain: &str) -> (Database, Ficus) {
    let database = Database::new().await;
    seed(database.pool()).await;
    let upstream = slow_upstream().await;
    let config = two_sides(upstream, upstream);
    let setup = Setup::new(database.url(), &config).variable("FICUS__PROXY__DRAIN", drain);
    let ficus = setup.start().await;
    (database, ficus)
}

/// Sends a request, and answers its body's length when all of it is there.
fn ask(ficus: &Ficus, path: &str) -> tokio::task::JoinHandle<reqwest::Result<usize>> {
    let request = client().get(ficus.url(path));
    tokio::spawn(async move {
        Ok(request
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?
            .len())
    })
}

async fn until_in_flight(ficus: &Ficus, requests: f64) {
    until_metric(ficus, "ficus_requests_in_flight", |now| now == requests).await;
}

#[tokio::test]
async fn every_request_in_flight_is_answered_in_full() {
    let (_database, mut ficus) = start("15s").await;
    let thinking: Vec<_> = (0..20).map(|_| ask(&ficus, "/thinks")).collect();
    let streaming: Vec<_> = (0..20).map(|_| ask(&ficus, "/streams")).collect();
    until_in_flight(&ficus, 40.0).await;
    ficus.signal("TERM");
    for (answers, length) in [(thinking, "thought".len()), (streaming, STREAMED)] {
        for answer in answers {
            let answer = answer.await.expect("the client ends");
            assert_eq!(answer.expect("an answer"), length);
        }
    }
    assert_eq!(ficus.wait().await, Some(0));
}

#[tokio::test]
async fn a_request_that_takes_longer_than_the_drain_is_given_up_and_said() {
    let (_database, mut ficus) = start("300ms").await;
    let stuck = ask(&ficus, "/never");
    until_in_flight(&ficus, 1.0).await;
    ficus.signal("TERM");
    assert_eq!(ficus.wait().await, Some(1));
    assert!(
        ficus
            .log()
            .contains("gave up waiting for requests in flight requests=1"),
        "{}",
        ficus.log()
    );
    assert!(stuck.await.expect("the client ends").is_err());
}

#[tokio::test]
async fn a_second_signal_means_now() {
    let (_database, mut ficus) = start("1h").await;
    let stuck = ask(&ficus, "/never");
    until_in_flight(&ficus, 1.0).await;
    ficus.signal("TERM");
    eventually("it is stopping", || async {
        ficus
            .log()
            .contains("stopping: no new connections")
            .then_some(())
    })
    .await;
    let begun = Instant::now();
    ficus.signal("INT");
    assert_eq!(ficus.wait().await, Some(1));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(stuck.await.expect("the client ends").is_err());
}
