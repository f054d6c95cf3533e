//! What is handed over: an envelope and the bytes of a message, both checked.
//!
//! Its own file, because what stands here cannot fail on the wire for reasons of ours.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::address::Address;
use super::content::{Shape, shape};

/// RFC 5321, 4.5.3.1.8: so many each server has to take. Their replies fit a socket's buffer, so that a group of
/// commands can be written without reading meanwhile.
pub const MOST_RECIPIENTS: usize = 100;
/// The body is copied once to be written. What servers take is far below.
pub const LONGEST_BODY: usize = 64 << 20;
/// RFC 3461, 4.4.
const LONGEST_ID: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    #[error("an envelope needs a recipient")]
    NoRecipient,
    #[error("an envelope has at most {MOST_RECIPIENTS} recipients")]
    TooManyRecipients,
    #[error("an envelope's id has 1 to {LONGEST_ID} printable ASCII characters")]
    Id,
    #[error("a message has at most {LONGEST_BODY} bytes")]
    TooLong,
}

/// From whom and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub(super) from: Option<Address>,
    pub(super) to: Vec<Address>,
    pub(super) id: Option<String>,
}

impl Envelope {
    /// Without `from` the return path is empty: nobody is told when it bounces.
    pub fn new(from: Option<Address>, to: Vec<Address>) -> Result<Self, MessageError> {
        match to.len() {
            0 => Err(MessageError::NoRecipient),
            1..=MOST_RECIPIENTS => Ok(Self { from, to, id: None }),
            _ => Err(MessageError::TooManyRecipients),
        }
    }

    /// What a delivery status notification is matched by (ENVID). It is sent where the server offers DSN.
    pub fn with_id(mut self, id: &str) -> Result<Self, MessageError> {
        let is_printable = id.bytes().all(|it| it.is_ascii_graphic() || it == b' ');
        if id.is_empty() || id.len() > LONGEST_ID || !is_printable {
            return Err(MessageError::Id);
        }
        self.id = Some(id.to_owned());
        Ok(self)
    }
}

/// An envelope and the message in it. It does not print its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub(super) envelope: Envelope,
    pub(super) body: Bytes,
    pub(super) shape: Shape,
}

impl Message {
    /// `body` is a message of RFC 5322: headers, an empty line, text. Its lines may end as they like.
    pub fn new(envelope: Envelope, body: impl Into<Bytes>) -> Result<Self, MessageError> {
        let body = body.into();
        if body.len() > LONGEST_BODY {
            return Err(MessageError::TooLong);
        }
        let shape = shape(&body);
        Ok(Self {
            envelope,
            body,
            shape,
        })
    }

    /// Whether the server has to offer SMTPUTF8.
    pub(super) fn is_international(&self) -> bool {
        let Envelope { from, to, .. } = &self.envelope;
        self.shape.international || from.iter().chain(to).any(Address::is_international)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("recipients", &self.envelope.to.len())
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Address {
        Address::parse("bob@example.com").unwrap()
    }

    #[test]
    fn an_envelope_has_one_to_a_hundred_recipients() {
        assert_eq!(
            Envelope::new(None, Vec::new()),
            Err(MessageError::NoRecipient)
        );
        assert!(Envelope::new(None, vec![bob(); 100]).is_ok());
        let many = Envelope::new(None, vec![bob(); 101]);
        assert_eq!(many, Err(MessageError::TooManyRecipients));
    }

    #[test]
    fn an_id_that_could_end_its_line_is_refused() {
        let envelope = || Envelope::new(None, vec![bob()]).unwrap();
        assert!(envelope().with_id("018f-7 a=b").is_ok());
        for id in ["", "a\r\nb", "ö", &"a".repeat(101)] {
            assert_eq!(envelope().with_id(id), Err(MessageError::Id), "{id:?}");
        }
    }

    #[test]
    fn a_message_prints_neither_its_content_nor_its_addresses() {
        let envelope = Envelope::new(Some(bob()), vec![bob()]).unwrap();
        let message = Message::new(envelope, "Subject: secret\r\n\r\nx").unwrap();
        let text = format!("{message:?} {:?}", message.envelope);
        assert!(!text.contains("secret") && !text.contains("bob"), "{text}");
    }
}
