//! The counters of a process: a table of fixed size, so that no flood of keys makes it grow.
//!
//! Its own file, because what is forgotten when the table is full is what an attacker would aim at. A counter that is
//! full again is forgotten first, which loses nothing. Where every counter of a set is in use, the one that has spent the
//! least of its burst goes: who wants to be rid of an exhausted counter has to exhaust sixteen others of the same set
//! first, and which keys share a set is known to nobody, since keys are hashed with a secret of the process.

use std::sync::{Mutex, PoisonError};

use super::gcra::{Rate, Taken};

/// Counters a set: the more, the later a table that fills up forgets one in use, and the longer a search.
const WAYS: usize = 16;

/// Each set has a lock of its own, held for a look at two cache lines; nobody waits or allocates under it.
pub struct Table {
    sets: Box<[Mutex<Set>]>,
}

#[derive(Clone)]
struct Set {
    keys: [u64; WAYS],
    /// When each is full again; zero was never used, which is the same as long full.
    full_at: [u64; WAYS],
    /// What each holds when full, in nanoseconds, to compare rates of different length.
    depth: [u64; WAYS],
}

const EMPTY: Set = Set {
    keys: [0; WAYS],
    full_at: [0; WAYS],
    depth: [1; WAYS],
};

impl Table {
    /// At least room for `counters`, 24 bytes each.
    pub fn new(counters: usize) -> Self {
        let sets = counters.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Mutex::new(EMPTY)).collect(),
        }
    }

    /// Takes one request of `key`, a keyed hash. True beside it: a counter in use was forgotten for this one.
    pub fn take(&self, key: u64, rate: Rate, now: u64) -> (Taken, bool) {
        let mut set = self.set(key);
        let (place, forgot) = set.place(key, now);
        let (taken, full_at) = rate.take(set.full_at[place], now);
        set.write(place, key, rate, full_at);
        (taken, forgot)
    }

    /// Puts a counter where another place says it is. It only ever moves on: an answer that comes late takes nothing back.
    pub fn follow(&self, key: u64, rate: Rate, full_at: u64, now: u64) {
        let mut set = self.set(key);
        let (place, _) = set.place(key, now);
        let full_at = full_at.max(set.full_at[place]);
        set.write(place, key, rate, full_at);
    }

    fn set(&self, key: u64) -> std::sync::MutexGuard<'_, Set> {
        // The upper bits choose the set, scaled instead of divided.
        let place = (u128::from(key) * self.sets.len() as u128) >> 64;
        let set = &self.sets[place as usize];
        // Nothing under the lock can panic, and half a change would only be a wrong count.
        set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    /// The place of `key`, which is made if it has none.
    fn place(&mut self, key: u64, now: u64) -> (usize, bool) {
        if let Some(own) = self.keys.iter().position(|k| *k == key) {
            return (own, false);
        }
        let spent = |place: &usize| {
            let held = self.full_at[*place].saturating_sub(now);
            (u128::from(held) << 32) / u128::from(self.depth[*place].max(1))
        };
        let least = (0..WAYS).min_by_key(spent).unwrap_or(0);
        let forgot = self.full_at[least] > now;
        self.full_at[least] = 0;
        (least, forgot)
    }

    fn write(&mut self, place: usize, key: u64, rate: Rate, full_at: u64) {
        self.keys[place] = key;
        self.full_at[place] = full_at;
        self.depth[place] = rate.depth();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn hourly(limit: u64) -> Rate {
        Rate::new(limit, Duration::from_secs(3600), limit)
    }

    /// Keys as a keyed hash gives them: spread over all bits.
    fn spread(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(31)
            .wrapping_mul(0xd6e8_feb8_6659_fd93)
    }

    #[test]
    fn an_exhausted_counter_outlives_a_flood_of_others() {
        let table = Table::new(1024);
        let (mine, rate) = (spread(7), hourly(10));
        for _ in 0..10 {
            assert!(table.take(mine, rate, SECOND).0.allowed);
        }
        for n in 0..200_000 {
            table.take(spread(1_000 + n), rate, SECOND);
        }
        assert!(!table.take(mine, rate, SECOND).0.allowed);
    }

    #[test]
    fn a_flood_on_a_slow_rate_does_not_wipe_a_fast_one() {
        let table = Table::new(64);
        let (mine, fast) = (spread(7), Rate::new(5, Duration::from_secs(1), 5));
        for _ in 0..5 {
            table.take(mine, fast, SECOND);
        }
        for n in 0..50_000 {
            table.take(spread(1_000 + n), hourly(100), SECOND);
        }
        assert!(!table.take(mine, fast, SECOND).0.allowed);
    }

    #[test]
    fn a_counter_that_is_full_again_makes_room_unnoticed() {
        let table = Table::new(WAYS);
        let rate = Rate::new(1, Duration::from_secs(1), 1);
        let mut now = SECOND;
        for n in 0..1000 {
            let (taken, forgot) = table.take(spread(n), rate, now);
            assert!(taken.allowed && !forgot);
            now += SECOND / 10;
        }
    }

    #[test]
    fn forgetting_one_in_use_is_told() {
        let table = Table::new(WAYS);
        for n in 0..WAYS as u64 {
            assert!(!table.take(spread(n), hourly(10), SECOND).1);
        }
        assert!(table.take(spread(99), hourly(10), SECOND).1);
    }

    #[test]
    fn a_counter_follows_and_never_goes_back() {
        let (table, rate) = (Table::new(64), hourly(2));
        let step = rate.step();
        table.follow(7, rate, SECOND + 2 * step, SECOND);
        assert!(!table.take(7, rate, SECOND).0.allowed);
        table.follow(7, rate, SECOND, SECOND);
        assert!(!table.take(7, rate, SECOND).0.allowed);
    }

    proptest! {
        #[test]
        fn with_room_for_all_it_counts_as_a_map_of_counters(
            asks in prop::collection::vec((0_u64..8, 0_u64..SECOND), 1..200),
        ) {
            let (table, rate) = (Table::new(WAYS), Rate::new(3, Duration::from_secs(1), 4));
            let (mut model, mut now) = (HashMap::new(), SECOND);
            for (n, wait) in asks {
                now += wait;
                let full_at = model.entry(n).or_insert(0);
                let expected;
                (expected, *full_at) = rate.take(*full_at, now);
                prop_assert_eq!(table.take(spread(n), rate, now), (expected, false));
            }
        }
    }

    #[test]
    fn many_threads_take_exactly_what_there_is() {
        let (table, rate) = (Table::new(64), hourly(1000));
        let allowed: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let takes = (0..500).filter(|_| table.take(7, rate, SECOND).0.allowed);
                        takes.count()
                    })
                })
                .collect();
            takers.into_iter().map(|t| t.join().expect("counts")).sum()
        });
        assert_eq!(allowed, 1000);
    }
}
