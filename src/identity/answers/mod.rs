//! Remembers what a store said of a proof, and asks again when an answer is due: one look-up at a time for each key.
//!
//! Its own file, because what is promised here is about time and crowds, and knows neither cookies nor SQL. The promises:
//! - an answer that is not due is given without waiting;
//! - requests that meet on one key wait for one look-up, and a client that goes away does not end it;
//! - while the store is known to be away, whoever has an answer gets it at once, for as long as the proof lives;
//! - no more than [`LOOKUPS`] look-ups run at once, and none longer than [`DEADLINE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use moka::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::{Key, Unresolved, User};
use crate::ids::TenantId;
use crate::secret::Secret;

/// Whose a proof is. A user whom no tenant owns is still somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub tenant: Option<TenantId>,
    pub user: Option<Arc<User>>,
}

/// What a store is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub key: Key,
    /// The token itself, where the store has it as it is and its digest would find nothing.
    pub text: Option<Secret>,
}

/// Asks the store whose proof this is. `None`: it does not hold, or is nobody's.
pub type Lookup =
    Arc<dyn Fn(Question) -> BoxFuture<'static, anyhow::Result<Option<Owner>>> + Send + Sync>;

/// Look-ups at once: a flood of proofs that nobody has seen may not become a flood of queries.
pub const LOOKUPS: usize = 32;

/// For one look-up, its wait for a connection included. A request waits no longer.
pub const DEADLINE: Duration = Duration::from_secs(1);

/// How long a failed look-up stands before this key is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// What is remembered of one key. Times are milliseconds since the cache's birth, from 1.
#[derive(Default)]
pub(super) struct Entry {
    answer: ArcSwapOption<Answer>,
    /// The answer, or the failure, stands until then.
    due_at: AtomicU64,
    asking: AtomicBool,
    answered: Notify,
}

/// One thing, so that nobody reads the tenant of one answer and the user of the next.
struct Answer {
    owner: Option<Owner>,
    at: u64,
}

pub(super) enum Recall {
    Known(Result<Owner, Unresolved>),
    /// To be asked, then awaited.
    Due(Due),
}

/// A key whose answer is due.
pub(super) struct Due {
    question: Question,
    entry: Arc<Entry>,
}

/// The answers about one kind of proof.
pub(super) struct Answers {
    cache: Cache<Key, Arc<Entry>>,
    shared: Arc<Shared>,
    runtime: Handle,
    lookups: Arc<Semaphore>,
}

/// How long and how much is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// An answer is used for so long before it is asked again.
    pub ttl: Duration,
    /// And for so long at most, when asking fails.
    pub lifetime: Duration,
    /// Keys at most.
    pub size: u64,
    /// What a proof is called that the store does not know.
    pub unknown: Unresolved,
}

/// What a running look-up needs of the cache.
struct Shared {
    lookup: Lookup,
    terms: Terms,
    born: Instant,
    /// The last look-up failed.
    failing: AtomicBool,
}

impl Answers {
    /// Look-ups run on `runtime`, so that a proxy thread never drives a store's connection.
    pub(super) fn new(lookup: Lookup, terms: Terms, runtime: Handle) -> Self {
        // Kept while in use: an answer older than the lifetime is not given, but its place is kept for the next.
        let cache = Cache::builder()
            .max_capacity(terms.size)
            .time_to_idle(terms.lifetime)
            .build();
        let shared = Shared {
            lookup,
            terms: Terms {
                // An answer that may not be used any more is due, whatever the configuration says.
                ttl: terms.ttl.min(terms.lifetime),
                ..terms
            },
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

    /// The answer, if there is one that needs no waiting. `text` is what the store has to be asked by, if not by the key.
    pub(super) fn recall(&self, key: Key, text: Option<&str>) -> Recall {
        let due = |entry| Due {
            question: Question {
                key,
                text: text.map(Secret::new),
            },
            entry,
        };
        let Some(entry) = self.cache.get(&key) else {
            return Recall::Due(due(self.cache.entry(key).or_default().into_value()));
        };
        let now = self.shared.now();
        if now < entry.due_at.load(Ordering::Acquire) {
            let answer = self.shared.answer(&entry, now);
            return Recall::Known(answer.unwrap_or(Err(Unresolved::LookupFailed)));
        }
        let due = due(entry);
        match self.shared.answer(&due.entry, now) {
            // The store is away: the next look-up will tell when it is back, and nobody waits for that.
            Some(answer) if self.shared.failing.load(Ordering::Relaxed) => {
                self.ask(&due);
                Recall::Known(answer)
            }
            _ => Recall::Due(due),
        }
    }

    /// Asks, or joins those who wait already. An answer that is held stands in for one that fails to come.
    pub(super) async fn wait(&self, due: Due) -> Result<Owner, Unresolved> {
        let answered = due.entry.answered.notified();
        tokio::pin!(answered);
        // Registered before asking, so that an answer that comes at once is not missed.
        answered.as_mut().enable();
        let asked = self.ask(&due);
        if asked && due.entry.asking.load(Ordering::Acquire) {
            // The look-up has the same deadline; this one holds when its runtime is too busy to keep it.
            let _ = timeout(DEADLINE, answered).await;
        }
        let failure = if asked {
            Unresolved::LookupFailed
        } else {
            Unresolved::Busy
        };
        self.shared
            .answer(&due.entry, self.shared.now())
            .unwrap_or(Err(failure))
    }

    /// True when a look-up is running, or has just ended. False: too many run already.
    fn ask(&self, due: &Due) -> bool {
        let entry = &due.entry;
        if entry.asking.swap(true, Ordering::AcqRel) {
            return true;
        }
        // From here on it is ours to ask; whatever ends the look-up, the guard lets the next one begin.
        let guard = Asking(Arc::clone(entry));
        // Between being found due and getting here, somebody else's look-up may have ended.
        if self.shared.now() < entry.due_at.load(Ordering::Acquire) {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.lookups).try_acquire_owned() else {
            return false;
        };
        let (shared, question) = (Arc::clone(&self.shared), due.question.clone());
        // Owned by the runtime, ended by DEADLINE, bounded by LOOKUPS.
        self.runtime.spawn(async move {
            shared.look_up(question, &guard.0).await;
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

    /// The newest answer, if a proof that held then may still hold.
    fn answer(&self, entry: &Entry, now: u64) -> Option<Result<Owner, Unresolved>> {
        let answer = entry.answer.load();
        let answer = answer.as_ref()?;
        if now.saturating_sub(answer.at) > millis(self.terms.lifetime) {
            return None;
        }
        Some(answer.owner.clone().ok_or(self.terms.unknown))
    }

    async fn look_up(&self, question: Question, entry: &Entry) {
        let outcome = match timeout(DEADLINE, (self.lookup)(question)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow::anyhow!(
                "no answer within {} ms",
                DEADLINE.as_millis()
            )),
        };
        let at = self.now();
        match outcome {
            Ok(owner) => {
                entry.answer.store(Some(Arc::new(Answer { owner, at })));
                entry
                    .due_at
                    .store(at.saturating_add(millis(self.terms.ttl)), Ordering::Release);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("proofs are looked up again");
                }
            }
            Err(error) => {
                entry.due_at.store(
                    at.saturating_add(millis(PAUSE.min(self.terms.ttl))),
                    Ordering::Release,
                );
                // Once for each time the store goes away, not once a request.
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "looking up whose a proof is failed; answers that are held stay in use"
                    );
                }
            }
        }
    }
}

/// Wakes the waiting when the look-up ends, also when it ends by being dropped.
struct Asking(Arc<Entry>);

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
