//! What comes back by mail: delivery reports (RFC 3464) and complaints (RFC 5965), read as far as they can be believed.
//!
//! Its own folder, because these are bytes that anybody can send us, and because what a report means for an address is
//! decided here: which statuses say that nobody is there.
//!
//! A report is evidence about a message and never an order: [`Origin`] says which message it speaks of, in three ways. Only
//! an address of ours ([`verp`]) proves that the mail was sent from here.

use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders, PartType};
use uuid::Uuid;

pub mod fields;
pub mod verp;

use fields::{Group, groups};
use verp::Returned;

/// Bytes that are read of a report. What counts stands in front; behind it comes the mail that is returned.
pub const REPORT_LIMIT: usize = 256 * 1024;
/// Each part in a part needs this header. A report whose parts are nested thousands deep would end the process when it is
/// dropped.
const PART_LIMIT: usize = 64;
/// Recipients in one report: our mails have one.
const RECIPIENT_LIMIT: usize = 100;
/// Characters that are kept of a relay's own words.
const DIAGNOSTIC_LIMIT: usize = 500;

/// What a mail to the bounce address is.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    Delivery {
        origin: Origin,
        recipients: Vec<Recipient>,
    },
    /// A reader has said that it is spam: nothing may be sent there again.
    Complaint {
        origin: Origin,
        /// `abuse`, `fraud`, `virus`, `not-spam`, `other`; lower-case.
        kind: String,
        /// Where the report says it.
        recipient: Option<String>,
    },
    /// An answer of a person or a machine, or a bounce in no form.
    Other { origin: Origin },
}

/// Which message it is about, as far as the report tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `ENVID`, which the reporting relay got from us.
    pub envelope_id: Option<Uuid>,
    /// In the headers that are returned.
    pub message_id: Option<Uuid>,
    /// Of the address to which the report came.
    pub returned: Option<Returned>,
}

impl Origin {
    /// The message, by the first that tells it.
    pub fn message(&self) -> Option<Uuid> {
        self.envelope_id
            .or(self.message_id)
            .or(self.returned.as_ref().map(Returned::message))
    }
}

/// What became of the mail to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// As the report says it; the original address where it tells that.
    pub address: Option<String>,
    pub action: Action,
    pub status: Option<Status>,
    /// The relay's words: for people, and of any content.
    pub diagnostic: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Failed,
    Delayed,
    Delivered,
    /// Given to a relay that sends no reports.
    Relayed,
    /// Given to the members of a list.
    Expanded,
}

/// RFC 3463: `5.1.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub class: u8,
    pub subject: u16,
    pub detail: u16,
}

impl Status {
    /// The first status in `text`, such as `5.1.1 (bad mailbox)` or `550-5.1.1 no such user`.
    pub fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
            .find_map(|word| {
                let (class, rest) = word.split_once('.')?;
                let (subject, detail) = rest.split_once('.')?;
                let class = match class {
                    "2" => 2,
                    "4" => 4,
                    "5" => 5,
                    _ => return None,
                };
                let number = |text: &str| match text.len() {
                    1..=3 => text.parse().ok(),
                    _ => None,
                };
                Some(Self {
                    class,
                    subject: number(subject)?,
                    detail: number(detail)?,
                })
            })
    }
}

impl Recipient {
    /// Whether the address is to be suppressed: nobody is there, and nobody will be. What a policy refuses (5.7) or what is
    /// full (5.2.2) is no reason.
    pub fn is_gone(&self) -> bool {
        let Some(status) = self.status else {
            return false;
        };
        self.action == Action::Failed
            && status.class == 5
            && matches!(
                (status.subject, status.detail),
                (1, 1 | 2 | 3 | 10) | (2, 1)
            )
    }
}

/// Reads a mail that came to `delivered_to`, the envelope's recipient. `None`: it is no mail at all.
pub fn read(mail: &[u8], delivered_to: Option<&str>) -> Option<Report> {
    let message = MessageParser::new().parse(within_limits(mail))?;
    let mut origin = Origin {
        returned: delivered_to.and_then(Returned::parse),
        message_id: returned_message_id(&message),
        envelope_id: None,
    };
    if let Some(part) = part_of(&message, "message", "delivery-status") {
        let groups = groups(&text_of(part), RECIPIENT_LIMIT + 1);
        let (about, recipients) = match groups.split_first() {
            // Some relays leave the first group out.
            Some((first, _)) if first.get("Action").is_some() => (None, &groups[..]),
            Some((first, rest)) => (Some(first), rest),
            None => (None, &groups[..]),
        };
        origin.envelope_id = about.and_then(envelope_id);
        let recipients: Vec<_> = recipients.iter().filter_map(recipient).collect();
        if !recipients.is_empty() {
            return Some(Report::Delivery { origin, recipients });
        }
    }
    if let Some(part) = part_of(&message, "message", "feedback-report")
        && let Some(about) = groups(&text_of(part), 1).first()
        && let Some(kind) = about.get("Feedback-Type")
    {
        origin.envelope_id = envelope_id(about);
        let recipient = about.get("Original-Rcpt-To").map(without_brackets);
        return Some(Report::Complaint {
            origin,
            kind: kind.to_ascii_lowercase(),
            recipient,
        });
    }
    Some(Report::Other { origin })
}

/// The address of ours to which `mail` came, as its last relays have written it into its headers.
pub fn envelope_to(mail: &[u8]) -> Option<String> {
    const NAMES: [&str; 3] = ["Delivered-To", "X-Original-To", "To"];
    let message = MessageParser::new().parse_headers(within_limits(mail))?;
    NAMES.iter().find_map(|name| {
        let mut values = message
            .headers_raw()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name));
        values.find_map(|(_, value)| {
            let mut words = value.split(|c: char| c.is_whitespace() || "<>,;\"".contains(c));
            let ours = words.find(|word| Returned::parse(word).is_some())?;
            Some(ours.to_owned())
        })
    })
}

/// The front of `mail`, with so few parts that their nesting is bounded.
fn within_limits(mail: &[u8]) -> &[u8] {
    const HEADER: &[u8] = b"content-type";
    let mail = &mail[..mail.len().min(REPORT_LIMIT)];
    let mut starts = memchr::memchr2_iter(b'c', b'C', mail).filter(|at| {
        mail[*at..]
            .get(..HEADER.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(HEADER))
    });
    match starts.nth(PART_LIMIT) {
        Some(end) => &mail[..end],
        None => mail,
    }
}

fn part_of<'a>(message: &'a Message<'a>, kind: &str, sub: &str) -> Option<&'a MessagePart<'a>> {
    message.parts.iter().find(|part| is(part, kind, sub))
}

fn is(part: &MessagePart<'_>, kind: &str, sub: &str) -> bool {
    part.content_type().is_some_and(|found| {
        found.ctype().eq_ignore_ascii_case(kind)
            && found
                .subtype()
                .is_some_and(|found| found.eq_ignore_ascii_case(sub))
    })
}

fn text_of(part: &MessagePart<'_>) -> String {
    String::from_utf8_lossy(part.contents()).into_owned()
}

/// Out of the mail that is returned, or of its headers.
fn returned_message_id(message: &Message<'_>) -> Option<Uuid> {
    message.parts.iter().find_map(|part| match &part.body {
        PartType::Message(returned) => our_message_id(returned),
        _ if is(part, "text", "rfc822-headers") => {
            our_message_id(&MessageParser::new().parse_headers(part.contents())?)
        }
        _ => None,
    })
}

/// As [`super::mail::message_id`] makes it.
fn our_message_id(returned: &Message<'_>) -> Option<Uuid> {
    let (id, _) = returned.message_id()?.split_once('@')?;
    simple(id)
}

fn envelope_id(about: &Group) -> Option<Uuid> {
    simple(about.get("Original-Envelope-Id")?)
}

/// 32 hexadecimal digits: `Uuid` reads three other forms, which we never write.
fn simple(text: &str) -> Option<Uuid> {
    (text.len() == 32).then(|| Uuid::try_parse(text).ok())?
}

/// `None` where the group says no action that the RFC knows.
fn recipient(group: &Group) -> Option<Recipient> {
    let action = match group.get("Action")?.to_ascii_lowercase().as_str() {
        "failed" => Action::Failed,
        "delayed" => Action::Delayed,
        "delivered" => Action::Delivered,
        "relayed" => Action::Relayed,
        "expanded" => Action::Expanded,
        _ => return None,
    };
    let address = group
        .typed("Original-Recipient")
        .or_else(|| group.typed("Final-Recipient"));
    let diagnostic = group.typed("Diagnostic-Code");
    // A gateway's own status is often 5.0.0, and the relay behind it has said which.
    let known = |status: &Status| status.subject != 0;
    let said = group.get("Status").and_then(Status::find);
    let status = said
        .filter(known)
        .or_else(|| diagnostic.and_then(Status::find))
        .or(said);
    Some(Recipient {
        address: address.map(without_brackets),
        action,
        status,
        diagnostic: diagnostic.map(|text| text.chars().take(DIAGNOSTIC_LIMIT).collect()),
    })
}

fn without_brackets(address: &str) -> String {
    let inner = address
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    inner.unwrap_or(address).to_owned()
}

#[cfg(test)]
mod tests;
