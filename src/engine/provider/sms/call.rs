//! What a vendor is asked, and what it answered, as values.
//!
//! Its own file, because each vendor's own file makes the one and reads the other without a connection: both are pure, and held against tables.

use std::time::Duration;

use uuid::Uuid;

use crate::engine::retry::Class;
use crate::engine::sms::{Number, Sender};
use crate::secret::Secret;

/// Bytes of an outcome's code: more of a vendor's text may have somebody's number in it.
const CODE_LIMIT: usize = 40;

/// One message to one recipient, as every vendor gets it.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Ours, by which a vendor that takes one knows the message, on each attempt the same.
    pub id: Uuid,
    pub to: &'a Number,
    pub from: &'a Sender,
    pub text: &'a str,
    /// Where its reports go.
    pub callback: Option<&'a str>,
}

/// A POST that sends a message. It does not print.
pub struct Call {
    pub url: String,
    pub login: Login,
    pub payload: Payload,
}

pub enum Login {
    Basic {
        user: Secret,
        password: Secret,
    },
    /// `Authorization: App …`
    App(Secret),
}

pub enum Payload {
    Form(Vec<(&'static str, String)>),
    Json(serde_json::Value),
}

/// What came back, as far as it came.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub body: &'a [u8],
}

/// What an answer says of its one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub class: Class,
    pub code: String,
    /// What the vendor calls the message.
    pub reference: Option<String>,
}

impl Verdict {
    pub fn of(class: Class, code: impl Into<String>) -> Self {
        let mut code: String = code.into();
        code.retain(|c| c.is_ascii_graphic() || c == ' ');
        code.truncate(CODE_LIMIT);
        Self {
            class,
            code,
            reference: None,
        }
    }

    pub fn accepted(code: impl Into<String>, reference: &str) -> Self {
        let reference = reference.chars().take(128).collect();
        Self {
            reference: Some(reference),
            ..Self::of(Class::Accepted, code)
        }
    }

    /// An answer that says yes and not to what: the vendor may have the message.
    pub fn unread(status: u16) -> Self {
        Self::of(Class::Uncertain, format!("{status} unread"))
    }
}

impl Answer<'_> {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// `None`: it is no JSON, or was cut off.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(self.body).ok()
    }

    /// What its status alone says. Of what is not listed: a vendor that refuses has not accepted, and one that fails may have.
    pub fn class(&self) -> Class {
        match self.status {
            429 => Class::RateLimited(self.retry_after),
            401..=403 => Class::Account,
            // The base URL leads elsewhere, which no message can mend.
            300..400 => Class::Account,
            // Something between us gave up waiting for an answer.
            408 => Class::Uncertain,
            400..500 => Class::Permanent,
            _ => Class::Uncertain,
        }
    }
}

/// A number that vendors write as a number or as text.
pub fn number(value: &serde_json::Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_that_any_vendor_may_answer_has_a_class() {
        let wait = Some(Duration::from_secs(7));
        let class = |status| {
            let answer = Answer {
                status,
                retry_after: wait,
                body: b"",
            };
            answer.class()
        };
        for status in [400, 404, 405, 406, 409, 410, 413, 415, 422, 451] {
            assert_eq!(class(status), Class::Permanent, "{status}");
        }
        for status in [401, 402, 403, 301, 302, 307, 308] {
            assert_eq!(class(status), Class::Account, "{status}");
        }
        for status in [408, 500, 501, 502, 503, 504, 520, 599, 200, 101, 700] {
            assert_eq!(class(status), Class::Uncertain, "{status}");
        }
        assert_eq!(class(429), Class::RateLimited(wait));
    }

    #[test]
    fn a_code_is_short_and_has_no_line_breaks() {
        let verdict = Verdict::of(Class::Permanent, format!("400\r\n{}é", "x".repeat(100)));
        assert!(verdict.code.len() <= CODE_LIMIT && verdict.code.starts_with("400x"));
    }
}
