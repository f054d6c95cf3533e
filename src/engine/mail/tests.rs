//! Mails, read back as a reader's program reads them.
//!
//! Its own file, because the reader is another library than the writer, and the cases are many.

use std::collections::BTreeMap;

use mail_parser::{Message, MessageParser, MimeHeaders};
use proptest::prelude::*;

use super::*;
use crate::engine::address;
use crate::secret::Secret;

const ID: Uuid = Uuid::from_u128(0x0192_5f3e_8a00_7000_8000_0123_4567_89ab);

fn mailbox(address: &str, name: &str) -> Mailbox {
    Mailbox::new(address::Address::parse(address).unwrap(), Some(name)).unwrap()
}

/// What a test changes of a newsletter, and what it has if nothing is changed.
struct Draft {
    from: Mailbox,
    to: Mailbox,
    subject: Subject,
    text: String,
    html: Option<String>,
    files: Vec<File>,
    signers: Signers,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            from: mailbox("news@acorn.test", "Acorn & Söhne"),
            to: mailbox("ann@example.com", "Ann"),
            subject: Subject::new("News from Acorn").unwrap(),
            text: "Dear Ann,\n\nread on.\n".to_owned(),
            html: Some("<p>Dear Ann,</p>\n<p>read on.</p>".to_owned()),
            files: Vec::new(),
            signers: Signers::default(),
        }
    }
}

impl Draft {
    fn build(&self) -> Result<Vec<u8>, Fault> {
        Mail {
            id: ID,
            date: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            from: &self.from,
            reply_to: Some(&mailbox("reply@acorn.test", "")),
            to: &self.to,
            subject: &self.subject,
            text: &self.text,
            html: self.html.as_deref(),
            campaign: Some(11),
            unsubscribe: Some(&HttpsUrl::new("https://m.acorn.test/u/1").unwrap()),
            files: &self.files,
            signers: &self.signers,
        }
        .build()
    }
}

fn file(name: &str, kind: &str, bytes: &[u8], inline: Option<&str>) -> File {
    File {
        name: FileName::new(name).unwrap(),
        kind: MediaType::new(kind).unwrap(),
        bytes: bytes.to_vec(),
        inline: inline.map(|id| ContentId::new(id).unwrap()),
    }
}

fn read(mail: &[u8]) -> Message<'_> {
    MessageParser::new().parse(mail).unwrap()
}

fn text(mail: &[u8]) -> &str {
    std::str::from_utf8(mail).unwrap()
}

#[test]
fn a_newsletter_has_the_headers_that_legacy_sends_and_the_new_ones() {
    let mail = Draft::default().build().unwrap();
    let (head, _) = text(&mail).split_once("\r\n\r\n").unwrap();
    for line in [
        "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        "To: \"Ann\" <ann@example.com>",
        "Reply-To: <reply@acorn.test>",
        "Subject: News from Acorn",
        "Message-ID: <01925f3e8a00700080000123456789ab@acorn.test>",
        "X-Campaign: 11",
        "List-Unsubscribe: <https://m.acorn.test/u/1>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "MIME-Version: 1.0",
    ] {
        assert!(head.lines().any(|found| found == line), "{line}\n{head}");
    }
    let message = read(&mail);
    let from = message.from().unwrap().first().unwrap();
    assert_eq!(from.name(), Some("Acorn & Söhne"));
    assert_eq!(from.address(), Some("news@acorn.test"));
}

#[test]
fn a_mail_is_signed_for_its_senders_domain_and_alike_on_every_attempt() {
    let signed_for = |domain: &str| {
        let source = dkim::Source {
            selector: "2026a".to_owned(),
            key: Secret::new(dkim::tests::RFC_8463_PEM),
        };
        let sources = BTreeMap::from([(domain.to_owned(), source)]);
        let draft = Draft {
            from: mailbox("news@mail.acorn.test", ""),
            signers: Signers::new(&sources).unwrap(),
            ..Draft::default()
        };
        let mail = draft.build().unwrap();
        assert_eq!(mail, draft.build().unwrap());
        text(&mail).to_owned()
    };
    let plain = signed_for("other.test");
    assert!(!plain.contains("DKIM-Signature"));
    for domain in ["mail.acorn.test", "acorn.test"] {
        let mail = signed_for(domain);
        let field = mail.strip_suffix(&plain).expect("the signature in front");
        assert!(field.starts_with("DKIM-Signature: "), "{field}");
        assert!(field.contains(" t=1700000000;\r\n"), "{field}");
        assert!(field.contains(&format!(" d={domain};\r\n")), "{field}");
        let names: String = field.split_whitespace().collect();
        let names = names.split(';').find_map(|tag| tag.strip_prefix("h="));
        assert_eq!(
            names,
            Some(
                "from:from:reply-to:to:subject:subject:date:message-id:mime-version:content-type:\
                 list-unsubscribe:list-unsubscribe-post:x-campaign"
            )
        );
    }
}

#[test]
fn a_reader_chooses_between_text_and_html() {
    let mail = Draft::default().build().unwrap();
    let message = read(&mail);
    let kind = message.content_type().unwrap();
    assert_eq!(
        (kind.ctype(), kind.subtype()),
        ("multipart", Some("alternative"))
    );
    assert_eq!(
        message.body_text(0).unwrap(),
        "Dear Ann,\r\n\r\nread on.\r\n"
    );
    assert_eq!(
        message.body_html(0).unwrap(),
        "<p>Dear Ann,</p>\r\n<p>read on.</p>\r\n"
    );
}

#[test]
fn a_text_alone_is_no_multipart() {
    let mail = Draft {
        html: None,
        ..Draft::default()
    }
    .build()
    .unwrap();
    assert_eq!(read(&mail).content_type().unwrap().ctype(), "text");
    assert!(!text(&mail).contains("boundary"));
}

#[test]
fn every_attempt_has_the_same_bytes() {
    let draft = Draft {
        files: vec![
            file("a.txt", "text/plain", b"a", None),
            file("b.png", "image/png", b"b", Some("logo")),
        ],
        ..Draft::default()
    };
    assert_eq!(draft.build().unwrap(), draft.build().unwrap());
}

#[test]
fn shown_and_attached_files_are_told_apart() {
    let csv = "a;b\rc\nd\r\n".as_bytes();
    let mail = Draft {
        files: vec![
            file("Preise für Köln.csv", "text/csv", csv, None),
            file(
                "logo.png",
                "image/png",
                &[0, 13, 10, 255],
                Some("logo@acorn"),
            ),
        ],
        ..Draft::default()
    }
    .build()
    .unwrap();
    let message = read(&mail);
    let kinds: Vec<_> = message
        .parts
        .iter()
        .filter_map(|part| part.content_type()?.subtype())
        .collect();
    assert_eq!(
        kinds,
        [
            "mixed",
            "related",
            "alternative",
            "plain",
            "html",
            "png",
            "csv"
        ]
    );
    let part = |subtype: &str| {
        let mut parts = message.parts.iter();
        parts
            .find(|part| part.content_type().unwrap().subtype() == Some(subtype))
            .unwrap()
    };
    assert_eq!(part("csv").attachment_name(), Some("Preise für Köln.csv"));
    assert_eq!(part("csv").contents(), csv);
    assert!(part("csv").content_disposition().unwrap().is_attachment());
    assert_eq!(part("png").content_id(), Some("logo@acorn"));
    assert_eq!(part("png").contents(), [0, 13, 10, 255]);
    assert!(part("png").content_disposition().unwrap().is_inline());
}

#[test]
fn no_part_can_be_forged_with_the_boundary() {
    let boundary = Boundaries::of(ID).0;
    let draft = Draft {
        text: format!("--=_{boundary}_alternative\n"),
        ..Draft::default()
    };
    assert_eq!(draft.build(), Err(Fault::Boundary));
}

#[test]
fn what_is_too_large_is_not_built() {
    let large = |bytes: usize| Draft {
        files: vec![file("a", "application/pdf", &vec![0; bytes], None)],
        ..Draft::default()
    };
    assert_eq!(large(MAIL_LIMIT).build(), Err(Fault::TooLarge));
    // Small enough as it is, and too large in base64.
    assert_eq!(large(MAIL_LIMIT / 10 * 9).build(), Err(Fault::TooLarge));
    let many = Draft {
        files: vec![file("a", "application/pdf", b"", None); ATTACHMENT_LIMIT + 1],
        ..Draft::default()
    };
    assert_eq!(many.build(), Err(Fault::TooManyFiles));
}

#[test]
fn a_nul_does_not_leave() {
    let draft = Draft {
        text: "a\0b".to_owned(),
        ..Draft::default()
    };
    assert_eq!(draft.build(), Err(Fault::Control));
}

proptest! {
    #[test]
    fn whatever_is_written_keeps_the_rules_and_is_read_as_it_was(
        name in "\\PC{0,60}",
        subject in "\\PC{0,200}",
        body in "([a-z é=.<>-]{0,1200}|\\PC{0,40})([\r\n]{0,3}[.\\PC]{0,300}){0,4}",
        file_name in "[\\PC&&[^/\\\\]]{1,60}",
    ) {
        let (Ok(subject), Ok(name)) = (Subject::new(&subject), Mailbox::new(address::Address::parse("a@b.test").unwrap(), Some(&name))) else {
            return Ok(());
        };
        let files = FileName::new(&file_name).map(|name| File { name, ..file("x", "text/plain", b"a\rb", None) });
        let draft = Draft {
            to: name.clone(),
            subject: subject.clone(),
            text: body.clone(),
            html: Some(body.clone()),
            files: files.into_iter().collect(),
            ..Draft::default()
        };
        // `build` checks the lines itself; this says that it always finds them right.
        let mail = draft.build().unwrap();
        let (head, _) = text_of_head(&mail);
        // A relay without 8BITMIME would encode it anew, and break its signature.
        prop_assert!(mail.is_ascii());
        prop_assert!(head.lines().all(|line| line.len() <= 998));
        let message = read(&mail);
        // Of each header there is one.
        for header in ["From", "To", "Subject", "Message-ID", "Date"] {
            let count = head.lines().filter(|line| line.starts_with(&format!("{header}:"))).count();
            prop_assert_eq!(count, 1, "{}", header);
        }
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        prop_assert_eq!(words(message.subject().unwrap_or_default()), words(subject.as_str()));
        let to = message.to().unwrap().first().unwrap();
        prop_assert_eq!(words(to.name().unwrap_or_default()), words(name.name().unwrap_or_default()));
        let found = message.body_text(0).unwrap_or_default();
        let expected = with_crlf(&body);
        prop_assert_eq!(found, expected);
    }
}

fn text_of_head(mail: &[u8]) -> (&str, &[u8]) {
    let end = memchr::memmem::find(mail, b"\r\n\r\n").unwrap();
    (std::str::from_utf8(&mail[..end]).unwrap(), &mail[end..])
}
