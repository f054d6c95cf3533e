//! The writes under way in this process, which a freeze waits for.
//!
//! Its own file, because of an order that must hold: a write enters here before it looks at the snapshot, and a process
//! counts what is here after it has put a freeze in force. So a write that was let in by the snapshot before is counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::{HeaderValue, Method};
use serde::{Deserialize, Serialize};

use super::freeze::{FreezeScope, Whose};
use super::{Frozen, ServerTime};
use crate::ids::{Revision, TenantId};

/// Locks that share the writes, so that two workers seldom want the same one.
const SHARDS: usize = 16;
/// What one report lists at most: scopes with writes under way, and writes of each.
const MAX_SCOPES: usize = 100;
const MAX_LISTED: usize = 20;

/// Clones share it. Bound: one entry for each write that the proxy has let in.
#[derive(Clone)]
pub struct Writes(Arc<Shards>);

struct Shards {
    shards: [Mutex<Slots>; SHARDS],
    next: AtomicUsize,
}

#[derive(Default)]
struct Slots {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
}

struct Entry {
    since: Instant,
    method: Method,
    request_id: HeaderValue,
    capability: Option<Arc<str>>,
    whose: Whose,
}

/// One write under way. Dropped, it is over.
pub struct Write {
    shards: Arc<Shards>,
    shard: usize,
    place: usize,
}

/// What a process says of the writes that freezes cover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was in force when they were counted.
    pub revision: Revision,
    /// Freezes with writes under way, a hundred at most. One that is in force and not here has none.
    pub frozen: Vec<Covered>,
    /// There are more than a hundred.
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Covered {
    pub scope: FreezeScope,
    pub writes: u64,
    /// The oldest twenty.
    pub listed: Vec<UnderWay>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UnderWay {
    pub request_id: String,
    pub method: String,
    pub tenant: Option<TenantId>,
    pub capability: Option<String>,
    /// Since it was let in.
    pub ms: u64,
}

impl Default for Writes {
    fn default() -> Self {
        Self(Arc::new(Shards {
            shards: std::array::from_fn(|_| Mutex::default()),
            next: AtomicUsize::new(0),
        }))
    }
}

impl Writes {
    /// Enters a write. To be called before the snapshot is loaded that lets it in.
    pub fn begin(
        &self,
        method: &Method,
        request_id: &HeaderValue,
        capability: Option<&Arc<str>>,
    ) -> Write {
        let shard = self.0.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let entry = Entry {
            since: Instant::now(),
            method: method.clone(),
            request_id: request_id.clone(),
            capability: capability.cloned(),
            whose: Whose::NotKnownYet,
        };
        let mut slots = self.0.lock(shard);
        let place = match slots.free.pop() {
            Some(place) => {
                slots.entries[place] = Some(entry);
                place
            }
            None => {
                slots.entries.push(Some(entry));
                slots.entries.len() - 1
            }
        };
        drop(slots);
        Write {
            shards: Arc::clone(&self.0),
            shard,
            place,
        }
    }

    pub fn count(&self) -> usize {
        let of = |shard| {
            let slots = self.0.lock(shard);
            slots.entries.len() - slots.free.len()
        };
        (0..SHARDS).map(of).sum()
    }

    /// What is under way of what is frozen. `None`: nothing is frozen.
    pub fn report(&self, frozen: &Frozen, revision: Revision, now: ServerTime) -> Option<Report> {
        let mut covered: Vec<Covered> = frozen
            .in_force(now)
            .map(|(scope, _)| Covered {
                scope,
                writes: 0,
                listed: Vec::new(),
            })
            .collect();
        if covered.is_empty() {
            return None;
        }
        for shard in 0..SHARDS {
            let slots = self.0.lock(shard);
            for entry in slots.entries.iter().flatten() {
                let of_it =
                    |c: &&mut Covered| c.scope.covers(entry.capability.as_deref(), entry.whose);
                for covered in covered.iter_mut().filter(of_it) {
                    covered.writes += 1;
                    // The oldest are looked for below, among more than are shown.
                    if covered.listed.len() < 50 * MAX_LISTED {
                        covered.listed.push(entry.show());
                    }
                }
            }
        }
        covered.retain(|it| it.writes > 0);
        let more = covered.len() > MAX_SCOPES;
        covered.truncate(MAX_SCOPES);
        for covered in &mut covered {
            covered.listed.sort_by_key(|it| std::cmp::Reverse(it.ms));
            covered.listed.truncate(MAX_LISTED);
        }
        Some(Report {
            revision,
            frozen: covered,
            more,
        })
    }
}

impl Entry {
    fn show(&self) -> UnderWay {
        UnderWay {
            request_id: self.request_id.to_str().unwrap_or_default().to_owned(),
            method: self.method.to_string(),
            tenant: match self.whose {
                Whose::Known(tenant) => tenant,
                Whose::NotKnownYet => None,
            },
            capability: self.capability.as_deref().map(str::to_owned),
            ms: self.since.elapsed().as_millis() as u64,
        }
    }
}

impl Write {
    /// Says whose it is, as soon as that is known. `None`: nobody's that we know.
    pub fn belongs_to(&self, tenant: Option<TenantId>) {
        let mut slots = self.shards.lock(self.shard);
        if let Some(entry) = &mut slots.entries[self.place] {
            entry.whose = Whose::Known(tenant);
        }
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        let mut slots = self.shards.lock(self.shard);
        slots.entries[self.place] = None;
        slots.free.push(self.place);
    }
}

impl Shards {
    fn lock(&self, shard: usize) -> MutexGuard<'_, Slots> {
        // Nothing under this lock panics half-way through a change of it.
        self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: ServerTime = ServerTime(0);

    fn frozen(scope: FreezeScope) -> Frozen {
        let mut frozen = Frozen::default();
        frozen.set(scope, ServerTime(60_000));
        frozen
    }

    fn begin(writes: &Writes, capability: &str, tenant: i64) -> Write {
        let id = HeaderValue::from_static("a-request");
        let write = writes.begin(&Method::POST, &id, Some(&Arc::from(capability)));
        write.belongs_to(Some(TenantId(tenant)));
        write
    }

    fn counted(writes: &Writes, scope: FreezeScope) -> u64 {
        let report = writes.report(&frozen(scope), Revision(7), NOW);
        report
            .expect("a freeze")
            .frozen
            .iter()
            .map(|it| it.writes)
            .sum()
    }

    #[test]
    fn a_write_is_under_way_until_it_is_dropped() {
        let writes = Writes::default();
        let held: Vec<_> = (0..100)
            .map(|tenant| begin(&writes, "orders", tenant))
            .collect();
        assert_eq!(counted(&writes, FreezeScope::All), 100);
        assert_eq!(counted(&writes, FreezeScope::Tenant(TenantId(5))), 1);
        assert_eq!(counted(&writes, FreezeScope::Capability("users".into())), 0);
        drop(held);
        assert_eq!((counted(&writes, FreezeScope::All), writes.count()), (0, 0));
    }

    #[test]
    fn a_report_names_the_oldest_and_is_bounded() {
        let writes = Writes::default();
        let _held: Vec<_> = (0..200).map(|_| begin(&writes, "orders", 2)).collect();
        let report = writes.report(&frozen(FreezeScope::All), Revision(7), NOW);
        let report = report.expect("a freeze");
        assert_eq!((report.revision, report.more), (Revision(7), false));
        assert_eq!(report.frozen[0].writes, 200);
        assert_eq!(report.frozen[0].listed.len(), MAX_LISTED);
        assert_eq!(report.frozen[0].listed[0].tenant, Some(TenantId(2)));
    }

    #[test]
    fn without_a_freeze_there_is_nothing_to_report() {
        let writes = Writes::default();
        let _held = begin(&writes, "orders", 2);
        assert_eq!(writes.report(&Frozen::default(), Revision(1), NOW), None);
        let ended = ServerTime(60_000);
        assert_eq!(
            writes.report(&frozen(FreezeScope::All), Revision(1), ended),
            None
        );
    }
}
