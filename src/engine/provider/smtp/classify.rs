//! From a reply to its class: what of the server's codes means us, the message, its recipient, or the hour.
//!
//! Its own file, because it is a table, of RFC 5321, 3463, 4954 and 7372 and of what large servers make of them.

use super::outcome::{Class, Fault};
use super::reply::Reply;
use super::wait::asked_wait;

/// Which command a reply answers, as far as its class depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Greeting,
    Hello,
    StartTls,
    Login,
    Mail,
    Recipient,
    Data,
    /// After the last byte of a body.
    Body,
}

impl Stage {
    fn is_before_mail(self) -> bool {
        matches!(
            self,
            Self::Greeting | Self::Hello | Self::StartTls | Self::Login
        )
    }

    fn what(self) -> &'static str {
        match self {
            Self::Greeting => "the server does not greet",
            Self::Hello => "the server refuses EHLO",
            Self::StartTls => "the server refuses STARTTLS",
            Self::Login => "the server refuses the login",
            Self::Mail => "the server refuses the sender",
            Self::Recipient => "the server refuses the recipient",
            Self::Data => "the server refuses to read the message",
            Self::Body => "the server refuses the message",
        }
    }
}

/// The fault that a reply is which refuses, or which was not expected.
pub fn classify(stage: Stage, reply: Reply) -> Fault {
    let class = class(stage, &reply);
    let suppress = class == Class::Permanent
        && matches!(stage, Stage::Recipient | Stage::Data | Stage::Body)
        && names_no_mailbox(&reply);
    Fault {
        class,
        what: stage.what().into(),
        wait: asked_wait(&reply.text).filter(|_| reply.code / 100 == 4),
        suppress,
        reply: Some(reply.clipped()),
    }
}

fn class(stage: Stage, reply: &Reply) -> Class {
    let detail = reply.enhanced.map(|it| (it.1, it.2));
    match reply.code {
        // RFC 4954: a login is required, too weak, wrong, or only under TLS.
        530 | 534 | 535 | 538 => Class::Account,
        // Not said in answer to this command: the server closes. After a body it says that it did not take it.
        421 if stage != Stage::Body => match asks_to_slow_down(stage, reply) {
            true => Class::RateLimited,
            false => Class::NotSent,
        },
        500..=599 => match (stage, detail) {
            // Refused before anything was asked of it, or for who we are.
            (Stage::Greeting | Stage::Hello | Stage::Login, _) => Class::Account,
            (Stage::StartTls, _) => Class::NotSent,
            (_, Some(detail)) if refuses_us(detail) => Class::Account,
            (_, Some((2, 2) | (5, 3))) => Class::Transient,
            // Google's daily limit of an account.
            (_, Some((4, 5))) => Class::RateLimited,
            // RFC 5321, 4.5.3.1.10: an old way to say that there are too many recipients.
            (Stage::Recipient, None) if reply.code == 552 => Class::Transient,
            _ => Class::Permanent,
        },
        400..=499 => match stage.is_before_mail() {
            _ if asks_to_slow_down(stage, reply) => Class::RateLimited,
            true => Class::NotSent,
            false => Class::Transient,
        },
        // Neither yes nor no: nobody knows what the server did with what it has.
        _ if stage == Stage::Body => Class::Uncertain,
        _ => Class::NotSent,
    }
}

/// Wrong login (RFC 4954), a domain that is not authenticated (RFC 7372; above 26 and 500 Google's and Microsoft's
/// own), a listed address (Microsoft's 606 to 649).
fn refuses_us(detail: (u16, u16)) -> bool {
    matches!(detail, (7, 8 | 9 | 20..=30 | 40 | 509 | 515 | 606..=649))
}

/// 5.1.1 no such mailbox, 5.1.2 no such system, 5.1.3 no address, 5.1.10 a domain that takes no mail (RFC 7505).
fn names_no_mailbox(reply: &Reply) -> bool {
    let detail = reply.enhanced.map(|it| (it.1, it.2));
    matches!(detail, Some((1, 1 | 2 | 3 | 10)))
}

/// 4.7.x, by which servers say that a policy holds the message up: greylisting, too much at once, a bad reputation.
fn asks_to_slow_down(stage: Stage, reply: &Reply) -> bool {
    const WORDS: [&str; 9] = [
        "rate limit",
        "rate-limit",
        "ratelimit",
        "throttl",
        "too many connections",
        "too many messages",
        "too many concurrent",
        "too fast",
        "slow down",
    ];
    // 454 4.7.0 is a login that cannot be checked now (RFC 4954), and TLS that cannot be had now (RFC 3207).
    let by_code = !matches!(stage, Stage::Login | Stage::StartTls)
        && reply.enhanced.is_some_and(|it| it.1 == 7);
    let text = reply.text.to_ascii_lowercase();
    by_code || WORDS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Stage::{Body, Data, Greeting, Hello, Login, Mail, Recipient, StartTls};
    use super::*;
    use Class::{Account, NotSent, Permanent, RateLimited, Transient, Uncertain};

    fn fault(stage: Stage, text: &str) -> Fault {
        let (reply, _) = Reply::parse(format!("{text}\r\n").as_bytes())
            .unwrap()
            .unwrap();
        classify(stage, reply)
    }

    #[test]
    fn each_reply_has_its_class() {
        for (stage, text, class) in [
            // 4yz: surely not accepted.
            (Mail, "451 4.3.0 local error", Transient),
            (Recipient, "450 mailbox busy", Transient),
            (Data, "451 aborted", Transient),
            (Body, "452 4.3.1 disk full", Transient),
            (Body, "421 closing", Transient),
            // 5yz.
            (Mail, "553 5.1.7 bad sender", Permanent),
            (Recipient, "550 5.1.1 unknown", Permanent),
            (Recipient, "550 5.2.1 disabled", Permanent),
            (Recipient, "550 5.7.1 policy", Permanent),
            (Data, "554 no valid recipients", Permanent),
            (Body, "554 5.6.0 bad content", Permanent),
            (Body, "552 5.3.4 too big", Permanent),
            (Body, "552 too big", Permanent),
            // The account.
            (Mail, "530 5.7.0 must issue STARTTLS", Account),
            (Mail, "530 authentication required", Account),
            (Login, "534 5.7.9 too weak", Account),
            (Login, "535 5.7.8 bad credentials", Account),
            (Login, "538 encryption required", Account),
            (Login, "504 unknown mechanism", Account),
            (Body, "550 5.7.8 login", Account),
            (Recipient, "550 5.7.9 login", Account),
            (Greeting, "554 no service here", Account),
            (Greeting, "521 no mail", Account),
            (Hello, "550 you are listed", Account),
            // The domain's authentication and the address's reputation.
            (Body, "550 5.7.26 unauthenticated", Account),
            (Body, "550 5.7.515 Access denied", Account),
            (Mail, "550 5.7.606 banned", Account),
            (Recipient, "550 5.7.649 banned", Account),
            (Recipient, "550 5.7.650 other", Permanent),
            (Body, "550 5.7.25 no PTR", Account),
            (Body, "550 5.7.1 spam", Permanent),
            // Full, or too many: later.
            (Recipient, "552 5.2.2 mailbox full", Transient),
            (Recipient, "452 4.2.2 mailbox full", Transient),
            (Body, "552 5.2.2 mailbox full", Transient),
            (Recipient, "452 4.5.3 too many recipients", Transient),
            (Recipient, "452 too many recipients", Transient),
            (Recipient, "552 too many recipients", Transient),
            // Slow down.
            (Recipient, "450 4.7.1 greylisted", RateLimited),
            (Body, "421 4.7.28 rate", RateLimited),
            (Mail, "421 4.7.0 deferred", RateLimited),
            (Greeting, "421 Too many connections", RateLimited),
            (Mail, "451 sending too fast", RateLimited),
            (Body, "550 5.4.5 daily limit", RateLimited),
            // It closes, or cannot now.
            (Greeting, "421 not now", NotSent),
            (Mail, "421 idle", NotSent),
            (Recipient, "421 4.3.2 shutting down", NotSent),
            (Data, "421 closing", NotSent),
            (Greeting, "450 not now", NotSent),
            (Login, "454 4.7.0 temporary failure", NotSent),
            (StartTls, "454 4.7.0 no TLS now", NotSent),
            (StartTls, "502 not implemented", NotSent),
            // Neither yes nor no.
            (Data, "250 ok", NotSent),
            (Body, "354 go on", Uncertain),
        ] {
            assert_eq!(fault(stage, text).class, class, "{stage:?} {text}");
        }
    }

    #[test]
    fn only_an_address_that_does_not_exist_is_to_be_suppressed() {
        for (stage, text, suppress) in [
            (Recipient, "550 5.1.1 unknown", true),
            (Recipient, "550 5.1.2 no such host", true),
            (Body, "553 5.1.3 syntax", true),
            (Recipient, "556 5.1.10 null MX", true),
            (Recipient, "550 5.2.1 disabled", false),
            (Recipient, "550 5.7.1 policy", false),
            (Recipient, "550 unknown", false),
            (Recipient, "450 4.1.1 unknown for now", false),
            // It speaks of the sender.
            (Mail, "550 5.1.2 no such host", false),
        ] {
            assert_eq!(fault(stage, text).suppress, suppress, "{stage:?} {text}");
        }
    }

    #[test]
    fn a_wait_is_taken_from_what_is_to_be_tried_again() {
        let fault_of = |text| fault(Recipient, text).wait;
        let asked = fault_of("450 4.7.1 try again in 300 seconds");
        assert_eq!(asked, Some(Duration::from_secs(300)));
        assert_eq!(fault_of("550 5.1.1 never again in 300 seconds"), None);
    }
}
