//! What became of a message, in words by which a caller decides whether to try again.
//!
//! Its own file, because it is what the ledger is written from: each class is a promise about duplicates.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::reply::Reply;

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server took it for every recipient but the refused.
    Sent { reply: Reply, refused: Vec<Refused> },
    /// It was sent to nobody, or, where the class is [`Class::Uncertain`], maybe to all but the refused. Where each
    /// recipient was refused, `fault` is the first one's.
    Failed { fault: Fault, refused: Vec<Refused> },
}

/// A recipient that the server did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the envelope, from 0.
    pub recipient: usize,
    pub fault: Fault,
}

/// All but [`Class::Uncertain`] promise that the server has not taken the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same message would be refused again.
    Permanent,
    /// It may be taken later.
    Transient,
    /// It may be taken later, and everything else for this server should go slower until then.
    RateLimited,
    /// The server refuses us: our login, our address or our domain. No message will pass until somebody acts.
    Account,
    /// The connection ended before a byte of the body was written, or there was none.
    NotSent,
    /// The connection ended after bytes of the body were written: nobody knows. Trying again may send twice.
    Uncertain,
}

/// Why a message was not sent, or maybe not. It prints neither addresses nor the server's text.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    pub class: Class,
    /// What was being done, and how it failed.
    pub what: Cow<'static, str>,
    /// What the server said, where it said something.
    pub reply: Option<Reply>,
    /// How long the server asks to wait, an hour at most.
    pub wait: Option<Duration>,
    /// The server says that the recipient's address does not exist: nothing more should be sent to it.
    pub suppress: bool,
}

impl Outcome {
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Sent { .. } => None,
            Self::Failed { fault, .. } => Some(fault.class),
        }
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        Self::Failed {
            fault,
            refused: Vec::new(),
        }
    }
}

impl Fault {
    /// One of ours, without a reply.
    pub(super) fn new(class: Class, what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class,
            what: what.into(),
            reply: None,
            wait: None,
            suppress: false,
        }
    }

    pub(super) fn not_sent(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Class::NotSent, what)
    }
}

impl Class {
    /// As it is written in logs and ledgers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::RateLimited => "rate_limited",
            Self::Account => "account",
            Self::NotSent => "not_sent",
            Self::Uncertain => "uncertain",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.as_str(), self.what)?;
        match &self.reply {
            Some(reply) => write!(f, ": {reply}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({self})")
    }
}
