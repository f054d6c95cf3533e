//! What a report means for the address it is about.
//!
//! Its own file, and pure: here it is decided to whom nothing more is sent.

use crate::engine::bounce::{Action, Recipient, Report};

/// Characters of a reason: as many as legacy's column has.
const REASON_LIMIT: usize = 255;
/// What readers and their providers complain of (RFC 5965, section 7.3). `not-spam` is the opposite, and `auth-failure` is
/// about a domain.
const COMPLAINTS: [&str; 5] = ["abuse", "fraud", "virus", "opt-out", "other"];
/// A complaint's kind is text from outside.
const KIND_LIMIT: usize = 40;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// As `ficus.bounce` has it.
    pub kind: &'static str,
    pub status: Option<String>,
    /// Why nothing more is sent there, as `ficus.suppression` has it.
    pub suppress: Option<&'static str>,
    /// For a person; without addresses.
    pub reason: String,
}

/// `address` is whom the message went to. `None`: it is no report.
pub fn judge(report: &Report, address: &str) -> Option<Verdict> {
    match report {
        Report::Other { .. } => None,
        Report::Complaint { kind, .. } => {
            let kind: String = kind.chars().take(KIND_LIMIT).collect();
            let suppress = COMPLAINTS.contains(&kind.as_str()).then_some("complained");
            Some(Verdict {
                kind: "complaint",
                reason: bounded(&format!("complaint: {kind}")),
                status: Some(kind),
                suppress,
            })
        }
        Report::Delivery { recipients, .. } => {
            let is_certain = is_about(recipients, address);
            let recipient = match is_certain {
                Some(recipient) => recipient,
                None => recipients.first()?,
            };
            let status = recipient
                .status
                .map(|it| format!("{}.{}.{}", it.class, it.subject, it.detail));
            let words = recipient.diagnostic.as_deref().unwrap_or("no reason given");
            Some(Verdict {
                kind: match recipient.action {
                    Action::Failed => "failed",
                    Action::Delayed => "delayed",
                    Action::Delivered | Action::Relayed | Action::Expanded => "delivered",
                },
                suppress: (is_certain.is_some() && recipient.is_gone()).then_some("bounced"),
                reason: bounded(&format!(
                    "{} {words}",
                    status.as_deref().unwrap_or("failed")
                )),
                status,
            })
        }
    }
}

/// Our mails have one recipient, whose address a forwarding server may have changed. Of several, the one with its address.
fn is_about<'a>(recipients: &'a [Recipient], address: &str) -> Option<&'a Recipient> {
    if let [only] = recipients {
        return Some(only);
    }
    recipients.iter().find(|it| {
        let named = it.address.as_deref();
        named.is_some_and(|named| named.eq_ignore_ascii_case(address))
    })
}

/// Words with an `@` in them are left out, and what does not print.
fn bounded(text: &str) -> String {
    let words = text
        .split_whitespace()
        .map(|word| match word.contains('@') {
            true => "…",
            false => word,
        });
    let line = words.collect::<Vec<_>>().join(" ");
    let printed = line.chars().filter(|char| !char.is_control());
    printed.take(REASON_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bounce::{Origin, Status};

    fn recipient(address: &str, action: Action, status: &str) -> Recipient {
        Recipient {
            address: Some(address.to_owned()),
            action,
            status: Status::find(status),
            diagnostic: Some(format!("550 {status} <{address}>: no\u{7} such\nuser")),
        }
    }

    fn delivery(recipients: Vec<Recipient>) -> Verdict {
        let origin = Origin::default();
        let report = Report::Delivery { origin, recipients };
        judge(&report, "ann@example.com").unwrap()
    }

    fn complaint(kind: &str) -> Option<&'static str> {
        let report = Report::Complaint {
            origin: Origin::default(),
            kind: kind.to_owned(),
            recipient: None,
        };
        judge(&report, "").unwrap().suppress
    }

    #[test]
    fn a_mailbox_that_is_not_there_gets_nothing_more() {
        let verdict = delivery(vec![recipient("a@x.test", Action::Failed, "5.1.1")]);
        let expected = Verdict {
            kind: "failed",
            status: Some("5.1.1".to_owned()),
            suppress: Some("bounced"),
            reason: "5.1.1 550 5.1.1 … no such user".to_owned(),
        };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn what_may_work_another_time_is_only_written_down() {
        for (action, status, kind) in [
            (Action::Delayed, "4.4.1", "delayed"),
            (Action::Failed, "5.7.1", "failed"),
            (Action::Failed, "5.2.2", "failed"),
            (Action::Delivered, "2.0.0", "delivered"),
        ] {
            let verdict = delivery(vec![recipient("ann@example.com", action, status)]);
            assert_eq!((verdict.kind, verdict.suppress), (kind, None), "{status}");
        }
    }

    #[test]
    fn of_several_recipients_only_the_messages_own_counts() {
        let gone = |address| recipient(address, Action::Failed, "5.1.1");
        let own = delivery(vec![gone("b@x.test"), gone("Ann@Example.com")]);
        assert_eq!(own.suppress, Some("bounced"));
        let others = delivery(vec![gone("b@x.test"), gone("c@x.test")]);
        assert_eq!(others.suppress, None);
    }

    #[test]
    fn only_what_is_a_complaint_ends_the_sending() {
        for (kind, suppress) in [
            ("abuse", Some("complained")),
            ("fraud", Some("complained")),
            ("not-spam", None),
            ("auth-failure", None),
            ("", None),
        ] {
            assert_eq!(complaint(kind), suppress, "{kind}");
        }
    }

    #[test]
    fn a_reason_is_short_and_has_no_address() {
        let mut long = recipient("ann@example.com", Action::Failed, "5.1.1");
        long.diagnostic = Some("ä<ann@example.com>(b@x.test) ".repeat(100) + "end");
        let reason = delivery(vec![long]).reason;
        assert!(
            reason.chars().count() <= REASON_LIMIT && !reason.contains('@'),
            "{reason}"
        );
    }
}
