//! TLS: which certificates are taken, and that nothing goes in clear that must not.
//!
//! Its own file, because here somebody sits between.

use ficus::engine::provider::smtp::{Class, Credentials, Outcome, Roots, Security, Server};
use ficus::secret::Secret;

use super::{message, pool, recorded, text_of};
use crate::support::smtp::{Answer, MailServer, Script, Seen, acceptor};
use crate::support::tls::Authority;

fn encrypted(server: &MailServer, authority: &Authority, security: Security) -> Server {
    Server {
        security,
        roots: Roots::Pem(authority.pem.clone()),
        credentials: Some(Credentials::Password {
            user: "tim".to_owned(),
            password: Secret::new("tanstaaf"),
        }),
        ..Server::new("localhost", server.address.port())
    }
}

fn script(authority: &Authority, name: &str) -> Script {
    Script {
        offers: vec!["PIPELINING", "AUTH PLAIN CRAM-MD5"],
        tls: Some(acceptor(&authority.issue(&[name]))),
        ..Script::default()
    }
}

async fn sent(script: Script, authority: &Authority, security: Security) -> (Outcome, Seen) {
    let server = MailServer::start(script).await;
    let pool = pool(encrypted(&server, authority, security), 1);
    let outcome = pool.send(message("bob@example.com"), recorded()).await;
    (outcome, server.seen())
}

#[tokio::test]
async fn both_kinds_of_tls_carry_a_login_and_a_message() {
    let authority = Authority::new();
    for (security, implicit) in [(Security::StartTls, false), (Security::Implicit, true)] {
        let script = Script {
            implicit,
            ..script(&authority, "localhost")
        };
        let (outcome, seen) = sent(script, &authority, security).await;
        assert_eq!(outcome.class(), None, "{security:?}: {outcome:?}");
        assert_eq!(seen.messages.len(), 1);
        assert_eq!(seen.hasty, [""; 0]);
        let greetings = seen
            .lines
            .iter()
            .filter(|it| it.starts_with("EHLO"))
            .count();
        assert_eq!(greetings, if implicit { 1 } else { 2 });
        // Under TLS the mechanism with one round trip.
        assert!(seen.lines.iter().any(|it| it.starts_with("AUTH PLAIN ")));
    }
}

#[tokio::test]
async fn a_server_whose_starttls_is_gone_is_told_nothing() {
    let authority = Authority::new();
    let stripped = Script {
        tls: None,
        ..script(&authority, "localhost")
    };
    let refused = Script {
        answer: Box::new(|line| match line {
            "STARTTLS" => Answer::Say("454 4.7.0 no TLS now"),
            _ => Answer::Usual,
        }),
        ..script(&authority, "localhost")
    };
    for script in [stripped, refused] {
        let (outcome, seen) = sent(script, &authority, Security::StartTls).await;
        assert_eq!(outcome.class(), Some(Class::NotSent), "{outcome:?}");
        let said = seen
            .lines
            .iter()
            .find(|it| !["EHLO localhost", "STARTTLS"].contains(&it.as_str()));
        assert_eq!(said, None);
    }
}

#[tokio::test]
async fn plain_text_behind_the_reply_to_starttls_is_refused() {
    let authority = Authority::new();
    let injected = Script {
        answer: Box::new(|line| match line {
            "STARTTLS" => Answer::Say("220 go on\r\n250-mail.example.com\r\n250 AUTH PLAIN"),
            _ => Answer::Usual,
        }),
        ..script(&authority, "localhost")
    };
    let (outcome, seen) = sent(injected, &authority, Security::StartTls).await;
    assert_eq!(outcome.class(), Some(Class::NotSent), "{outcome:?}");
    assert!(
        text_of(&outcome).contains("plain text after"),
        "{outcome:?}"
    );
    assert_eq!(seen.lines, ["EHLO localhost", "STARTTLS"]);
}

#[tokio::test]
async fn a_certificate_of_another_name_or_authority_is_refused() {
    let (ours, other) = (Authority::new(), Authority::new());
    for script in [
        script(&ours, "mail.example.com"),
        script(&other, "localhost"),
    ] {
        let (outcome, seen) = sent(script, &ours, Security::StartTls).await;
        assert_eq!(outcome.class(), Some(Class::NotSent), "{outcome:?}");
        assert!(text_of(&outcome).contains("TLS"), "{outcome:?}");
        assert!(!seen.lines.iter().any(|it| it.starts_with("AUTH")));
    }
}

#[tokio::test]
async fn plain_text_stays_plain_where_it_is_asked_for() {
    let authority = Authority::new();
    let (outcome, seen) = sent(script(&authority, "localhost"), &authority, Security::Plain).await;
    assert_eq!(outcome.class(), None, "{outcome:?}");
    assert!(!seen.lines.iter().any(|it| it == "STARTTLS"));
    // The password is not shown, since the server can do without.
    assert!(seen.lines.iter().any(|it| it == "AUTH CRAM-MD5"));
}
