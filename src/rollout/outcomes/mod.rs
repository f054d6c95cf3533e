//! What became of the requests, counted by the proxies: by capability, side and tenant, in buckets of 10 s.
//!
//! Its own folder, and the one part of `rollout` that the proxy may import: [`tally`] is what a request touches, and it
//! takes no lock; [`collect`] joins the workers' counts and sends them, one statement a bucket.

mod collect;
mod store;
mod tally;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::flags::Side;

pub use collect::{Collector, Told};
pub use store::{Reported, Shipper, report_outcomes, ship};
pub use tally::Outcomes;

/// The length of a bucket: what a fast rollback waits for in the worst case.
pub const BUCKET: Duration = Duration::from_secs(10);

/// Upper bounds of the cells of a latency histogram, in milliseconds. A limit on a latency acts at the first of these
/// that is not below it.
pub const BOUNDS: [u32; 21] = [
    5, 10, 20, 30, 50, 75, 100, 150, 200, 250, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000,
    10_000, 30_000,
];
/// One a bound, and one for what lies above the last.
pub const CELLS: usize = BOUNDS.len() + 1;

/// A capability by number, for the process's life: a request carries no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapabilityId(u16);

/// The names behind the numbers. A name stays when a reload drops its capability, so there are a few dozen.
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl CapabilityId {
    /// Not for a request's path: it takes a lock. `None`: there have been 65,536 names.
    pub fn of(name: &str) -> Option<Self> {
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = names.iter().position(|known| known == name) {
            return u16::try_from(place).ok().map(Self);
        }
        let place = u16::try_from(names.len()).ok()?;
        names.push(name.to_owned());
        Some(Self(place))
    }

    pub fn name(self) -> String {
        let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(usize::from(self.0)).cloned().unwrap_or_default()
    }
}

/// What a request is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub capability: CapabilityId,
    /// The side that was asked first, whoever answered in the end.
    pub side: Asked,
    /// 0: no tenant.
    pub tenant: i64,
}

/// A side that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    Legacy,
    Modern,
}

impl From<Side> for Asked {
    fn from(side: Side) -> Self {
        match side {
            Side::Legacy => Self::Legacy,
            Side::Modern => Self::Modern,
        }
    }
}

impl Asked {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Legacy, Self::Modern]
            .into_iter()
            .find(|it| it.as_str() == word)
    }
}

/// How a request ended for the side that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an answer that is not the side's failure: a client's mistake is one too.
    Answered,
    /// With a 5xx, a broken, late or senseless answer, or with legacy's in its place.
    Failed,
    /// Without a connection.
    Unreachable,
    /// With its word that it leaves this to legacy.
    Missed,
}

/// Counts of one key in one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub requests: u64,
    pub errors: u64,
    pub connect_failures: u64,
    pub misses: u64,
    pub latency: [u64; CELLS],
}

impl Cell {
    pub fn count(&mut self, ending: Ending, elapsed: Duration) {
        self.requests += 1;
        match ending {
            Ending::Answered => {}
            Ending::Failed => self.errors += 1,
            Ending::Unreachable => {
                self.errors += 1;
                self.connect_failures += 1;
            }
            Ending::Missed => self.misses += 1,
        }
        let ms = elapsed.as_millis();
        let place = BOUNDS.partition_point(|bound| u128::from(*bound) < ms);
        self.latency[place] += 1;
    }

    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.connect_failures += other.connect_failures;
        self.misses += other.misses;
        for (cell, more) in self.latency.iter_mut().zip(other.latency) {
            *cell += more;
        }
    }

    /// Requests that certainly took longer than `limit`.
    pub fn slower_than(&self, limit: Duration) -> u64 {
        let ms = limit.as_millis();
        let above = BOUNDS.partition_point(|bound| u128::from(*bound) < ms) + 1;
        self.latency.iter().skip(above).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_than_a_limit_is_counted_from_the_bound_on() {
        let mut cell = Cell::default();
        for ms in [4, 499, 500, 501, 800, 40_000] {
            cell.count(Ending::Answered, Duration::from_millis(ms));
        }
        assert_eq!(cell.slower_than(Duration::from_millis(500)), 3);
        // Between two bounds only what is above the next one is certain.
        assert_eq!(cell.slower_than(Duration::from_millis(600)), 2);
        assert_eq!(cell.slower_than(Duration::from_secs(30)), 1);
        assert_eq!(cell.slower_than(Duration::from_secs(60)), 0);
    }

    #[test]
    fn a_connect_failure_is_an_error_and_a_miss_is_none() {
        let mut cell = Cell::default();
        for ending in [
            Ending::Answered,
            Ending::Failed,
            Ending::Unreachable,
            Ending::Missed,
        ] {
            cell.count(ending, Duration::ZERO);
        }
        assert_eq!((cell.requests, cell.errors), (4, 2));
        assert_eq!((cell.connect_failures, cell.misses), (1, 1));
    }

    #[test]
    fn a_capability_keeps_its_number() {
        let one = CapabilityId::of("outcomes-test").unwrap();
        assert_eq!(CapabilityId::of("outcomes-test"), Some(one));
        assert_eq!(one.name(), "outcomes-test");
    }
}
