//! Writes what readers did, behind their backs: opens and clicks in batches, and what legacy's tables are to be told.
//!
//! Its own file, because it is the one task of links: it has the only statements that write counts, one at a time. A batch
//! whose answer was lost with its connection is written again: these are counts, and no ledger.

use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::counts::{Count, Counts, Event};
use super::legacy::{Contact, Legacy};
use super::store;
use crate::ids::TenantId;

/// Messages whose counts wait, and trackers: some 100 bytes each. Apart, because anybody can ask for a tracker that there is not.
const WAITING: usize = 100_000;
/// Rows of one statement.
const BATCH: usize = 5_000;
/// Between two writings.
const EVERY: Duration = Duration::from_secs(1);
/// When the database does not answer, the pause doubles up to this.
const LONGEST: Duration = Duration::from_secs(30);
/// While the process stops, and its last requests come to their end.
const STOPPING: Duration = Duration::from_millis(100);
/// For one statement.
const DEADLINE: Duration = Duration::from_secs(10);
/// For the last writing: a stop waits for three seconds at most.
const DRAIN: Duration = Duration::from_secs(2);
/// What another process has left untold is looked for.
const LOOK_AROUND: Duration = Duration::from_secs(30);
/// Suppressions of one statement.
const TOLD_AT_ONCE: usize = 500;

/// What waits to be written.
pub(super) struct Waiting {
    messages: Mutex<Counts<(TenantId, Uuid)>>,
    trackers: Mutex<Counts<Uuid>>,
    /// Look-ups that the database did not answer.
    pub unanswered: AtomicU64,
    /// Opens and clicks that were given up, since the start.
    pub lost: AtomicU64,
    is_untold: AtomicBool,
    wake: Notify,
}

impl Waiting {
    pub fn new() -> Self {
        Self {
            messages: Mutex::new(Counts::new(WAITING)),
            trackers: Mutex::new(Counts::new(WAITING)),
            unanswered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            // Of the process before.
            is_untold: AtomicBool::new(true),
            wake: Notify::new(),
        }
    }

    /// Of a message that there is. Never waits.
    pub fn count(&self, tenant: TenantId, message: Uuid, event: Event) {
        if locked(&self.messages).add((tenant, message), event.into()) {
            self.wake.notify_one();
        }
    }

    /// Whether there is such a tracker is found when it is written. Never waits.
    pub fn count_tracker(&self, tracker: Uuid, event: Event) {
        if locked(&self.trackers).add(tracker, event.into()) {
            self.wake.notify_one();
        }
    }

    /// One that could not be told apart from a forged one.
    pub fn give_up(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Something is to be told to legacy's tables.
    pub fn tell(&self) {
        self.is_untold.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// The task, and what it writes to.
pub(super) struct Recorder {
    pub ficus: PgPool,
    pub legacy: Legacy,
    pub waiting: Arc<Waiting>,
    /// Who wants to know when what has been counted so far is written. Its end is the recorder's: nobody is left who counts.
    pub asked: mpsc::Receiver<oneshot::Sender<()>>,
}

impl Recorder {
    /// Until nobody is left who counts; `stop` only makes it hurry.
    pub async fn run(mut self, stop: CancellationToken) {
        let (mut pause, mut looked, mut is_stopping) = (EVERY, Instant::now(), false);
        let mut reported = 0;
        loop {
            let asker = tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(asker) => Some(asker),
                    None => break,
                },
                () = stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    None
                }
                () = self.waiting.wake.notified(), if pause == EVERY => None,
                () = sleep(if is_stopping { STOPPING } else { pause }) => None,
            };
            if looked.elapsed() >= LOOK_AROUND || asker.is_some() {
                looked = Instant::now();
                self.waiting.is_untold.store(true, Ordering::Release);
            }
            pause = match self.write().await {
                true => EVERY,
                false => (pause * 2).min(LONGEST),
            };
            self.report(&mut reported);
            if let Some(asker) = asker {
                // Whoever asked may have gone.
                let _ = asker.send(());
            }
        }
        if timeout(DRAIN, self.write()).await != Ok(true) {
            tracing::warn!("stopped before all opens and clicks were counted");
        }
        self.report(&mut reported);
    }

    /// False: something waits still, because a database is away.
    async fn write(&self) -> bool {
        let written = tokio::join!(self.write_messages(), self.write_trackers(), self.tell());
        written.0 && written.1 && written.2
    }

    async fn write_messages(&self) -> bool {
        let rows = locked(&self.waiting.messages).take();
        let mut is_written = true;
        for batch in rows.chunks(BATCH) {
            let done = match is_written {
                true => within(store::count_reactions(&self.ficus, batch)).await,
                false => Done::Later,
            };
            is_written &= self.settle(&self.waiting.messages, batch, &done);
        }
        is_written
    }

    async fn write_trackers(&self) -> bool {
        let rows = locked(&self.waiting.trackers).take();
        let mut is_written = true;
        for batch in rows.chunks(BATCH) {
            let done = match is_written {
                true => within(self.legacy.count_trackers(batch)).await,
                false => Done::Later,
            };
            is_written &= self.settle(&self.waiting.trackers, batch, &done);
        }
        is_written
    }

    /// What was not written waits again, if another time it may be.
    fn settle<K: Copy + Eq + Hash>(
        &self,
        counts: &Mutex<Counts<K>>,
        batch: &[(K, Count)],
        done: &Done,
    ) -> bool {
        match done {
            Done::Well => {}
            Done::Never => {
                let events = batch
                    .iter()
                    .map(|(_, it)| u64::from(it.opens) + u64::from(it.clicks));
                self.waiting.lost.fetch_add(events.sum(), Ordering::Relaxed);
            }
            Done::Later => {
                let mut counts = locked(counts);
                for (key, count) in batch {
                    counts.add(*key, *count);
                }
            }
        }
        !matches!(done, Done::Later)
    }

    /// Tells legacy's tables what they do not have yet, and forgets it then: what comes in between is done again.
    async fn tell(&self) -> bool {
        if !self.waiting.is_untold.swap(false, Ordering::AcqRel) {
            return true;
        }
        let told = self.tell_all().await;
        if !told {
            self.waiting.is_untold.store(true, Ordering::Release);
        }
        told
    }

    async fn tell_all(&self) -> bool {
        loop {
            let most = i64::try_from(TOLD_AT_ONCE).unwrap_or(i64::MAX);
            let rows = match timeout(DEADLINE, store::untold(&self.ficus, most)).await {
                Ok(Ok(rows)) => rows,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "could not read what legacy is to be told");
                    return false;
                }
                Err(_) => return false,
            };
            let is_last = rows.len() < TOLD_AT_ONCE;
            let rows: Vec<_> = rows.into_iter().map(Untold::new).collect();
            let (left, bounced): (Vec<_>, Vec<_>) =
                rows.iter().partition(|row| row.reason == "unsubscribed");
            for group in [left, bounced] {
                if !self.tell_group(&group).await {
                    return false;
                }
            }
            if is_last {
                return true;
            }
        }
    }

    /// Of one kind. One that cannot be stored there is given up, and keeps back no other.
    async fn tell_group(&self, group: &[&Untold]) -> bool {
        match self.tell_legacy(group).await {
            Done::Later => return false,
            Done::Never if group.len() > 1 => {
                for alone in group {
                    if !Box::pin(self.tell_group(&[*alone])).await {
                        return false;
                    }
                }
                return true;
            }
            Done::Never | Done::Well => {}
        }
        let rows: Vec<_> = group
            .iter()
            .map(|it| {
                (
                    it.contact.tenant,
                    it.contact.address.as_str(),
                    it.reason.as_str(),
                )
            })
            .collect();
        matches!(
            within(store::note_told(&self.ficus, &rows)).await,
            Done::Well
        )
    }

    async fn tell_legacy(&self, group: &[&Untold]) -> Done {
        let contacts: Vec<&Contact> = group.iter().map(|it| &it.contact).collect();
        match group.first().map(|it| it.reason.as_str()) {
            None => Done::Well,
            Some("unsubscribed") => within(self.legacy.unsubscribe(&contacts)).await,
            Some(_) => within(self.legacy.note_bounces(&contacts)).await,
        }
    }

    fn report(&self, reported: &mut u64) {
        let full =
            locked(&self.waiting.messages).take_lost() + locked(&self.waiting.trackers).take_lost();
        let lost = self.waiting.lost.fetch_add(full, Ordering::Relaxed) + full;
        if lost > *reported {
            tracing::warn!(
                lost = lost - *reported,
                "opens and clicks are not counted: too many waited, or the database did not answer"
            );
        }
        *reported = lost;
    }
}

/// A row of `ficus.untold`.
struct Untold {
    contact: Contact,
    reason: String,
}

impl Untold {
    fn new((tenant, address, reason, detail): (i64, String, String, String)) -> Self {
        let contact = Contact {
            tenant,
            address,
            reason: detail,
        };
        Self { contact, reason }
    }
}

/// What came of a statement.
enum Done {
    Well,
    /// A row is one that the table does not take.
    Never,
    Later,
}

async fn within(statement: impl Future<Output = Result<(), sqlx::Error>>) -> Done {
    match timeout(DEADLINE, statement).await {
        Ok(Ok(())) => Done::Well,
        Ok(Err(error)) => {
            tracing::warn!(%error, "could not write what readers did");
            match is_about_a_row(&error) {
                true => Done::Never,
                false => Done::Later,
            }
        }
        Err(_) => {
            tracing::warn!(
                "the database has not answered for {DEADLINE:?}: what readers did waits"
            );
            Done::Later
        }
    }
}

/// Classes 22 and 23 of PostgreSQL's codes.
fn is_about_a_row(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|it| it.code());
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
