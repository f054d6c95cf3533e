//! Whose message is next: a lane a tenant, each served in its turn.
//!
//! Its own folder, and pure: a tenant with a million messages must not keep another's one waiting, and a tenant whose server is
//! slow must hold nobody's place but its own.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use chrono::{DateTime, Utc};

use super::message::MessageId;
use super::queue::Due;
use crate::ids::TenantId;

/// How much of a tenant is held at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// On their way of one tenant.
    pub tenant_under_way: usize,
    /// On their way of all tenants.
    pub under_way: usize,
    /// Read of one tenant and waiting for their turn. Once half of it is used, more is read.
    pub buffer: usize,
}

/// What is to be read: of this tenant, beyond this message, so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub tenant: TenantId,
    pub after: Option<MessageId>,
    pub most: usize,
}

/// One tenant's.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Due>,
    /// Taken, and not ended yet. They are still due for the database.
    under_way: HashSet<MessageId>,
    /// The last one that was read; what comes later has a greater id, but for clocks that differ and commits that are late.
    cursor: Option<MessageId>,
    /// Somebody is reading for it.
    loading: bool,
    /// There may be more than was read.
    more: bool,
    /// Nothing is taken before.
    blocked_until: Option<DateTime<Utc>>,
    /// It stands in the row of those whose turn comes.
    in_turn: bool,
}

/// All tenants of whom something is known.
#[derive(Debug)]
pub struct Lanes {
    bounds: Bounds,
    lanes: BTreeMap<TenantId, Lane>,
    /// Who is served next: a tenant that was served stands at the end again.
    turns: VecDeque<TenantId>,
    /// Who waits for a time.
    blocked: BTreeSet<(DateTime<Utc>, TenantId)>,
    /// Whose server fails: nothing before that time, and then one at a time. Apart from the lanes, which go when nothing waits.
    paused: BTreeMap<TenantId, DateTime<Utc>>,
    under_way: usize,
}

impl Lanes {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: BTreeMap::new(),
            turns: VecDeque::new(),
            blocked: BTreeSet::new(),
            paused: BTreeMap::new(),
            under_way: 0,
        }
    }

    /// Something new was stored for this tenant: it has a greater id than what was read.
    pub fn note_new(&mut self, tenant: TenantId) {
        self.lanes.entry(tenant).or_default().more = true;
    }

    /// There is something for this tenant, and nobody says what. Once nothing waits it is read from the beginning, past what is
    /// under way: what was committed late, or by another clock, may have a smaller id.
    pub fn note(&mut self, tenant: TenantId) {
        let lane = self.lanes.entry(tenant).or_default();
        lane.more = true;
        if lane.waiting.is_empty() {
            lane.cursor = None;
        }
    }

    /// What is to be read now, each until [`Self::fill`] or [`Self::not_loaded`].
    pub fn loads(&mut self) -> Vec<Load> {
        let buffer = self.bounds.buffer;
        let hungry = self
            .lanes
            .iter_mut()
            .filter(|(_, lane)| lane.more && !lane.loading && lane.waiting.len() * 2 <= buffer);
        hungry
            .map(|(tenant, lane)| {
                lane.loading = true;
                Load {
                    tenant: *tenant,
                    after: lane.cursor,
                    // From the beginning it meets what is under way.
                    most: buffer
                        + match lane.cursor {
                            None => lane.under_way.len(),
                            Some(_) => 0,
                        },
                }
            })
            .collect()
    }

    /// What was read for it.
    pub fn fill(&mut self, load: Load, read: Vec<Due>) {
        let Some(lane) = self.lanes.get_mut(&load.tenant) else {
            return;
        };
        lane.loading = false;
        lane.more = read.len() >= load.most;
        let known: HashSet<MessageId> = lane.waiting.iter().map(|due| due.id).collect();
        for due in read {
            // What waits for its time stands apart, and says nothing of what is new.
            if matches!(due.place, super::queue::Place::Ring(_)) {
                lane.cursor = lane.cursor.max(Some(due.id));
            }
            if !known.contains(&due.id) && !lane.under_way.contains(&due.id) {
                lane.waiting.push_back(due);
            }
        }
        self.take_turn(load.tenant);
    }

    /// The reading failed. It is read again when somebody notes it, and not at once: a database that is gone fails fast.
    pub fn not_loaded(&mut self, tenant: TenantId) {
        if let Some(lane) = self.lanes.get_mut(&tenant) {
            lane.loading = false;
            lane.more = false;
        }
    }

    /// The next message, one of each tenant after the other.
    pub fn take(&mut self, now: DateTime<Utc>) -> Option<Due> {
        if self.under_way >= self.bounds.under_way {
            return None;
        }
        while let Some((until, tenant)) = self.blocked.first().copied().filter(|it| it.0 <= now) {
            self.blocked.remove(&(until, tenant));
            self.take_turn(tenant);
        }
        while let Some(tenant) = self.turns.pop_front() {
            let Some(lane) = self.lanes.get_mut(&tenant) else {
                continue;
            };
            lane.in_turn = false;
            let paused = self.paused.get(&tenant);
            if lane
                .blocked_until
                .as_ref()
                .max(paused)
                .is_some_and(|until| *until > now)
            {
                continue;
            }
            let may = lane.under_way.len() < places(self.bounds, paused);
            let Some(due) = lane.waiting.pop_front_if(|_| may) else {
                continue;
            };
            lane.under_way.insert(due.id);
            self.under_way += 1;
            self.take_turn(tenant);
            return Some(due);
        }
        None
    }

    /// Stands at the end of the row, if it has something and is not there yet.
    fn take_turn(&mut self, tenant: TenantId) {
        let places = places(self.bounds, self.paused.get(&tenant));
        if let Some(lane) = self.lanes.get_mut(&tenant)
            && !lane.in_turn
            && !lane.waiting.is_empty()
            && lane.under_way.len() < places
        {
            lane.in_turn = true;
            self.turns.push_back(tenant);
        }
    }

    /// A message that was taken has ended, or waits for its time.
    pub fn done(&mut self, tenant: TenantId, id: MessageId) {
        let Some(lane) = self.lanes.get_mut(&tenant) else {
            return;
        };
        self.under_way -= usize::from(lane.under_way.remove(&id));
        if lane.under_way.is_empty() && lane.waiting.is_empty() && !lane.more && !lane.loading {
            self.lanes.remove(&tenant);
        }
        self.take_turn(tenant);
    }

    /// Takes nothing of it before `until`.
    pub fn block(&mut self, tenant: TenantId, until: DateTime<Utc>) {
        if let Some(lane) = self.lanes.get_mut(&tenant) {
            lane.blocked_until = lane.blocked_until.max(Some(until));
            self.blocked.insert((until, tenant));
        }
    }

    /// Takes nothing of it before `until`, and then one at a time, until [`Self::resume`]: also of what comes meanwhile.
    pub fn pause(&mut self, tenant: TenantId, until: DateTime<Utc>) {
        self.paused.insert(tenant, until);
        self.blocked.insert((until, tenant));
    }

    /// Takes as much of it again as of anybody.
    pub fn resume(&mut self, tenant: TenantId) {
        self.paused.remove(&tenant);
        self.take_turn(tenant);
    }

    /// Forgets what waits of the tenants that `keep` does not want: their shards are another engine's.
    pub fn retain(&mut self, keep: impl Fn(TenantId) -> bool) {
        for (tenant, lane) in &mut self.lanes {
            if !keep(*tenant) {
                lane.waiting.clear();
                lane.more = false;
            }
        }
        self.paused.retain(|tenant, _| keep(*tenant));
        self.lanes.retain(|_, lane| {
            !lane.under_way.is_empty() || !lane.waiting.is_empty() || lane.more || lane.loading
        });
    }

    /// On their way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }
}

/// How many of one tenant may be on their way.
fn places(bounds: Bounds, paused: Option<&DateTime<Utc>>) -> usize {
    match paused {
        Some(_) => bounds.tenant_under_way.min(1),
        None => bounds.tenant_under_way,
    }
}

#[cfg(test)]
mod tests;
