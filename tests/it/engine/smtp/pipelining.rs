//! How many round trips messages take, and that nothing of one falls to another.
//!
//! Its own file, because it is about the order of bytes, which only a server sees.

use std::future::{Future, ready};

use ficus::engine::provider::smtp::{Class, Grouping, Outcome, Pool, Server, Withheld};
use tokio::sync::oneshot;

use super::{classes, message, message_of, pool, recorded, text_of, to};
use crate::support::smtp::{Answer, MailServer, Script};

/// Sends to these over one connection, which has all of them before the first body goes.
async fn send_together(pool: &Pool, to: &[&str]) -> Vec<Outcome> {
    let (all_are_there, there) = oneshot::channel::<()>();
    let mut first: Option<oneshot::Receiver<()>> = Some(there);
    let mut pending = Vec::new();
    for it in to {
        let gate = first.take();
        let intent = async move {
            if let Some(gate) = gate {
                gate.await.map_err(|_| Withheld)?;
            }
            Ok(())
        };
        pending.push(pool.submit(message(it), intent).await);
    }
    all_are_there.send(()).expect("the first waits");
    let mut outcomes = Vec::new();
    for it in pending {
        outcomes.push(it.await);
    }
    outcomes
}

const TEN: [&str; 10] = [
    "a@x.example",
    "b@x.example",
    "c@x.example",
    "d@x.example",
    "e@x.example",
    "f@x.example",
    "g@x.example",
    "h@x.example",
    "i@x.example",
    "j@x.example",
];

async fn flights_of_ten(script: Script, change: impl FnOnce(&mut Server)) -> usize {
    let server = MailServer::start(script).await;
    let mut there = to(&server);
    change(&mut there);
    let pool = pool(there, 1);
    let outcomes = send_together(&pool, &TEN).await;
    assert_eq!(classes(&outcomes), [None; 10]);
    let seen = server.seen();
    assert_eq!(seen.hasty, [""; 0]);
    assert_eq!(seen.connections, 1);
    let received: Vec<&str> = seen.messages.iter().map(|it| it.to[0].as_str()).collect();
    assert_eq!(received, TEN);
    for it in &seen.messages {
        assert_eq!(
            it.body,
            format!("Subject: for {}\r\n\r\nhello\r\n", it.to[0])
        );
        assert_eq!(it.from, "ann@example.com");
    }
    seen.flights
}

#[tokio::test]
async fn a_message_takes_one_round_trip_where_the_server_pipelines() {
    // The first envelope has nothing to ride behind.
    assert_eq!(flights_of_ten(Script::default(), |_| {}).await, 10 + 1);
}

#[tokio::test]
async fn a_cautious_connection_takes_two() {
    // This server would lose an envelope that came with a body.
    let script = Script {
        drops_after_body: true,
        ..Script::default()
    };
    let cautious = |server: &mut Server| server.grouping = Grouping::WithinMessage;
    assert_eq!(flights_of_ten(script, cautious).await, 20);
}

#[tokio::test]
async fn a_server_that_does_not_pipeline_gets_one_command_at_a_time() {
    let script = Script {
        offers: vec!["8BITMIME"],
        ..Script::default()
    };
    assert_eq!(flights_of_ten(script, |_| {}).await, 40);
    let never = |server: &mut Server| server.grouping = Grouping::Never;
    assert_eq!(flights_of_ten(Script::default(), never).await, 40);
}

#[tokio::test]
async fn chunks_take_one_round_trip_without_a_message_before_them() {
    let script = Script {
        offers: vec!["PIPELINING", "CHUNKING"],
        ..Script::default()
    };
    let chunking = |server: &mut Server| server.chunking = true;
    assert_eq!(flights_of_ten(script, chunking).await, 10);
}

#[tokio::test]
async fn one_refused_recipient_of_ten_shifts_no_reply() {
    for refusal in ["RCPT TO:<d@", "DATA"] {
        // Of DATA the fourth is refused: the server counts.
        let count = std::sync::atomic::AtomicUsize::new(0);
        let answer = move |line: &str| {
            let counts = line.starts_with(refusal);
            let nth = counts.then(|| count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            match (refusal, nth) {
                ("DATA", Some(3)) => Answer::Say("554 5.6.0 the fourth"),
                ("RCPT TO:<d@", Some(_)) => Answer::Say("550 5.1.1 who is that"),
                _ => Answer::Usual,
            }
        };
        let script = Script {
            answer: Box::new(answer),
            ..Script::default()
        };
        let server = MailServer::start(script).await;
        let outcomes = send_together(&pool(to(&server), 1), &TEN).await;
        let mut expected = [None; 10];
        expected[3] = Some(Class::Permanent);
        assert_eq!(classes(&outcomes), expected, "{refusal}");
        let seen = server.seen();
        assert_eq!(seen.connections, 1);
        let received: Vec<&str> = seen.messages.iter().map(|it| it.to[0].as_str()).collect();
        assert_eq!(received, [&TEN[..3], &TEN[4..]].concat());
        // The transaction that was left open is ended before the next begins.
        assert_eq!(seen.lines.iter().filter(|it| *it == "RSET").count(), 1);
    }
}

#[tokio::test]
async fn data_let_in_without_a_recipient_ends_with_a_lone_dot() {
    let script = Script {
        lets_data_in: true,
        ..Script::answering(&[("RCPT TO:<b@", Answer::Say("550 5.1.1 who is that"))])
    };
    let server = MailServer::start(script).await;
    let outcomes = send_together(&pool(to(&server), 1), &TEN[..3]).await;
    assert_eq!(classes(&outcomes), [None, Some(Class::Permanent), None]);
    let seen = server.seen();
    assert_eq!(seen.messages.len(), 2);
    // A body to nobody would stand here.
    assert_eq!(seen.hasty, [""; 0]);
}

#[tokio::test]
async fn no_byte_of_a_body_leaves_before_its_intent() {
    let server = MailServer::start(Script::default()).await;
    let pool = pool(to(&server), 1);
    let (record, recorded_now) = oneshot::channel::<()>();
    let intent = async move { recorded_now.await.map_err(|_| Withheld) };
    let waiting = pool.submit(message("a@x.example"), intent).await;
    // The envelope is there, and answered.
    let seen = server
        .until(|seen| seen.lines.iter().any(|it| it == "DATA"))
        .await;
    assert!(
        !seen.lines.iter().any(|it| it == "CONTENT"),
        "{:?}",
        seen.lines
    );
    record.send(()).expect("it waits");
    assert_eq!(waiting.await.class(), None);
    assert_eq!(server.seen().messages.len(), 1);
}

#[tokio::test]
async fn a_message_without_its_intent_is_not_sent_and_the_next_one_is() {
    type Intent = std::pin::Pin<Box<dyn Future<Output = Result<(), Withheld>> + Send>>;
    let withheld: fn() -> Intent = || Box::pin(ready(Err(Withheld)));
    let panics: fn() -> Intent = || Box::pin(async { panic!("the ledger is down") });
    for chunking in [false, true] {
        for intent in [withheld, panics] {
            let script = Script {
                offers: vec!["PIPELINING", "CHUNKING"],
                ..Script::default()
            };
            let server = MailServer::start(script).await;
            let there = Server {
                chunking,
                ..to(&server)
            };
            let pool = pool(there, 1);
            let outcome = pool.send(message("a@x.example"), intent()).await;
            assert_eq!(outcome.class(), Some(Class::NotSent), "{outcome:?}");
            assert!(text_of(&outcome).contains("intent"), "{outcome:?}");
            let next = pool.send(message("b@x.example"), recorded()).await;
            assert_eq!(next.class(), None, "{next:?}");
            let seen = server.seen();
            let received: Vec<&str> = seen.messages.iter().map(|it| it.to[0].as_str()).collect();
            assert_eq!(received, ["b@x.example"]);
        }
    }
}

#[tokio::test]
async fn each_recipient_has_its_own_answer() {
    let answers = &[("RCPT TO:<b@", Answer::Say("450 4.2.2 full"))];
    let server = MailServer::start(Script::answering(answers)).await;
    let pool = pool(to(&server), 1);
    let message = message_of(&TEN[..3], "Subject: x\n\n.x\nbare\rreturn\n.\n");
    let Outcome::Sent { refused, .. } = pool.send(message, recorded()).await else {
        panic!("not sent");
    };
    assert_eq!(refused.len(), 1);
    assert_eq!(
        (refused[0].recipient, refused[0].fault.class),
        (1, Class::Transient)
    );
    let received = &server.seen().messages[0];
    assert_eq!(received.to, ["a@x.example", "c@x.example"]);
    assert_eq!(
        received.body,
        "Subject: x\r\n\r\n.x\r\nbare\r\nreturn\r\n.\r\n"
    );
}
