//! What a link stands for, remembered: messages, targets, legacy's trackers.
//!
//! Its own file, because readers wait for nothing else here, and what they wait for is bounded: so many look-ups at once, each
//! for so long. One look-up answers all who ask for the same. What was not found is not remembered: a forger makes up another
//! name each time, and would push out what is true.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use moka::future::Cache;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use super::legacy::Legacy;
use super::recorder::Waiting;
use super::store::{self, Known, Source};
use crate::engine::tracking::target::{Target, Targets};

/// At once, so that a flood of links that nobody knows leaves connections to those who send.
const LOOKUPS: usize = 8;
/// For one look-up, its wait for a turn and for a connection included.
const DEADLINE: Duration = Duration::from_secs(1);
/// Some 100 bytes each.
const MESSAGES: u64 = 100_000;
const TRACKERS: u64 = 20_000;
/// Bytes of targets.
const TARGETS: u64 = 32 * 1024 * 1024;
/// What never changes: a bound on how long links outlive a message that was removed.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Legacy may change a tracker's link.
const TRACKER_REMEMBERED: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Nowhere,
    /// The database does not answer, or not soon enough.
    Away,
}

pub(super) struct Lookup {
    ficus: PgPool,
    legacy: Legacy,
    turns: Semaphore,
    waiting: Arc<Waiting>,
    messages: Cache<Uuid, Known>,
    targets: Cache<Source, Arc<Targets>>,
    trackers: Cache<Uuid, Option<Arc<Targets>>>,
}

impl Lookup {
    pub fn new(ficus: PgPool, legacy: Legacy, waiting: Arc<Waiting>) -> Self {
        let weight = |targets: &Arc<Targets>| -> u32 {
            let bytes: usize = targets
                .iter()
                .map(|target| target.as_str().len() + 64)
                .sum();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self {
            ficus,
            legacy,
            turns: Semaphore::new(LOOKUPS),
            waiting,
            messages: Cache::builder()
                .max_capacity(MESSAGES)
                .time_to_live(REMEMBERED)
                .build(),
            targets: Cache::builder()
                .max_capacity(TARGETS)
                .weigher(move |_, targets| weight(targets))
                .time_to_live(REMEMBERED)
                .build(),
            trackers: Cache::builder()
                .max_capacity(TRACKERS)
                .time_to_live(TRACKER_REMEMBERED)
                .build(),
        }
    }

    pub async fn message(&self, id: Uuid) -> Result<Known, Missing> {
        let find = async {
            let known = self.ask(store::find_message(&self.ficus, id)).await?;
            known.ok_or(Missing::Nowhere)
        };
        let found = self.messages.try_get_with(id, find).await;
        found.map_err(|missing| *missing)
    }

    /// Where a message's links lead.
    pub async fn targets(&self, source: Source) -> Result<Arc<Targets>, Missing> {
        let find = async {
            let targets = self.ask(store::find_targets(&self.ficus, source)).await?;
            match targets.is_empty() {
                true => Err(Missing::Nowhere),
                false => Ok(Arc::new(targets)),
            }
        };
        let found = self.targets.try_get_with(source, find).await;
        found.map_err(|missing| *missing)
    }

    /// The stored target that one of the package's links asks for. Not remembered: these links are old, and few are clicked.
    pub async fn target(&self, asked: &str) -> Result<Targets, Missing> {
        self.ask(store::find_target(&self.ficus, asked)).await
    }

    /// Where a tracker's click leads: its one target, or `None` where its mail had none.
    pub async fn tracker(&self, id: Uuid) -> Result<Option<Arc<Targets>>, Missing> {
        let find = async {
            let link = self.ask(self.legacy.find_tracker(id)).await?;
            let link = link.ok_or(Missing::Nowhere)?;
            let target = |link: String| Target::parse(&link).into_iter().collect();
            Ok(link.map(|link| Arc::new(Targets::from_store(target(link)))))
        };
        let found = self.trackers.try_get_with(id, find).await;
        found.map_err(|missing: Arc<Missing>| *missing)
    }

    pub async fn recipient(&self, id: Uuid) -> Result<String, Missing> {
        let found = self.ask(store::find_recipient(&self.ficus, id)).await?;
        found.ok_or(Missing::Nowhere)
    }

    async fn ask<T>(
        &self,
        asked: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Missing> {
        let in_turn = async {
            let _turn = self.turns.acquire().await.map_err(|_| Missing::Away)?;
            asked.await.map_err(|error| {
                // The recorder tells how many there were: a flood of them is not a flood of lines.
                tracing::debug!(%error, "could not look a link up");
                Missing::Away
            })
        };
        let found = timeout(DEADLINE, in_turn)
            .await
            .unwrap_or(Err(Missing::Away));
        if found.is_err() {
            self.waiting.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        found
    }
}
