//! A pool's connections: how many, how long, and what becomes of messages when they end.
//!
//! Its own file, because it is about tasks and their ends.

use std::future::{Future, pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use ficus::engine::provider::smtp::{Class, Limits, Pool, Server, Timeouts, Withheld};
use tokio::sync::oneshot;

use super::{classes, message, pool, recorded, to};
use crate::support::smtp::{Answer, MailServer, Script};

fn limited(server: Server, change: impl FnOnce(&mut Limits)) -> Pool {
    let mut limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    change(&mut limits);
    Pool::new(server, limits).expect("a pool")
}

#[tokio::test]
async fn there_are_as_many_connections_as_allowed_and_no_more() {
    let server = MailServer::start(Script::default()).await;
    let pool = pool(to(&server), 3);
    let messages = (0..200).map(|_| (message("bob@example.com"), recorded()));
    let outcomes = pool.send_all(messages).await;
    assert_eq!(classes(&outcomes), [None; 200]);
    let seen = server.seen();
    assert_eq!(seen.messages.len(), 200);
    // 99 each: two of three at least are followed by another.
    assert!((3..=5).contains(&seen.connections), "{}", seen.connections);
}

#[tokio::test]
async fn one_after_the_other_they_share_a_connection() {
    let server = MailServer::start(Script::default()).await;
    let pool = pool(to(&server), 3);
    for _ in 0..10 {
        let outcome = pool.send(message("bob@example.com"), recorded()).await;
        assert_eq!(outcome.class(), None);
    }
    assert_eq!(server.seen().connections, 1);
}

#[tokio::test]
async fn a_connection_closes_after_its_number_of_messages() {
    let server = MailServer::start(Script::default()).await;
    let pool = limited(to(&server), |it| it.messages_per_connection = 4);
    let messages = (0..10).map(|_| (message("bob@example.com"), recorded()));
    let outcomes = pool.send_all(messages).await;
    assert_eq!(classes(&outcomes), [None; 10]);
    pool.close().await;
    let seen = server.seen();
    assert_eq!(seen.connections, 3);
    assert_eq!(seen.lines.iter().filter(|it| *it == "QUIT").count(), 3);
}

#[tokio::test]
async fn an_idle_connection_closes() {
    let server = MailServer::start(Script::default()).await;
    let pool = limited(to(&server), |it| it.idle = Duration::from_millis(20));
    let outcome = pool.send(message("bob@example.com"), recorded()).await;
    assert_eq!(outcome.class(), None);
    server
        .until(|seen| seen.lines.iter().any(|it| it == "QUIT"))
        .await;
    let outcome = pool.send(message("bob@example.com"), recorded()).await;
    assert_eq!(outcome.class(), None);
    assert_eq!(server.seen().connections, 2);
}

#[tokio::test]
async fn a_server_that_ends_a_used_connection_costs_no_message() {
    // It takes two a connection, and says so at the third.
    for bye in [Answer::SayAndCut("421 4.3.2 that was enough"), Answer::Cut] {
        let mails = AtomicUsize::new(0);
        let answer = move |line: &str| match line.starts_with("MAIL") {
            true if mails.fetch_add(1, Ordering::Relaxed) % 3 == 2 => bye.clone(),
            _ => Answer::Usual,
        };
        let script = Script {
            answer: Box::new(answer),
            ..Script::default()
        };
        let server = MailServer::start(script).await;
        let pool = pool(to(&server), 1);
        let messages = (0..6).map(|_| (message("bob@example.com"), recorded()));
        let outcomes = pool.send_all(messages).await;
        assert_eq!(classes(&outcomes), [None; 6]);
        let seen = server.seen();
        assert_eq!((seen.connections, seen.messages.len()), (3, 6));
    }
}

#[tokio::test]
async fn a_server_that_is_full_is_left_to_the_connections_that_it_has() {
    let answer = {
        let greeted = AtomicUsize::new(0);
        move |line: &str| match line {
            "CONNECT" if greeted.fetch_add(1, Ordering::Relaxed) > 0 => {
                Answer::SayAndCut("421 4.7.0 too many connections")
            }
            _ => Answer::Usual,
        }
    };
    let script = Script {
        answer: Box::new(answer),
        ..Script::default()
    };
    let server = MailServer::start(script).await;
    let pool = pool(to(&server), 8);
    // The one that is let in holds its first message until all wait.
    let (go, gone) = oneshot::channel::<()>();
    let first = async move { gone.await.map_err(|_| Withheld) };
    let first = pool.submit(message("a@x.example"), first).await;
    server
        .until(|seen| seen.lines.iter().any(|it| it == "DATA"))
        .await;
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(pool.submit(message("b@x.example"), recorded()).await);
    }
    server.until(|seen| seen.connections >= 2).await;
    go.send(()).expect("it waits");
    assert_eq!(first.await.class(), None);
    for it in others {
        assert_eq!(it.await.class(), None);
    }
}

#[tokio::test]
async fn closing_lets_what_is_on_its_way_end_and_gives_back_what_waits() {
    let server = MailServer::start(Script::default()).await;
    let pool = pool(to(&server), 1);
    let (go, gone) = oneshot::channel::<()>();
    let first = async move { gone.await.map_err(|_| Withheld) };
    let first = pool.submit(message("a@x.example"), first).await;
    server
        .until(|seen| seen.lines.iter().any(|it| it == "DATA"))
        .await;
    let second = pool.submit(message("b@x.example"), recorded()).await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close().await }
    });
    assert_eq!(second.await.class(), Some(Class::NotSent));
    go.send(()).expect("it waits");
    assert_eq!(first.await.class(), None);
    closing.await.expect("it closes");
    assert_eq!(server.seen().lines.last().map(String::as_str), Some("QUIT"));
    let late = pool.send(message("c@x.example"), recorded()).await;
    assert_eq!(late.class(), Some(Class::NotSent));
}

#[tokio::test]
async fn a_pool_that_is_dropped_tells_each_message_what_is_known() {
    let server = MailServer::start(Script::answering(&[("BODY", Answer::Silent)])).await;
    let pool = pool(to(&server), 1);
    let first = pool.submit(message("a@x.example"), recorded()).await;
    server
        .until(|seen| seen.lines.iter().any(|it| it == "BODY"))
        .await;
    let second = pool.submit(message("b@x.example"), pending()).await;
    drop(pool);
    assert_eq!(first.await.class(), Some(Class::Uncertain));
    assert_eq!(second.await.class(), Some(Class::NotSent));
}

#[tokio::test]
async fn a_message_that_nobody_waits_for_is_not_begun() {
    let server = MailServer::start(Script::default()).await;
    let pool = pool(to(&server), 1);
    let (go, gone) = oneshot::channel::<()>();
    let first = async move { gone.await.map_err(|_| Withheld) };
    let first = pool.submit(message("a@x.example"), first).await;
    server
        .until(|seen| seen.lines.iter().any(|it| it == "DATA"))
        .await;
    drop(pool.submit(message("b@x.example"), recorded()).await);
    let third = pool.submit(message("c@x.example"), recorded()).await;
    go.send(()).expect("it waits");
    assert_eq!(first.await.class(), None);
    assert_eq!(third.await.class(), None);
    let seen = server.seen();
    let received: Vec<&str> = seen.messages.iter().map(|it| it.to[0].as_str()).collect();
    assert_eq!(received, ["a@x.example", "c@x.example"]);
}

#[tokio::test]
async fn a_pool_holds_no_more_messages_than_told() {
    let server = MailServer::start(Script::default()).await;
    let pool = limited(to(&server), |it| it.messages = 1);
    let (go, gone) = oneshot::channel::<()>();
    let first = async move { gone.await.map_err(|_| Withheld) };
    let first = pool.submit(message("a@x.example"), first).await;
    let mut second = std::pin::pin!(pool.submit(message("b@x.example"), recorded()));
    let polled = poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_pending()));
    assert!(polled.await);
    go.send(()).expect("it waits");
    assert_eq!(first.await.class(), None);
    assert_eq!(second.await.await.class(), None);
}

#[tokio::test]
async fn an_intent_that_takes_too_long_is_given_up() {
    let server = MailServer::start(Script::default()).await;
    let timeouts = Timeouts {
        intent: Duration::from_millis(20),
        ..Timeouts::default()
    };
    let there = Server {
        timeouts,
        ..to(&server)
    };
    let pool = pool(there, 1);
    let outcome = pool.send(message("a@x.example"), pending()).await;
    assert_eq!(outcome.class(), Some(Class::NotSent), "{outcome:?}");
    assert!(server.seen().messages.is_empty());
}
