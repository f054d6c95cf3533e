//! What a mail server's answer is in the engine's words.
//!
//! Its own file, and pure: the client knows connections and replies, the engine classes and codes.

use crate::engine::provider::{Outcome, smtp};
use crate::engine::retry::Class;

/// A reply's own code is one of three digits, an enhanced one, or both; more of a reply is text, which may have addresses in it.
pub fn told(server: String, outcome: smtp::Outcome) -> Outcome {
    match outcome {
        smtp::Outcome::Sent { reply, .. } => Outcome {
            class: Class::Accepted,
            code: code(&reply),
            reference: None,
            server: Some(server),
        },
        smtp::Outcome::Failed { fault, .. } => Outcome {
            class: class(&fault),
            code: fault
                .reply
                .as_ref()
                .map_or_else(|| fault.class.as_str().to_owned(), code),
            reference: None,
            server: Some(server),
        },
    }
}

fn class(fault: &smtp::Fault) -> Class {
    match fault.class {
        smtp::Class::Permanent => Class::Permanent,
        smtp::Class::Transient => Class::Transient(fault.wait),
        smtp::Class::RateLimited => Class::RateLimited(fault.wait),
        smtp::Class::Account => Class::Account,
        smtp::Class::NotSent => Class::NotSent,
        smtp::Class::Uncertain => Class::Uncertain,
    }
}

fn code(reply: &smtp::Reply) -> String {
    match reply.enhanced {
        Some(smtp::Enhanced(class, subject, detail)) => {
            format!("{} {class}.{subject}.{detail}", reply.code)
        }
        None => reply.code.to_string(),
    }
}
