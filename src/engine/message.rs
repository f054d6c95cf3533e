//! A message, and the states that it passes through.
//!
//! Its own file, and pure: every part of the engine speaks of messages, and none may invent a state of its own.
//!
//! ```text
//! accepted by us ─► due ─► attempt begun ─► accepted by the other side
//!                    ▲            ├───────► failed            never to be tried again
//!                    │            ├───────► uncertain ─► settled: accepted, failed, unknown, or due again
//!                    └─ later ◄───┴ deferred  (the last rung of the ladder: dead)
//! ```

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ids::TenantId;

/// So many shards share the tenants; the schema has the same number.
pub const SHARDS: i64 = 64;

/// A UUID of version 7: it begins with its time, by which it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub Uuid);

impl MessageId {
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// By the clock of who accepted it. `None`: it is no UUID of version 7.
    pub fn made_at(self) -> Option<DateTime<Utc>> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }
}

impl Default for MessageId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Email,
    Sms,
}

impl Channel {
    /// As the database and the API have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

/// A message that is checked and is to be stored. No text of it contains U+0000, which PostgreSQL cannot store.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub id: MessageId,
    pub tenant: TenantId,
    /// By which a second one is known as the same.
    pub key: [u8; 16],
    /// Of all that was asked for: the same key with another is a conflict.
    pub fingerprint: [u8; 16],
    pub channel: Channel,
    pub campaign: Option<i64>,
    pub recipient: String,
    pub body: String,
    /// A text that it shares with others.
    pub content: Option<Uuid>,
    /// `None`: now.
    pub due_at: Option<DateTime<Utc>>,
}

/// What became of a message that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Stored: it will be sent.
    New(MessageId),
    /// Known by its key: nothing was stored, and it is sent as the message of this id.
    Duplicate(MessageId),
    /// Its key stands for another message, of this id.
    Conflict(MessageId),
    /// The tenant sends to this recipient no more.
    Suppressed,
}

/// How an attempt ended. What the message becomes by it stands in the same word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The other side has taken it over.
    Accepted,
    /// It will never be accepted.
    Failed,
    /// The ladder of attempts is used up.
    Dead,
    /// It may have been accepted, and nobody will ever know.
    Unknown,
    Cancelled,
    /// Surely not accepted: it is tried again at its time.
    Deferred,
    /// It may have been accepted: to be settled before anything else is done with it.
    Uncertain,
}

impl End {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
            Self::Deferred => "deferred",
            Self::Uncertain => "uncertain",
        }
    }
}

/// The shard of a tenant: whose engine sends for it.
pub fn shard_of(tenant: TenantId) -> i16 {
    // Always below 64.
    i16::try_from(tenant.0.rem_euclid(SHARDS)).unwrap_or_default()
}
