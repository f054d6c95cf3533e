//! Reports as relays write them, and what is no report.
//!
//! Its own file, because the reports are long.

use proptest::prelude::*;

use super::*;
use crate::engine::tracking::LinkKeys;
use crate::ids::TenantId;
use crate::secret::Secret;

const ID: Uuid = Uuid::from_u128(0x0192_5f3e_8a00_7000_8000_0123_4567_89ab);

/// Postfix's form, with what a test puts into its second and third part.
fn report(fields: &str, returned: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.test\r\nTo: b@acorn.test\r\nSubject: Undelivered Mail\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"x\"\r\n\r\n\
         --x\r\nContent-Description: Notification\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSorry.\r\n\r\n\
         --x\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n{fields}\r\n\
         --x\r\n{returned}\r\n--x--\r\n"
    )
}

const FAILED: &str = "Reporting-MTA: dns; mx.test\r\nOriginal-Envelope-Id: 01925f3e8a00700080000123456789ab\r\n\r\n\
    Final-Recipient: rfc822; ann@example.com\r\nOriginal-Recipient: rfc822;<Ann@example.com>\r\nAction: failed\r\nStatus: 5.1.1\r\n\
    Remote-MTA: dns; mail.example.com\r\nDiagnostic-Code: smtp; 550 5.1.1 <ann@example.com>: Recipient\r\n    address rejected\r\n";
const HEADERS: &str = "Content-Type: text/rfc822-headers\r\n\r\nSubject: Hi\r\nMessage-ID: <01925f3e8a00700080000123456789ac@acorn.test>\r\n";
const MAIL: &str = "Content-Type: message/rfc822\r\n\r\nSubject: Hi\r\nMessage-ID: <01925f3e8a00700080000123456789ac@acorn.test>\r\n\r\nHi\r\n";

fn delivery(mail: &str) -> (Origin, Vec<Recipient>) {
    match read(mail.as_bytes(), None).unwrap() {
        Report::Delivery { origin, recipients } => (origin, recipients),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failure_is_told_with_its_recipient_and_reason() {
    let (origin, recipients) = delivery(&report(FAILED, HEADERS));
    assert_eq!(origin.message(), Some(ID));
    assert_eq!(
        recipients,
        [Recipient {
            address: Some("Ann@example.com".to_owned()),
            action: Action::Failed,
            status: Some(Status {
                class: 5,
                subject: 1,
                detail: 1
            }),
            diagnostic: Some("550 5.1.1 <ann@example.com>: Recipient address rejected".to_owned()),
        }]
    );
    assert!(recipients[0].is_gone());
}

#[test]
fn the_message_is_found_in_three_ways_in_their_order() {
    let other = Uuid::from_u128(ID.as_u128() + 1);
    let keys = LinkKeys::new(&Secret::new("k".repeat(32)), &[]).unwrap();
    let third = Uuid::from_u128(9);
    let address = format!("{}@acorn.test", verp::local_part(&keys, TenantId(2), third));
    let without_envelope = FAILED.replace("Original-Envelope-Id", "X");
    for (fields, returned, expected) in [
        (FAILED, HEADERS, Some(ID)),
        (&without_envelope, HEADERS, Some(other)),
        (&without_envelope, MAIL, Some(other)),
        (
            &without_envelope,
            "Content-Type: text/plain\r\n\r\nnone",
            Some(third),
        ),
    ] {
        let mail = report(fields, returned);
        let Some(Report::Delivery { origin, .. }) = read(mail.as_bytes(), Some(&address)) else {
            panic!("no delivery report");
        };
        assert_eq!(origin.message(), expected);
        assert!(origin.returned.unwrap().is_ours(&keys, TenantId(2)));
    }
    let foreign = MAIL.replace("01925f3e8a00700080000123456789ac", "{01925f3e-8a00");
    assert_eq!(
        delivery(&report(&without_envelope, &foreign)).0.message(),
        None
    );
}

#[test]
fn each_recipient_has_its_own_result() {
    let fields = "Reporting-MTA: dns; mx\r\n\r\n\
        Final-Recipient: rfc822; a@x.test\r\nACTION: Delayed\r\nStatus: 4.4.1\r\n\r\n\
        Final-Recipient: rfc822; b@x.test\r\nAction: delivered\r\nStatus: 2.1.5 (ok)\r\n\r\n\
        Final-Recipient: rfc822; c@x.test\r\nAction: relayed\r\n\r\n\
        Final-Recipient: rfc822; d@x.test\r\nAction: expanded\r\n\r\n\
        Final-Recipient: rfc822; e@x.test\r\nAction: exploded\r\n";
    let (_, recipients) = delivery(&report(fields, HEADERS));
    let actions: Vec<_> = recipients
        .iter()
        .map(|recipient| recipient.action)
        .collect();
    assert_eq!(
        actions,
        [
            Action::Delayed,
            Action::Delivered,
            Action::Relayed,
            Action::Expanded
        ]
    );
    assert_eq!(recipients[1].status.unwrap().detail, 5);
    assert!(recipients.iter().all(|recipient| !recipient.is_gone()));
}

#[test]
fn only_an_address_at_which_nobody_is_gets_suppressed() {
    for (action, status, diagnostic, is_gone) in [
        ("failed", "5.1.1", "", true),
        ("failed", "5.1.2", "", true),
        ("failed", "5.1.10", "", true),
        ("failed", "5.2.1", "", true),
        ("failed", "5.2.2", "", false),
        ("failed", "5.7.1", "", false),
        ("failed", "5.7.515", "", false),
        ("failed", "4.1.1", "", false),
        ("delayed", "5.1.1", "", false),
        ("failed", "5.0.0", "550-5.1.1 no such user", true),
        ("failed", "5.0.0", "550 go away", false),
        ("failed", "", "550 5.1.1 no such user", true),
        ("failed", "", "10.5.1.1 is listed", false),
    ] {
        let fields = format!(
            "Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; a@x.test\r\nAction: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {diagnostic}\r\n"
        );
        let (_, recipients) = delivery(&report(&fields, HEADERS));
        assert_eq!(
            recipients[0].is_gone(),
            is_gone,
            "{action} {status} {diagnostic}"
        );
    }
}

#[test]
fn a_report_without_its_first_group_is_read() {
    let fields = "Final-Recipient: rfc822; a@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n";
    assert_eq!(delivery(&report(fields, HEADERS)).1.len(), 1);
}

#[test]
fn a_complaint_is_told_with_its_kind() {
    let mail = report("", MAIL).replace("report-type=delivery-status", "report-type=feedback-report").replace(
        "message/delivery-status\r\n\r\n",
        "message/feedback-report\r\n\r\nFeedback-Type: Abuse\r\nVersion: 1\r\nOriginal-Rcpt-To: <ann@example.com>\r\n",
    );
    let Some(Report::Complaint {
        origin,
        kind,
        recipient,
    }) = read(mail.as_bytes(), None)
    else {
        panic!("no complaint");
    };
    assert_eq!(
        (kind.as_str(), recipient.as_deref()),
        ("abuse", Some("ann@example.com"))
    );
    assert_eq!(origin.message(), Some(Uuid::from_u128(ID.as_u128() + 1)));
}

#[test]
fn an_answer_is_no_report() {
    let answer = b"From: ann@example.com\r\nSubject: Re: News\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n";
    assert_eq!(
        read(answer, None),
        Some(Report::Other {
            origin: Origin::default()
        })
    );
    // The words of a report in a text are none.
    let quoted = format!("Subject: x\r\n\r\n{FAILED}");
    assert!(matches!(
        read(quoted.as_bytes(), None),
        Some(Report::Other { .. })
    ));
    assert!(matches!(
        read(
            report("Action: failed", "")
                .replace("delivery-status\r\n", "x\r\n")
                .as_bytes(),
            None
        ),
        Some(Report::Other { .. })
    ));
}

#[test]
fn a_report_that_is_nested_without_end_is_read_all_the_same() {
    for header in [
        "Content-Type: message/rfc822\r\n\r\n",
        "Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\n",
    ] {
        let deep = header.repeat(REPORT_LIMIT / header.len());
        assert!(read(deep.as_bytes(), None).is_some());
    }
    let long = report(FAILED, &format!("{MAIL}{}", "x".repeat(2 * REPORT_LIMIT)));
    assert_eq!(delivery(&long).1.len(), 1);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes: Vec<u8>, text in "(Content-Type: |message/delivery-status|message/rfc822|multipart/report; boundary=x|text/rfc822-headers|\r\n|\r\n\r\n|--x|Action: |failed|Status: |5.1.1|;|<|>|é|[ -~]){0,60}") {
        let _ = read(&bytes, None);
        let _ = read(text.as_bytes(), Some(&text));
    }

    #[test]
    fn a_report_that_was_cut_or_changed_never_panics(cut: prop::sample::Index, at: prop::sample::Index, byte: u8) {
        let mut mail = report(FAILED, MAIL).into_bytes();
        let at = at.index(mail.len());
        mail[at] = byte;
        mail.truncate(cut.index(mail.len()) + 1);
        let _ = read(&mail, None);
    }
}
