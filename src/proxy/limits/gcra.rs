//! Whether one more request is within a rate: the generic cell rate algorithm (ITU-T I.371, as virtual scheduling).
//!
//! Pure, and its own file, because one number is all that is kept of a counter: the time at which it will be full
//! again. Idle, it is in the past, and a counter that is not kept at all says the same.

use std::time::Duration;

/// A rate, with what it lets through at once. Times are nanoseconds on any clock that does not run backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// What one request costs: the time in which the rate earns one.
    step: u64,
    /// What a full counter holds: `step` for each request that may come at once.
    depth: u64,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub allowed: bool,
    /// Requests that would be allowed right after this one.
    pub left: u64,
    /// Until one more than `left` is.
    pub next: Duration,
}

impl Rate {
    /// `limit` requests each `period`, `burst` of them at once. Both from 1. A step is rounded up to a whole microsecond,
    /// which every place that counts can hold, so that never more than `limit` are earned in a period. What does not fit a clock of 64 bits is cut off: some 500 years.
    pub fn new(limit: u64, period: Duration, burst: u64) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let step = period
            .div_ceil(limit.max(1))
            .div_ceil(1000)
            .max(1)
            .saturating_mul(1000);
        Self {
            step,
            depth: step.saturating_mul(burst.max(1)),
        }
    }

    /// In nanoseconds.
    pub fn step(self) -> u64 {
        self.step
    }

    /// In nanoseconds.
    pub fn depth(self) -> u64 {
        self.depth
    }

    /// Takes one request at `now` from the counter that is full at `full_at`. The counter's new time is the second.
    pub fn take(self, full_at: u64, now: u64) -> (Taken, u64) {
        let held = full_at.saturating_sub(now);
        let after = held.saturating_add(self.step);
        match after <= self.depth {
            true => (self.taken(true, after), now.saturating_add(after)),
            false => (self.taken(false, held), full_at),
        }
    }

    /// What a counter says that will be full in `held` nanoseconds.
    pub fn taken(self, allowed: bool, held: u64) -> Taken {
        let free = self.depth.saturating_sub(held);
        Taken {
            allowed,
            left: free / self.step,
            next: Duration::from_nanos(self.step - free % self.step),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_let_through_and_then_one_each_step() {
        let rate = Rate::new(2, Duration::from_secs(1), 3);
        let (mut full_at, now) = (0, 100 * SECOND);
        for left in [2, 1, 0] {
            let taken;
            (taken, full_at) = rate.take(full_at, now);
            assert_eq!((taken.allowed, taken.left), (true, left));
        }
        let (refused, same) = rate.take(full_at, now);
        assert_eq!((refused.allowed, refused.left, same), (false, 0, full_at));
        assert_eq!(refused.next, Duration::from_millis(500));
        assert!(!rate.take(full_at, now + SECOND / 2 - 1).0.allowed);
        assert!(rate.take(full_at, now + SECOND / 2).0.allowed);
    }

    #[test]
    fn a_refused_request_takes_nothing() {
        let rate = Rate::new(1, Duration::from_secs(3600), 1);
        let (_, full_at) = rate.take(0, SECOND);
        for _ in 0..1000 {
            assert_eq!(rate.take(full_at, SECOND).1, full_at);
        }
        assert!(rate.take(full_at, SECOND + 3600 * SECOND).0.allowed);
    }

    #[test]
    fn no_rate_overflows() {
        let slowest = Rate::new(1, Duration::MAX, u64::MAX);
        let (taken, full_at) = slowest.take(u64::MAX, u64::MAX);
        assert!(taken.allowed && full_at == u64::MAX);
        let fastest = Rate::new(u64::MAX, Duration::from_nanos(1), 1);
        assert!(fastest.take(0, 1).0.allowed);
    }

    /// A bucket of tokens, as everybody draws it: full at first, filled by `limit` a period, one taken for each request.
    /// Counted in shares of a token, so that nothing is rounded.
    struct Bucket {
        shares: u128,
        at: u64,
    }

    proptest! {
        #[test]
        fn it_answers_as_a_bucket_of_tokens_does(
            // Periods that the limit divides: rounding is the other property's.
            limit in prop::sample::select(vec![1_u64, 2, 5, 1000, 3600]),
            seconds in prop::sample::select(vec![1_u64, 60, 3600, 86_400]),
            burst in 1_u64..20,
            waits in prop::collection::vec(0_u64..200_000_000_000, 1..60),
        ) {
            let period = seconds * SECOND;
            prop_assume!((period / 1000).is_multiple_of(limit));
            let rate = Rate::new(limit, Duration::from_secs(seconds), burst);
            let (token, capacity) = (u128::from(period), u128::from(burst) * u128::from(period));
            let mut bucket = Bucket { shares: capacity, at: SECOND };
            let (mut now, mut full_at) = (SECOND, 0);
            for wait in waits {
                now += wait;
                bucket.shares = capacity.min(bucket.shares + u128::from(now - bucket.at) * u128::from(limit));
                bucket.at = now;
                let expected = bucket.shares >= token;
                if expected {
                    bucket.shares -= token;
                }
                let taken;
                (taken, full_at) = rate.take(full_at, now);
                prop_assert_eq!(taken.allowed, expected);
                prop_assert_eq!(u128::from(taken.left), bucket.shares / token);
                // One more is there when it says so, and not before.
                let next = taken.next.as_nanos();
                let then = capacity.min(bucket.shares + next * u128::from(limit));
                let before = bucket.shares + (next - 1) * u128::from(limit);
                prop_assert!(then / token > bucket.shares / token || then == capacity);
                prop_assert!(before / token == bucket.shares / token);
            }
        }

        #[test]
        fn no_window_of_a_period_lets_more_through_than_the_limit_and_the_burst(
            limit in 1_u64..50,
            burst in 1_u64..50,
            waits in prop::collection::vec(0_u64..100_000_000, 1..300),
        ) {
            let rate = Rate::new(limit, Duration::from_secs(1), burst);
            let (mut now, mut full_at, mut allowed) = (SECOND, 0, Vec::new());
            for wait in waits {
                now += wait;
                let taken;
                (taken, full_at) = rate.take(full_at, now);
                if taken.allowed {
                    allowed.push(now);
                }
            }
            for (index, first) in allowed.iter().enumerate() {
                let within = allowed[index..].iter().filter(|at| **at - first < SECOND).count();
                prop_assert!(within as u64 <= limit + burst);
            }
        }
    }
}
