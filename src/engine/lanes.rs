//! Whose message is next: a lane a tenant, each served in its turn.
//!
//! Its own file, and pure: a tenant with a million messages must not keep another's one waiting, and a tenant whose server is
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
mod tests {
    use super::*;
    use crate::engine::message::Channel;
    use crate::engine::queue::Place;

    const BOUNDS: Bounds = Bounds {
        tenant_under_way: 2,
        under_way: 5,
        buffer: 4,
    };

    fn due(tenant: i64) -> Due {
        Due {
            id: MessageId::new(),
            tenant: TenantId(tenant),
            place: Place::Ring(0),
            counted: 0,
            begun: 0,
            in_doubt: false,
            channel: Channel::Email,
            campaign: None,
            recipient: String::new(),
            body: String::new(),
            content: None,
        }
    }

    /// Notes the tenant and reads so many for it.
    fn read(lanes: &mut Lanes, tenant: i64, count: usize) -> Vec<MessageId> {
        lanes.note(TenantId(tenant));
        let load = lanes
            .loads()
            .into_iter()
            .find(|it| it.tenant == TenantId(tenant))
            .expect("it is hungry");
        let read: Vec<Due> = (0..count).map(|_| due(tenant)).collect();
        let ids = read.iter().map(|it| it.id).collect();
        lanes.fill(load, read);
        ids
    }

    fn take(lanes: &mut Lanes) -> Option<i64> {
        lanes.take(Utc::now()).map(|due| due.tenant.0)
    }

    #[test]
    fn tenants_are_served_in_turn_and_each_within_its_bound() {
        let mut lanes = Lanes::new(BOUNDS);
        read(&mut lanes, 1, 4);
        read(&mut lanes, 2, 1);
        read(&mut lanes, 3, 4);
        let taken: Vec<i64> = std::iter::from_fn(|| take(&mut lanes)).collect();
        assert_eq!(taken, [1, 2, 3, 1, 3]);
    }

    #[test]
    fn a_place_that_is_free_again_is_given_to_whose_turn_it_is() {
        let mut lanes = Lanes::new(BOUNDS);
        let first = read(&mut lanes, 1, 4);
        while take(&mut lanes).is_some() {}
        read(&mut lanes, 2, 1);
        assert_eq!(take(&mut lanes), Some(2));
        assert_eq!(take(&mut lanes), None, "one has its two places taken");
        lanes.done(TenantId(1), first[0]);
        assert_eq!(take(&mut lanes), Some(1));
    }

    #[test]
    fn what_is_read_twice_is_taken_once() {
        let mut lanes = Lanes::new(BOUNDS);
        lanes.note(TenantId(1));
        let load = lanes.loads()[0];
        let both = vec![due(1), due(1)];
        lanes.fill(load, both.clone());
        assert_eq!(take(&mut lanes), Some(1));
        // From the beginning, since somebody said that there is more: one is under way, one waits, one is new.
        lanes.note(TenantId(1));
        let load = lanes.loads()[0];
        lanes.fill(load, [both, vec![due(1)]].concat());
        assert_eq!(take(&mut lanes), Some(1));
        assert_eq!(take(&mut lanes), None, "two under way");
        assert_eq!(lanes.under_way(), 2);
    }

    #[test]
    fn a_full_answer_means_that_there_is_more_beyond_its_last_message() {
        let mut lanes = Lanes::new(BOUNDS);
        let ids = read(&mut lanes, 1, 4);
        assert_eq!(lanes.loads(), [], "the buffer is full");
        take(&mut lanes);
        take(&mut lanes);
        let load = lanes.loads();
        assert_eq!(load[0].after, ids.last().copied());
        assert_eq!(lanes.loads(), [], "it is being read");
        lanes.fill(load[0], Vec::new());
        assert_eq!(lanes.loads(), [], "that was all");
    }

    #[test]
    fn a_reading_that_failed_is_done_again_when_somebody_notes_it() {
        let mut lanes = Lanes::new(BOUNDS);
        lanes.note(TenantId(1));
        assert_eq!(lanes.loads().len(), 1);
        lanes.not_loaded(TenantId(1));
        assert_eq!(lanes.loads(), [], "not at once");
        lanes.note(TenantId(1));
        assert_eq!(lanes.loads().len(), 1);
    }

    #[test]
    fn a_blocked_tenant_waits_and_the_others_do_not() {
        let mut lanes = Lanes::new(BOUNDS);
        read(&mut lanes, 1, 1);
        read(&mut lanes, 2, 1);
        let now = Utc::now();
        let later = now + chrono::TimeDelta::seconds(5);
        lanes.block(TenantId(1), later);
        assert_eq!(lanes.take(now).map(|it| it.tenant.0), Some(2));
        assert_eq!(lanes.take(now).map(|it| it.tenant.0), None);
        assert_eq!(lanes.take(later).map(|it| it.tenant.0), Some(1));
    }

    #[test]
    fn a_paused_tenant_waits_then_goes_one_by_one_and_resumed_as_anybody() {
        let mut lanes = Lanes::new(BOUNDS);
        let ids = read(&mut lanes, 1, 4);
        read(&mut lanes, 2, 1);
        let now = Utc::now();
        let later = now + chrono::TimeDelta::seconds(5);
        lanes.pause(TenantId(1), later);
        let taken: Vec<i64> =
            std::iter::from_fn(|| lanes.take(now).map(|it| it.tenant.0)).collect();
        assert_eq!(taken, [2], "the other one is not touched");
        let mut probes = || lanes.take(later).map(|it| it.id);
        assert_eq!((probes(), probes()), (Some(ids[0]), None));
        lanes.done(TenantId(1), ids[0]);
        let mut probes = || lanes.take(later).map(|it| it.id);
        assert_eq!((probes(), probes()), (Some(ids[1]), None));
        lanes.resume(TenantId(1));
        assert_eq!(lanes.take(later).map(|it| it.id), Some(ids[2]));
    }

    #[test]
    fn a_pause_outlasts_what_waited_when_it_began() {
        let mut lanes = Lanes::new(BOUNDS);
        let ids = read(&mut lanes, 1, 1);
        let now = Utc::now();
        let later = now + chrono::TimeDelta::seconds(5);
        lanes.take(now);
        lanes.pause(TenantId(1), later);
        lanes.done(TenantId(1), ids[0]);
        read(&mut lanes, 1, 2);
        assert!(lanes.take(now).is_none());
        assert!(lanes.take(later).is_some());
        assert!(lanes.take(later).is_none(), "one at a time");
    }

    #[test]
    fn what_waits_of_a_lost_shard_is_forgotten_and_what_is_under_way_is_still_counted() {
        let mut lanes = Lanes::new(BOUNDS);
        let ids = read(&mut lanes, 1, 3);
        take(&mut lanes);
        lanes.retain(|_| false);
        assert_eq!(take(&mut lanes), None);
        assert_eq!(lanes.under_way(), 1);
        lanes.done(TenantId(1), ids[0]);
        assert_eq!(lanes.under_way(), 0);
    }
}
