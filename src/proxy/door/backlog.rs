//! How much is held for clients that do not take their answers, and how long each of them may keep it.
//!
//! Its own file, because it is the one bound that looks at all of them: each alone is in order for as long as
//! `timeouts.write` says, and thousands of them would be out of memory before.

use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

/// The most that is held of one answer: pingora reads up to 64 KiB at a time from the upstream, into a buffer of the
/// connection and one of the body; four pieces are gathered for the client, four more wait, and one has no room yet.
const OF_ONE: u64 = 11 * 64 * 1024;
/// How soon who waits learns that there are too many.
pub const LOOK: Duration = Duration::from_secs(1);
/// For each with the budget used up: longer than a window of a far client takes to be acknowledged.
const SHORT: Duration = Duration::from_secs(1);
/// With twice of it.
const SHORTEST: Duration = Duration::from_millis(250);

/// The clients whose answers wait, counted. The gauge is the count, and what an operator sees.
#[derive(Clone, Debug)]
pub struct Backlog(Gauge);

impl Backlog {
    pub fn new(waiting: Gauge) -> Self {
        Self(waiting)
    }

    /// What they hold at most.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.0.get()).unwrap_or(0) * OF_ONE
    }

    /// One more waits.
    pub fn hold(&self) -> Held {
        self.0.inc();
        Held(self.0.clone())
    }
}

/// One client's answer waits. Dropped, it is taken or given up.
#[derive(Debug)]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How long a client may take nothing where `held` of `budget` bytes are in use. Pure.
///
/// `longest` up to half of the budget, then in even steps less. A client that takes something now and then is not
/// touched by it, whatever it is: the period is then only looked at more often.
pub fn patience(longest: Duration, held: u64, budget: u64) -> Duration {
    if budget == 0 || held <= budget / 2 {
        return longest;
    }
    let short = SHORT.min(longest);
    let used = held as f64 / budget as f64;
    if used <= 1.0 {
        return longest - (longest - short).mul_f64((used - 0.5) * 2.0);
    }
    short.div_f64(used * used).max(SHORTEST.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(31);

    #[test]
    fn patience_ends_as_the_budget_does() {
        let table = [
            (0, 31_000),
            (50, 31_000),
            (75, 16_000),
            (100, 1_000),
            (200, 250),
            (10_000, 250),
        ];
        for (held, expected) in table {
            let found = patience(LONGEST, held, 100).as_millis();
            assert_eq!(found, expected, "{held} of 100");
        }
    }

    #[test]
    fn it_is_never_longer_than_without_a_bound() {
        let short = Duration::from_millis(100);
        for held in [0, 60, 100, 1000] {
            assert_eq!(patience(short, held, 100), short);
            assert_eq!(patience(LONGEST, held, 0), LONGEST);
        }
    }

    #[test]
    fn who_gives_up_is_counted_no_more() {
        let backlog = Backlog::new(Gauge::default());
        let held = [backlog.hold(), backlog.hold()];
        assert_eq!(backlog.bytes(), 2 * OF_ONE);
        drop(held);
        assert_eq!(backlog.bytes(), 0);
    }
}
