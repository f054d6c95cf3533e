//! One recipient's e-mail, as the bytes that go to a relay.
//!
//! Its own folder, because it is pure: the same message gives the same bytes on every attempt, so that a relay or a reader
//! that sees it twice can tell, and a signature over it stays true. The time in it is the message's own, and not the attempt's.
//!
//! What legacy sends and this keeps: From, Reply-To, To, Subject, `X-Campaign`. What is new: a text beside the HTML, a
//! `Message-ID` that is known beforehand, the pair of headers for unsubscribing with one click (RFC 8058), and a signature
//! ([`dkim`]). Legacy's Message-ID is random, and its HTML is always quoted-printable; nobody can rely on either.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use mail_builder::MessageBuilder;
use mail_builder::headers::HeaderType;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::{BodyPart, MimePart};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub mod dkim;
pub mod header;
pub mod lines;
pub mod plain;

use super::address::Mailbox;
use dkim::Signers;
use header::{ContentId, FileName, HttpsUrl, MediaType, Subject};
use lines::with_crlf;

/// Bytes of a whole mail. Gmail and Outlook.com take 25 MB, and many relays not much more than 10.
pub const MAIL_LIMIT: usize = 25 * 1024 * 1024;
/// Files in one mail.
pub const ATTACHMENT_LIMIT: usize = 50;

/// Why there are no bytes. None of them repeats a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the subject has a control character, or more than 1000 bytes")]
    Subject,
    #[error("the URL is not https, has a character that no URL has, or is longer than 900 bytes")]
    Url,
    #[error("the file's name is empty, longer than 255 bytes, or has a control character")]
    FileName,
    #[error("the media type is not one file's, such as \"application/pdf\"")]
    MediaType,
    #[error(
        "the content id is empty, longer than 255 bytes, or has a character that it may not have"
    )]
    ContentId,
    #[error("the mail is larger than {MAIL_LIMIT} bytes")]
    TooLarge,
    #[error("the mail has more than {ATTACHMENT_LIMIT} files")]
    TooManyFiles,
    #[error("a body contains the mail's own boundary")]
    Boundary,
    #[error("the mail has a bare CR or LF, or a NUL")]
    Control,
    #[error("the mail has a line of more than 998 bytes")]
    Line,
    #[error("the mail is not signed: {0}")]
    Unsigned(#[from] dkim::Fault),
}

/// A message that is ready to be written. Every header's value is of a checked type.
#[derive(Debug)]
pub struct Mail<'a> {
    pub id: Uuid,
    /// When the message was accepted: the same on each attempt.
    pub date: DateTime<Utc>,
    pub from: &'a Mailbox,
    pub reply_to: Option<&'a Mailbox>,
    pub to: &'a Mailbox,
    pub subject: &'a Subject,
    pub text: &'a str,
    pub html: Option<&'a str>,
    /// Legacy's `X-Campaign`.
    pub campaign: Option<i64>,
    /// What mail providers POST to when a reader unsubscribes. Under it no page may ask for anything more.
    pub unsubscribe: Option<&'a HttpsUrl>,
    pub files: &'a [File],
    /// Of these the one signs that is for the domain of `from`. Where there is none, nobody does.
    pub signers: &'a Signers,
}

/// A file in a mail.
#[derive(Clone, Debug)]
pub struct File {
    pub name: FileName,
    pub kind: MediaType,
    pub bytes: Vec<u8>,
    /// The HTML shows it (`cid:`): it is no attachment to be saved.
    pub inline: Option<ContentId>,
}

/// Under which the message is known in mail, on every attempt; without its angle brackets.
pub fn message_id(id: Uuid, from: &Mailbox) -> String {
    format!("{}@{}", id.simple(), from.address().domain())
}

impl Mail<'_> {
    /// The whole mail: every line ends with CRLF, dots are not stuffed.
    pub fn build(&self) -> Result<Vec<u8>, Fault> {
        self.check_size()?;
        let boundaries = Boundaries::of(self.id);
        let (text, html) = (with_crlf(self.text), self.html.map(with_crlf));
        for body in [Some(&text), html.as_ref()].into_iter().flatten() {
            boundaries.check(body)?;
        }
        let mut mail = Vec::new();
        self.headers()
            .body(self.body(text, html, &boundaries))
            .serialize(&mut mail);
        if mail.len() > MAIL_LIMIT {
            return Err(Fault::TooLarge);
        }
        lines::check(&mail)?;
        self.sign(&mut mail)?;
        Ok(mail)
    }

    /// The last step: what is changed behind it is a forgery. The few hundred bytes are not held against the limit.
    fn sign(&self, mail: &mut Vec<u8>) -> Result<(), Fault> {
        if let Some(signer) = self.signers.of_domain(self.from.address().domain()) {
            let field = signer.sign(mail, self.date)?;
            mail.splice(0..0, field.into_bytes());
        }
        Ok(())
    }

    /// Before anything is copied or encoded.
    fn check_size(&self) -> Result<(), Fault> {
        if self.files.len() > ATTACHMENT_LIMIT {
            return Err(Fault::TooManyFiles);
        }
        let files: usize = self.files.iter().map(|file| file.bytes.len()).sum();
        let bodies = self.text.len() + self.html.map_or(0, str::len);
        match files.saturating_add(bodies) > MAIL_LIMIT {
            true => Err(Fault::TooLarge),
            false => Ok(()),
        }
    }

    fn headers(&self) -> MessageBuilder<'_> {
        let mut headers = MessageBuilder::new()
            .date(self.date.timestamp())
            .header("From", address(self.from))
            .header("To", address(self.to));
        if let Some(reply_to) = self.reply_to {
            headers = headers.header("Reply-To", address(reply_to));
        }
        headers = headers
            .header("Subject", Text::new(self.subject.as_str()))
            .header("Message-ID", MessageId::new(message_id(self.id, self.from)));
        if let Some(campaign) = self.campaign {
            headers = headers.header("X-Campaign", Raw::new(campaign.to_string()));
        }
        if let Some(url) = self.unsubscribe {
            headers = headers
                .header("List-Unsubscribe", Raw::new(format!("<{}>", url.as_str())))
                .header(
                    "List-Unsubscribe-Post",
                    Raw::new("List-Unsubscribe=One-Click"),
                );
        }
        headers.header("MIME-Version", Raw::new("1.0"))
    }

    /// mixed( related( alternative(text, html), shown files ), attached files ), each level only where it has more than one part.
    fn body<'a>(
        &'a self,
        text: Cow<'a, str>,
        html: Option<Cow<'a, str>>,
        boundaries: &Boundaries,
    ) -> MimePart<'a> {
        let text = MimePart::new("text/plain", BodyPart::Text(text));
        let mut body = match html {
            None => text,
            Some(html) => {
                let html = MimePart::new("text/html", BodyPart::Text(html));
                boundaries.join("alternative", vec![text, html])
            }
        };
        for (kind, is_shown) in [("related", true), ("mixed", false)] {
            let files = self.files.iter();
            let files = files.filter(|file| file.inline.is_some() == is_shown);
            let mut parts: Vec<_> = files.map(File::part).collect();
            if !parts.is_empty() {
                parts.insert(0, body);
                body = boundaries.join(kind, parts);
            }
        }
        body
    }
}

impl File {
    /// Base64, whatever it is: mail-builder would send a text as it stands, and a file's line ends are its own.
    fn part(&self) -> MimePart<'_> {
        let disposition = if self.inline.is_some() {
            "inline"
        } else {
            "attachment"
        };
        let part = MimePart::raw(BodyPart::Binary(self.bytes.as_slice().into()))
            .header("Content-Type", Raw::new(self.kind.as_str()))
            .header(
                "Content-Disposition",
                ContentType::new(disposition).attribute("filename", self.name.as_str()),
            );
        match &self.inline {
            Some(id) => part.cid(id.as_str()),
            None => part,
        }
    }
}

fn address(mailbox: &Mailbox) -> HeaderType<'_> {
    Address::new_address(mailbox.name(), mailbox.address().as_str()).into()
}

/// What tells the parts of one mail from each other: made of its id, so that the bytes are the same on each attempt.
struct Boundaries(String);

impl Boundaries {
    fn of(id: Uuid) -> Self {
        let digest = Sha256::new()
            .chain_update(b"boundary")
            .chain_update(id)
            .finalize();
        Self(
            digest[..12]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    fn join<'a>(&self, kind: &'static str, parts: Vec<MimePart<'a>>) -> MimePart<'a> {
        // "=_" cannot stand in quoted-printable, nor in base64.
        let boundary = format!("=_{}_{kind}", self.0);
        let kind = ContentType::new(format!("multipart/{kind}")).attribute("boundary", boundary);
        MimePart::new(kind, parts)
    }

    /// A sender who chooses the id could know it; then the mail would be cut elsewhere than it says.
    fn check(&self, body: &str) -> Result<(), Fault> {
        match memchr::memmem::find(body.as_bytes(), self.0.as_bytes()) {
            Some(_) => Err(Fault::Boundary),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
