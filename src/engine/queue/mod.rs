//! The queue: which messages are due, who may send them, and how each attempt ended.
//!
//! Its own folder, and a trait, because what carries the ids of due messages may be PostgreSQL or a broker; the truth about
//! them is PostgreSQL's in either case (docs/ENGINE.md).

mod postgres;

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use postgres::PostgresQueue;

use super::message::{End, MessageId};
use crate::ids::TenantId;

/// The shards that this engine sends for, each with the epoch under which it holds it.
pub type Held = BTreeMap<i16, i64>;

/// Where a due message stands, so that it is found again when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A ring of `ficus.due`: nobody has tried it.
    Ring(i16),
    /// `ficus.later`: its time has come.
    Later,
}

/// A message that is due, with all that sending it takes.
#[derive(Clone, Debug)]
pub struct Due {
    pub id: MessageId,
    pub tenant: TenantId,
    pub place: Place,
    /// Attempts that counted towards the ladder.
    pub counted: i16,
    /// Attempts that were written down, those that counted for nothing too: the next one's number is one more.
    pub begun: i16,
    /// An attempt was begun and has no end: its engine died in the middle.
    pub in_doubt: bool,
    pub channel: super::message::Channel,
    pub campaign: Option<i64>,
    pub recipient: String,
    pub body: String,
    pub content: Option<Uuid>,
}

/// An attempt that is about to be made.
#[derive(Clone, Debug)]
pub struct Begin {
    pub id: MessageId,
    pub number: i16,
    pub tenant: TenantId,
    pub campaign: Option<i64>,
    /// Under which the message's shard was held when it was read.
    pub epoch: i64,
    /// Through what: a server or a provider, by name.
    pub connection: String,
}

/// How an attempt ended, and what is next.
#[derive(Clone, Debug)]
pub struct Ended {
    pub id: MessageId,
    pub number: i16,
    pub tenant: TenantId,
    pub epoch: i64,
    pub place: Place,
    pub end: End,
    /// The other side's code, or ours: `250`, `4.2.2`, `no-quota`. Bounded, and nobody's address.
    pub code: String,
    /// What the other side calls the message.
    pub reference: Option<String>,
    /// With `Deferred`: when to try again, and how many attempts have counted by then.
    pub again: Option<(DateTime<Utc>, i16)>,
}

/// Every operation may be repeated after an error, whether it was done or not.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Prolongs this engine's lease and takes up to `most` shards that are free. What is missing from the answer is another's.
    async fn take_shards(&self, most: usize) -> Result<Held, sqlx::Error>;

    /// Lets go of all shards, for others to take at once.
    async fn release(&self) -> Result<(), sqlx::Error>;

    /// Tenants of these shards for whom something is due now.
    async fn tenants(&self, shards: &[i16]) -> Result<Vec<TenantId>, sqlx::Error>;

    /// What is due for a tenant beyond `after`, oldest first, at most `most`.
    async fn load(
        &self,
        tenant: TenantId,
        after: Option<MessageId>,
        most: usize,
    ) -> Result<Vec<Due>, sqlx::Error>;

    /// Writes down that these are about to leave, durably. Only those that are answered may.
    async fn begin(&self, attempts: &[Begin]) -> Result<HashSet<MessageId>, sqlx::Error>;

    /// Writes down how these ended. Those that are answered were refused: the shard is another engine's by now.
    async fn end(&self, ended: &[Ended]) -> Result<HashSet<MessageId>, sqlx::Error>;
}
