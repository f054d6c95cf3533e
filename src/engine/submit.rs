//! Takes messages in: stored with their keys and made due, before anybody is told that they were accepted.
//!
//! Its own file, because this is where an acknowledgement becomes a promise. Requests that come at the same time are one commit
//! (`group`), so that many small ones cost the disk no more than a large one.

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::group::{Bounds, Fault, Group, Statement};
use super::message::{Accepted, MessageId, NewMessage};
use crate::telemetry::EngineMetrics;

/// Two commits at once: one is written to the disk while the next is read by the database.
const BOUNDS: Bounds = Bounds {
    items: 2_000,
    statements: 2,
    waiting: 1_000,
};

/// What PostgreSQL said.
pub type StoreFault = std::sync::Arc<sqlx::Error>;

/// Where messages are handed in. Clones are the same.
#[derive(Clone)]
pub struct Submitter {
    group: Group<NewMessage, Accepted, StoreFault>,
    pool: PgPool,
    metrics: EngineMetrics,
    /// Who hands in here, as the duplicates are counted.
    source: &'static str,
}

impl Submitter {
    /// Runs until `stop`, in tasks of `tasks`.
    pub fn start(pool: PgPool, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let group = Group::start(Accept(pool.clone()), BOUNDS, tasks, stop);
        Self {
            group,
            pool,
            metrics: EngineMetrics::default(),
            source: "other",
        }
    }

    /// The same, for who is called `source` (`api`, `campaign`, `queue`): what they hand in twice is counted into these.
    pub fn measured(&self, metrics: EngineMetrics, source: &'static str) -> Self {
        let this = self.clone();
        Self {
            metrics,
            source,
            ..this
        }
    }

    /// What became of each, in their order. An error: none of them was stored, or, where the connection was lost, nobody knows;
    /// handing the same in again is safe, since each has its key.
    pub async fn submit(
        &self,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Accepted>, Fault<StoreFault>> {
        // Its own, should the group's statement fail because of somebody else's.
        let again = messages.clone();
        let accepted = match self.group.call(messages).await {
            Err(Fault::Statement(fault)) if is_about_a_row(&fault) => {
                let alone = accept(&self.pool, again).await;
                alone.map_err(|fault| Fault::Statement(StoreFault::new(fault)))
            }
            done => done,
        }?;
        let is_known = |it: &&Accepted| matches!(it, Accepted::Duplicate(_));
        let duplicates = accepted.iter().filter(is_known).count() as u64;
        if duplicates > 0 {
            self.metrics.duplicates(self.source, duplicates);
        }
        Ok(accepted)
    }
}

/// A row cannot be stored (classes 22 and 23 of PostgreSQL's codes); the others of its group could be.
fn is_about_a_row(fault: &sqlx::Error) -> bool {
    let code = fault.as_database_error().and_then(|it| it.code());
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

struct Accept(PgPool);

impl Statement<NewMessage, Accepted> for Accept {
    type Error = StoreFault;

    async fn run(&self, messages: Vec<NewMessage>) -> Result<Vec<Accepted>, StoreFault> {
        accept(&self.0, messages).await.map_err(StoreFault::new)
    }
}

/// In the caller's transaction, or in one of its own.
pub(super) async fn accept(
    db: impl sqlx::PgExecutor<'_>,
    messages: Vec<NewMessage>,
) -> Result<Vec<Accepted>, sqlx::Error> {
    let count = messages.len();
    let mut columns = Columns::with_capacity(count);
    messages
        .into_iter()
        .for_each(|message| columns.push(message));
    let mut accepted: Vec<_> = columns
        .ids
        .iter()
        .map(|id| Accepted::New(MessageId(*id)))
        .collect();
    let others: Vec<(i32, Uuid, String)> = sqlx::query_as(
        "select place, id, became from ficus.accept_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(columns.tenants)
    .bind(columns.ids)
    .bind(columns.keys)
    .bind(columns.fingerprints)
    .bind(columns.channels)
    .bind(columns.campaigns)
    .bind(columns.recipients)
    .bind(columns.bodies)
    .bind(columns.contents)
    .bind(columns.due)
    .fetch_all(db)
    .await?;
    // Places are counted from 1.
    for (place, id, became) in others {
        let place = usize::try_from(place).ok().and_then(|it| it.checked_sub(1));
        let Some(it) = place.and_then(|place| accepted.get_mut(place)) else {
            let fault = format!(
                "{count} messages were handed in, and one became {became} that is none of them"
            );
            return Err(sqlx::Error::Protocol(fault));
        };
        *it = match became.as_str() {
            "duplicate" => Accepted::Duplicate(MessageId(id)),
            "conflict" => Accepted::Conflict(MessageId(id)),
            "suppressed" => Accepted::Suppressed,
            other => return Err(sqlx::Error::Protocol(format!("a message became {other}"))),
        };
    }
    Ok(accepted)
}

/// The messages as arrays, which is how one statement takes them.
struct Columns {
    tenants: Vec<i64>,
    ids: Vec<Uuid>,
    keys: Vec<Uuid>,
    fingerprints: Vec<Uuid>,
    channels: Vec<&'static str>,
    campaigns: Vec<Option<i64>>,
    recipients: Vec<String>,
    bodies: Vec<String>,
    contents: Vec<Option<Uuid>>,
    due: Vec<Option<chrono::DateTime<chrono::Utc>>>,
}

impl Columns {
    fn with_capacity(count: usize) -> Self {
        Self {
            tenants: Vec::with_capacity(count),
            ids: Vec::with_capacity(count),
            keys: Vec::with_capacity(count),
            fingerprints: Vec::with_capacity(count),
            channels: Vec::with_capacity(count),
            campaigns: Vec::with_capacity(count),
            recipients: Vec::with_capacity(count),
            bodies: Vec::with_capacity(count),
            contents: Vec::with_capacity(count),
            due: Vec::with_capacity(count),
        }
    }

    fn push(&mut self, message: NewMessage) {
        self.tenants.push(message.tenant.0);
        self.ids.push(message.id.0);
        self.keys.push(Uuid::from_bytes(message.key));
        self.fingerprints
            .push(Uuid::from_bytes(message.fingerprint));
        self.channels.push(message.channel.as_str());
        self.campaigns.push(message.campaign);
        self.recipients.push(message.recipient);
        self.bodies.push(message.body);
        self.contents.push(message.content);
        self.due.push(message.due_at);
    }
}
