//! What each message is told when a server refuses, falls silent or goes away.
//!
//! Its own file: each row is a promise about duplicates.

use std::time::Duration;

use ficus::engine::provider::smtp::{Class, Outcome, Server, Timeouts};

use super::{classes, message, message_of, pool, recorded, text_of, to};
use crate::support::smtp::{Answer, MailServer, Script, Seen};

type Answers = &'static [(&'static str, Answer)];

/// One message to a server that answers so.
async fn sent(answers: Answers) -> (Outcome, Seen) {
    sent_with(answers, Timeouts::default()).await
}

async fn sent_with(answers: Answers, timeouts: Timeouts) -> (Outcome, Seen) {
    let server = MailServer::start(Script::answering(answers)).await;
    let there = Server {
        timeouts,
        ..to(&server)
    };
    let pool = pool(there, 1);
    let outcome = pool.send(message("bob@example.com"), recorded()).await;
    (outcome, server.seen())
}

#[tokio::test]
async fn a_server_that_goes_away_leaves_the_class_of_what_was_written() {
    let rows: [(Answers, Class); 8] = [
        (&[("CONNECT", Answer::Cut)], Class::NotSent),
        (&[("EHLO", Answer::Cut)], Class::NotSent),
        (&[("MAIL", Answer::Cut)], Class::NotSent),
        (&[("RCPT", Answer::Cut)], Class::NotSent),
        (&[("DATA", Answer::Cut)], Class::NotSent),
        (&[("CONTENT", Answer::Cut)], Class::Uncertain),
        (&[("BODY", Answer::Cut)], Class::Uncertain),
        (
            &[("BODY", Answer::Say("I am no mail server"))],
            Class::Uncertain,
        ),
    ];
    for (answers, class) in rows {
        let (outcome, seen) = sent(answers).await;
        assert_eq!(outcome.class(), Some(class), "{answers:?}: {outcome:?}");
        // Nobody tried again behind the caller's back.
        assert_eq!(seen.connections, 1, "{answers:?}");
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_waited_for_no_longer_than_told() {
    let short = Duration::from_millis(50);
    let all = Timeouts::default();
    let greeting = Timeouts {
        greeting: short,
        ..all
    };
    let session = Timeouts {
        session: short,
        ..all
    };
    let command = Timeouts {
        command: short,
        ..all
    };
    let data = Timeouts { data: short, ..all };
    let end = Timeouts { end: short, ..all };
    let rows: [(Answers, Timeouts, Class); 6] = [
        (&[("CONNECT", Answer::Silent)], greeting, Class::NotSent),
        (&[("EHLO", Answer::Silent)], session, Class::NotSent),
        (&[("MAIL", Answer::Silent)], command, Class::NotSent),
        (&[("RCPT", Answer::Silent)], command, Class::NotSent),
        (&[("DATA", Answer::Silent)], data, Class::NotSent),
        (&[("BODY", Answer::Silent)], end, Class::Uncertain),
    ];
    for (answers, timeouts, class) in rows {
        let (outcome, _) = sent_with(answers, timeouts).await;
        assert_eq!(outcome.class(), Some(class), "{answers:?}: {outcome:?}");
        assert!(text_of(&outcome).contains("in time"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_server_that_goes_amid_a_long_body_leaves_it_uncertain() {
    let server = MailServer::start(Script::answering(&[("CONTENT", Answer::Cut)])).await;
    let body = format!("Subject: x\n\n{}", "0123456789\n".repeat(800_000));
    let pool = pool(to(&server), 1);
    let outcome = pool
        .send(message_of(&["bob@example.com"], &body), recorded())
        .await;
    assert_eq!(outcome.class(), Some(Class::Uncertain), "{outcome:?}");
    assert!(server.seen().messages.is_empty());
}

#[tokio::test]
async fn each_refusal_has_its_class_and_the_words_of_the_server() {
    let rows: [(Answers, Class); 11] = [
        (
            &[("CONNECT", Answer::Say("554 5.7.1 you are listed"))],
            Class::Account,
        ),
        (
            &[("CONNECT", Answer::SayAndCut("421 4.3.2 not now"))],
            Class::NotSent,
        ),
        (
            &[("MAIL", Answer::Say("530 5.7.0 log in first"))],
            Class::Account,
        ),
        (
            &[("MAIL", Answer::Say("451 4.7.1 slow down"))],
            Class::RateLimited,
        ),
        (
            &[("MAIL", Answer::SayAndCut("421 4.3.2 closing"))],
            Class::NotSent,
        ),
        (
            &[("RCPT", Answer::Say("550 5.1.1 who is that"))],
            Class::Permanent,
        ),
        (&[("RCPT", Answer::Say("452 4.2.2 full"))], Class::Transient),
        (&[("DATA", Answer::Say("451 4.3.0 disk"))], Class::Transient),
        (
            &[("BODY", Answer::Say("550 5.7.26 unauthenticated"))],
            Class::Account,
        ),
        (&[("BODY", Answer::Say("554 5.6.0 no"))], Class::Permanent),
        (
            &[("BODY", Answer::SayAndCut("421 4.3.2 closing"))],
            Class::Transient,
        ),
    ];
    for (answers, class) in rows {
        let (outcome, seen) = sent(answers).await;
        let Outcome::Failed { fault, .. } = outcome else {
            panic!("{answers:?}: sent");
        };
        assert_eq!(fault.class, class, "{answers:?}: {fault}");
        let reply = fault.reply.expect("what the server said");
        let (Answer::Say(said) | Answer::SayAndCut(said)) = answers[0].1.clone() else {
            panic!("a row says something");
        };
        assert_eq!(format!("{} {}", reply.code, reply.text), said);
        assert_eq!(seen.connections, 1);
    }
}

#[tokio::test]
async fn a_greylisted_message_is_told_how_long_to_wait() {
    let asked = "451 4.7.1 Greylisted, try again in 5 minutes";
    let server = MailServer::start(Script {
        answer: Box::new(move |line| match line.starts_with("RCPT") {
            true => Answer::Say(asked),
            false => Answer::Usual,
        }),
        ..Script::default()
    })
    .await;
    let outcome = pool(to(&server), 1)
        .send(message("bob@example.com"), recorded())
        .await;
    let Outcome::Failed { fault, .. } = outcome else {
        panic!("sent");
    };
    assert_eq!(fault.wait, Some(Duration::from_secs(300)));
    assert!(!fault.suppress);
}

#[tokio::test]
async fn a_message_that_the_server_cannot_take_is_not_begun() {
    let script = Script {
        offers: vec!["PIPELINING", "SIZE 100"],
        ..Script::default()
    };
    let server = MailServer::start(script).await;
    let pool = pool(to(&server), 1);
    let outcomes = pool
        .send_all([
            (
                message_of(&["bob@example.com"], &"x".repeat(101)),
                recorded(),
            ),
            (message("bö@example.com"), recorded()),
            (
                message_of(&["bob@example.com"], "Subject: x\n\nö"),
                recorded(),
            ),
            (message("bob@example.com"), recorded()),
        ])
        .await;
    let permanent = Some(Class::Permanent);
    assert_eq!(classes(&outcomes), [permanent, permanent, permanent, None]);
    let mails = |it: &&String| it.starts_with("MAIL");
    let seen = server.seen();
    let lines: Vec<&String> = seen.lines.iter().filter(mails).collect();
    assert_eq!(lines, ["MAIL FROM:<ann@example.com> SIZE=39"]);
}

#[tokio::test]
async fn nobody_at_the_port_is_not_sent_for_all_that_wait() {
    let server = MailServer::start(Script::default()).await;
    let there = to(&server);
    drop(server);
    let messages = (0..20).map(|_| (message("bob@example.com"), recorded()));
    let outcomes = pool(there, 3).send_all(messages).await;
    assert_eq!(classes(&outcomes), [Some(Class::NotSent); 20]);
    assert!(text_of(&outcomes[0]).contains("connecting"), "{outcomes:?}");
}

#[tokio::test]
async fn a_cut_between_two_messages_leaves_each_its_class() {
    // The first body is written and the second envelope behind it when the server goes.
    let server = MailServer::start(Script::answering(&[("BODY", Answer::Cut)])).await;
    let pool = pool(to(&server), 1);
    let (all_are_there, there) = tokio::sync::oneshot::channel::<()>();
    let first = async move { there.await.map_err(|_| super::Withheld) };
    let first = pool.submit(message("a@x.example"), first).await;
    let second = pool.submit(message("b@x.example"), recorded()).await;
    all_are_there.send(()).expect("the first waits");
    assert_eq!(first.await.class(), Some(Class::Uncertain));
    assert_eq!(second.await.class(), Some(Class::NotSent));
}

#[tokio::test]
async fn a_server_that_closes_behind_its_354_is_given_no_body() {
    let answers = &[("DATA", Answer::Say("354 go on\r\n421 4.3.2 closing"))];
    let (outcome, seen) = sent(answers).await;
    assert_eq!(outcome.class(), Some(Class::NotSent), "{outcome:?}");
    assert!(!seen.lines.iter().any(|it| it == "CONTENT"));
}
