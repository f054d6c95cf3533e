//! Remembers whose session is whose, and asks again when an answer is due: one look-up at a time for each session.
//!
//! Its own file, because what is promised here is about time and crowds, and knows neither cookies nor SQL. The promises:
//! - an answer that is not due is given without waiting;
//! - requests that meet on one session wait for one look-up, and a client that goes away does not end it;
//! - while the database is known to be away, whoever has an answer gets it at once, for as long as a session lives;
//! - no more than [`LOOKUPS`] look-ups run at once, and none longer than [`DEADLINE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use moka::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::Unresolved;
use super::laravel::SessionId;
use crate::ids::TenantId;

/// Asks the store whose session this is. `None`: it is not alive, or nobody's.
pub type Lookup =
    Arc<dyn Fn(SessionId) -> BoxFuture<'static, anyhow::Result<Option<TenantId>>> + Send + Sync>;

/// Look-ups at once: a flood of genuine but unknown cookies may not become a flood of queries.
pub const LOOKUPS: usize = 32;

/// For one look-up, its wait for a connection included. A request waits no longer.
pub const DEADLINE: Duration = Duration::from_secs(1);

/// How long a failed look-up stands before this session is asked again.
const PAUSE: Duration = Duration::from_secs(1);

const NEVER: u64 = 0;
const NOBODY: i64 = 0;

/// What is remembered of one session. Times are milliseconds since the cache's birth, from 1.
#[derive(Default)]
pub(super) struct Session {
    tenant: AtomicI64,
    answered_at: AtomicU64,
    /// The answer, or the failure, stands until then.
    due_at: AtomicU64,
    asking: AtomicBool,
    answered: Notify,
}

pub(super) enum Recall {
    Known(Result<TenantId, Unresolved>),
    /// To be asked, then awaited.
    Due(Due),
}

/// A session whose answer is due.
pub(super) struct Due {
    id: SessionId,
    session: Arc<Session>,
}

pub(super) struct Sessions {
    cache: Cache<SessionId, Arc<Session>>,
    shared: Arc<Shared>,
    runtime: Handle,
    lookups: Arc<Semaphore>,
}

/// What a running look-up needs of the cache.
struct Shared {
    lookup: Lookup,
    ttl: Duration,
    lifetime: Duration,
    born: Instant,
    /// The last look-up failed.
    failing: AtomicBool,
}

impl Sessions {
    /// Look-ups run on `runtime`, so that a proxy thread never drives a database connection.
    pub(super) fn new(
        lookup: Lookup,
        ttl: Duration,
        lifetime: Duration,
        size: u64,
        runtime: Handle,
    ) -> Self {
        // Kept while in use: an answer older than the lifetime is not given, but its place is kept for the next.
        let cache = Cache::builder()
            .max_capacity(size)
            .time_to_idle(lifetime)
            .build();
        // An answer that may not be used any more is due, whatever the configuration says.
        let ttl = ttl.min(lifetime);
        let shared = Shared {
            lookup,
            ttl,
            lifetime,
            born: Instant::now(),
            failing: AtomicBool::new(false),
        };
        Self {
            cache,
            shared: Arc::new(shared),
            runtime,
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
        }
    }

    /// The answer, if there is one that needs no waiting.
    pub(super) fn recall(&self, id: SessionId) -> Recall {
        let Some(session) = self.cache.get(&id) else {
            let session = self.cache.entry(id).or_default().into_value();
            return Recall::Due(Due { id, session });
        };
        let now = self.shared.now();
        if now < session.due_at.load(Ordering::Acquire) {
            return Recall::Known(
                session
                    .answer(now, self.shared.lifetime)
                    .unwrap_or(Err(Unresolved::LookupFailed)),
            );
        }
        let due = Due { id, session };
        match due.session.answer(now, self.shared.lifetime) {
            // The database is away: the next look-up will tell when it is back, and nobody waits for that.
            Some(answer) if self.shared.failing.load(Ordering::Relaxed) => {
                self.ask(&due);
                Recall::Known(answer)
            }
            _ => Recall::Due(due),
        }
    }

    /// Asks, or joins those who wait already. An answer that is held stands in for one that fails to come.
    pub(super) async fn wait(&self, due: Due) -> Result<TenantId, Unresolved> {
        let answered = due.session.answered.notified();
        tokio::pin!(answered);
        // Registered before asking, so that an answer that comes at once is not missed.
        answered.as_mut().enable();
        let asked = self.ask(&due);
        if asked && due.session.asking.load(Ordering::Acquire) {
            // The look-up has the same deadline; this one holds when its runtime is too busy to keep it.
            let _ = timeout(DEADLINE, answered).await;
        }
        let failure = if asked {
            Unresolved::LookupFailed
        } else {
            Unresolved::Busy
        };
        due.session
            .answer(self.shared.now(), self.shared.lifetime)
            .unwrap_or(Err(failure))
    }

    /// True when a look-up is running, or has just ended. False: too many run already.
    fn ask(&self, due: &Due) -> bool {
        let session = &due.session;
        if session.asking.swap(true, Ordering::AcqRel) {
            return true;
        }
        // From here on it is ours to ask; whatever ends the look-up, the guard lets the next one begin.
        let guard = Asking(Arc::clone(session));
        // Between being found due and getting here, somebody else's look-up may have ended.
        if self.shared.now() < session.due_at.load(Ordering::Acquire) {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.lookups).try_acquire_owned() else {
            return false;
        };
        let (shared, id) = (Arc::clone(&self.shared), due.id);
        // Owned by the runtime, ended by DEADLINE, bounded by LOOKUPS.
        self.runtime.spawn(async move {
            shared.look_up(id, &guard.0).await;
            drop(guard);
            drop(permit);
        });
        true
    }

    #[cfg(test)]
    fn remembered(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }
}

impl Shared {
    fn now(&self) -> u64 {
        millis(self.born.elapsed()).saturating_add(1)
    }

    async fn look_up(&self, id: SessionId, session: &Session) {
        let outcome = match timeout(DEADLINE, (self.lookup)(id)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow::anyhow!(
                "no answer within {} ms",
                DEADLINE.as_millis()
            )),
        };
        let now = self.now();
        match outcome {
            Ok(tenant) => {
                session
                    .tenant
                    .store(tenant.map_or(NOBODY, |tenant| tenant.0), Ordering::Release);
                session.answered_at.store(now, Ordering::Release);
                session
                    .due_at
                    .store(now.saturating_add(millis(self.ttl)), Ordering::Release);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("sessions are looked up again");
                }
            }
            Err(error) => {
                session.due_at.store(
                    now.saturating_add(millis(PAUSE.min(self.ttl))),
                    Ordering::Release,
                );
                // Once for each time the database goes away, not once a request.
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "looking up a session failed; answers that are held stay in use"
                    );
                }
            }
        }
    }
}

impl Session {
    /// The newest answer, if a session that was alive then may still be.
    fn answer(&self, now: u64, lifetime: Duration) -> Option<Result<TenantId, Unresolved>> {
        let answered_at = self.answered_at.load(Ordering::Acquire);
        if answered_at == NEVER || now.saturating_sub(answered_at) > millis(lifetime) {
            return None;
        }
        match self.tenant.load(Ordering::Acquire) {
            NOBODY => Some(Err(Unresolved::UnknownSession)),
            id => Some(Ok(TenantId(id))),
        }
    }
}

/// Wakes the waiting when the look-up ends, also when it ends by being dropped.
struct Asking(Arc<Session>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.asking.store(false, Ordering::Release);
        self.0.answered.notify_waiters();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
