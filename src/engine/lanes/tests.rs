//! Turns, bounds and pauses, on a clock that only the tests move.
//!
//! Its own file, because each is a small story of several tenants.

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
    let taken: Vec<i64> = std::iter::from_fn(|| lanes.take(now).map(|it| it.tenant.0)).collect();
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
