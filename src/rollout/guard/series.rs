//! Counts over time: what one scope (a tenant, a capability) did in the last half hour, bucket by bucket.
//!
//! Its own file, and pure: every window that the judge looks at is cut here.

use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};
use std::time::Duration;

use super::limits::{Limits, MOST_HOLD, MOST_WINDOW, Misses};
use crate::rollout::outcomes::{BUCKET, Cell};

/// A bucket's number: tens of seconds since 1970.
pub type Bin = i64;

/// How many buckets a duration is, at least one.
pub fn bins(duration: Duration) -> i64 {
    let count = duration.as_secs().div_ceil(BUCKET.as_secs());
    i64::try_from(count).unwrap_or(i64::MAX).max(1)
}

/// As far back as anything is looked at.
pub fn horizon() -> i64 {
    bins(MOST_WINDOW) + bins(MOST_HOLD)
}

/// What of a bucket can break a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub errors: u64,
    pub connect_failures: u64,
    /// Above the limits of p95 and of p99.
    pub slow: [u64; 2],
}

impl Counts {
    pub fn of(cell: &Cell, limits: &Limits) -> Self {
        let missed = match limits.misses {
            Misses::Answers => 0,
            Misses::Errors => cell.misses,
        };
        let slower = |limit: Option<Duration>| limit.map_or(0, |limit| cell.slower_than(limit));
        Self {
            requests: cell.requests,
            errors: cell.errors + missed,
            connect_failures: cell.connect_failures,
            slow: [slower(limits.p95), slower(limits.p99)],
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.connect_failures += other.connect_failures;
        self.slow[0] += other.slow[0];
        self.slow[1] += other.slow[1];
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_sub(other.requests);
        self.errors = self.errors.saturating_sub(other.errors);
        self.connect_failures = self.connect_failures.saturating_sub(other.connect_failures);
        self.slow[0] = self.slow[0].saturating_sub(other.slow[0]);
        self.slow[1] = self.slow[1].saturating_sub(other.slow[1]);
    }
}

/// Buckets in order; those without requests are not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series(VecDeque<(Bin, Counts)>);

/// A piece of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The first bucket, and the one after the last.
    pub from: Bin,
    pub until: Bin,
    pub counts: Counts,
}

impl Series {
    pub fn add(&mut self, bin: Bin, counts: Counts) {
        let place = self.0.partition_point(|(at, _)| *at < bin);
        match self.0.get_mut(place) {
            Some((at, there)) if *at == bin => *there += counts,
            _ => self.0.insert(place, (bin, counts)),
        }
    }

    /// Puts these counts in place of what is there.
    pub fn set(&mut self, bin: Bin, counts: Counts) {
        let place = self.0.partition_point(|(at, _)| *at < bin);
        match self.0.get_mut(place) {
            Some((at, there)) if *at == bin => *there = counts,
            _ => self.0.insert(place, (bin, counts)),
        }
    }

    pub fn subtract(&mut self, other: &Self) {
        for (bin, counts) in &other.0 {
            let place = self.0.partition_point(|(at, _)| at < bin);
            if let Some((_, there)) = self.0.get_mut(place).filter(|(at, _)| at == bin) {
                *there -= *counts;
            }
        }
        self.0.retain(|(_, counts)| counts.requests > 0);
    }

    pub fn forget_before(&mut self, bin: Bin) {
        while self.0.front().is_some_and(|(at, _)| *at < bin) {
            self.0.pop_front();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `shortest` time before `until`, extended backwards until it has `least` requests, and never past `since`.
    pub fn window(&self, until: Bin, shortest: Duration, least: u64, since: Bin) -> Window {
        let must = (until - bins(shortest)).max(since);
        let may = (until - bins(MOST_WINDOW)).max(since);
        let mut window = Window {
            from: must,
            until,
            counts: Counts::default(),
        };
        for (bin, counts) in self.0.iter().rev().filter(|(bin, _)| *bin < until) {
            if *bin < may || *bin < must && window.counts.requests >= least {
                break;
            }
            window.from = window.from.min(*bin);
            window.counts += *counts;
        }
        window
    }

    /// What was counted in the buckets from `from` until before `until`.
    pub fn between(&self, from: Bin, until: Bin) -> Counts {
        let first = self.0.partition_point(|(bin, _)| *bin < from);
        let mut sum = Counts::default();
        for (_, counts) in self
            .0
            .iter()
            .skip(first)
            .take_while(|(bin, _)| *bin < until)
        {
            sum += *counts;
        }
        sum
    }

    /// The newest requests without a success among them, by whole buckets: one in which anything succeeded ends it.
    pub fn failing_run(&self, until: Bin, since: Bin) -> Window {
        let may = (until - bins(MOST_WINDOW)).max(since);
        let mut run = Window {
            from: until,
            until,
            counts: Counts::default(),
        };
        for (bin, counts) in self.0.iter().rev().filter(|(bin, _)| *bin < until) {
            if *bin < may || counts.errors < counts.requests {
                break;
            }
            run.from = *bin;
            run.counts += *counts;
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, errors: u64) -> Counts {
        Counts {
            requests,
            errors,
            ..Counts::default()
        }
    }

    fn series(buckets: &[(Bin, u64, u64)]) -> Series {
        let mut series = Series::default();
        for (bin, requests, errors) in buckets {
            series.add(*bin, counts(*requests, *errors));
        }
        series
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_window_is_extended_until_it_has_enough_and_no_further() {
        let series = series(&[(80, 50, 0), (90, 100, 1), (96, 60, 2), (99, 60, 0)]);
        let window = series.window(100, MINUTE, 200, 0);
        assert_eq!((window.from, window.counts.requests), (90, 220));
        // The minute alone has enough.
        assert_eq!(series.window(100, MINUTE, 100, 0).from, 94);
        // Nothing older than fifteen minutes, and nothing from before `since`.
        assert_eq!(series.window(185, MINUTE, 200, 0).counts.requests, 120);
        assert_eq!(series.window(100, MINUTE, 200, 95).counts.requests, 120);
    }

    #[test]
    fn a_run_of_failures_ends_at_a_bucket_with_a_success() {
        let series = series(&[(1, 9, 9), (3, 2, 1), (5, 1, 1), (9, 3, 3)]);
        let run = series.failing_run(10, 0);
        assert_eq!((run.from, run.counts.requests), (5, 4));
        assert_eq!(series.failing_run(4, 0).counts.requests, 0);
    }

    #[test]
    fn buckets_that_come_late_take_their_place() {
        let mut late = series(&[(5, 1, 0), (2, 1, 1), (5, 1, 1)]);
        assert_eq!(late, series(&[(2, 1, 1), (5, 2, 1)]));
        late.subtract(&series(&[(2, 1, 1)]));
        late.forget_before(5);
        assert_eq!(late.between(0, 10), counts(2, 1));
    }
}
