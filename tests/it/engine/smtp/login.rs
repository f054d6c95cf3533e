//! Logging in to servers that offer this and that.
//!
//! Its own file, because what must not be said in clear is looked for in every line.

use ficus::engine::provider::smtp::{Class, Credentials, Outcome, Server};
use ficus::secret::Secret;

use super::{message, pool, recorded, text_of, to};
use crate::support::smtp::{Answer, MailServer, Script, Seen};

async fn logged_in(
    offers: &'static [&'static str],
    answers: &'static [(&'static str, Answer)],
    credentials: Credentials,
) -> (Outcome, Seen) {
    let script = Script {
        offers: offers.to_vec(),
        ..Script::answering(answers)
    };
    let server = MailServer::start(script).await;
    let there = Server {
        credentials: Some(credentials),
        ..to(&server)
    };
    let pool = pool(there, 1);
    let outcome = pool.send(message("bob@example.com"), recorded()).await;
    (outcome, server.seen())
}

fn tim() -> Credentials {
    Credentials::Password {
        user: "tim".to_owned(),
        password: Secret::new("tanstaaftanstaaf"),
    }
}

#[tokio::test]
async fn the_login_is_the_one_that_is_offered() {
    let digest = "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
    let plain = "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm";
    let rows: [(&'static [&str], &[&str]); 4] = [
        (&["AUTH PLAIN LOGIN CRAM-MD5"], &["AUTH CRAM-MD5", digest]),
        (&["AUTH LOGIN PLAIN"], &[plain]),
        (
            &["AUTH LOGIN"],
            &["AUTH LOGIN", "dGlt", "dGFuc3RhYWZ0YW5zdGFhZg=="],
        ),
        (&["PIPELINING"], &[]),
    ];
    for (offers, expected) in rows {
        let (outcome, seen) = logged_in(offers, &[], tim()).await;
        assert_eq!(outcome.class(), None, "{offers:?}: {outcome:?}");
        let said = &seen.lines[1..];
        let login: Vec<&String> = said
            .iter()
            .take_while(|it| !it.starts_with("MAIL"))
            .collect();
        assert_eq!(login, expected, "{offers:?}");
        assert_eq!(seen.hasty, [""; 0]);
    }
}

#[tokio::test]
async fn a_refused_login_is_the_accounts_fault_and_tells_no_secret() {
    let token = Credentials::Token {
        user: "tim".to_owned(),
        token: Secret::new("ya29.token"),
    };
    let repeats = "535 5.7.8 what is AHRpbQB0YW5zdGFhZnRhbnN0YWFm";
    let encoded = "AHRpbQB0YW5zdGFhZnRhbnN0YWFm";
    for (offers, credentials, tries) in [
        (&["AUTH PLAIN LOGIN"][..], tim(), 1),
        (&["AUTH XOAUTH2"], token.clone(), 1),
        // It offers nothing that a token would do for.
        (&["AUTH PLAIN"], token, 0),
        (&["AUTH GSSAPI"], tim(), 0),
    ] {
        let answer = move |line: &str| match line {
            _ if line.starts_with("AUTH PLAIN") => Answer::Say(repeats),
            _ if line.starts_with("AUTH XOAUTH2") => Answer::Say("334 eyJzdGF0dXMi"),
            // What the client says after the challenge that is a reason.
            "" => Answer::Say("535 5.7.8 expired"),
            _ => Answer::Usual,
        };
        let script = Script {
            offers: offers.to_vec(),
            answer: Box::new(answer),
            ..Script::default()
        };
        let server = MailServer::start(script).await;
        let there = Server {
            credentials: Some(credentials),
            ..to(&server)
        };
        let outcome = pool(there, 1)
            .send(message("bob@example.com"), recorded())
            .await;
        assert_eq!(
            outcome.class(),
            Some(Class::Account),
            "{offers:?}: {outcome:?}"
        );
        let Outcome::Failed { fault, .. } = &outcome else {
            panic!("sent");
        };
        let told = fault.reply.as_ref().map_or("", |it| it.text.as_str());
        assert!(!told.contains(encoded), "{told}");
        assert!(!format!("{outcome:?} {}", text_of(&outcome)).contains(encoded));
        let seen = server.seen();
        let logins = seen
            .lines
            .iter()
            .filter(|it| it.starts_with("AUTH"))
            .count();
        assert_eq!(logins, tries, "{offers:?}");
        assert!(!seen.lines.iter().any(|it| it.starts_with("MAIL")));
    }
}

#[tokio::test]
async fn an_old_server_is_greeted_with_helo() {
    let answers = &[("EHLO", Answer::Say("500 5.5.1 what"))];
    let server = MailServer::start(Script::answering(answers)).await;
    let outcome = pool(to(&server), 1)
        .send(message("bob@example.com"), recorded())
        .await;
    assert_eq!(outcome.class(), None, "{outcome:?}");
    let lines = server.seen().lines;
    assert_eq!(
        lines[..3],
        [
            "EHLO localhost",
            "HELO localhost",
            "MAIL FROM:<ann@example.com>"
        ]
    );
}
