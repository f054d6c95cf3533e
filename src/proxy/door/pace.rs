//! Whether a peer that is waited for keeps up.
//!
//! Its own file, because this is the difference between a slow client and one that means harm: only the time counts in
//! which we wait for it, and only over a whole period, so that a pause costs nobody a connection. Pure.

use std::time::{Duration, Instant};

/// What is waited for, over one period.
#[derive(Debug, Default)]
pub struct Pace {
    waited: Duration,
    moved: u64,
    since: Option<Instant>,
}

/// What to do when the alarm goes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look again then.
    Wait(Instant),
    TooSlow,
}

impl Pace {
    /// A wait begins, unless one has. Answers whether it is the first of its period.
    pub fn begin(&mut self, now: Instant) -> bool {
        let is_first = self.waited.is_zero() && self.since.is_none();
        self.since.get_or_insert(now);
        is_first
    }

    pub fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// The wait is over, and so many bytes came of it.
    pub fn end(&mut self, now: Instant, bytes: u64) {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.moved += bytes;
    }

    /// A new period begins: it has shown that it is fast.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// In a wait: whether `rate` bytes a second came over `period`, of which each wait so far and this one are counted.
    pub fn judge(&mut self, now: Instant, period: Duration, rate: u64) -> Verdict {
        let since = *self.since.get_or_insert(now);
        let waited = self.waited + now.saturating_duration_since(since);
        if waited < period {
            return Verdict::Wait(now + (period - waited));
        }
        // At least one byte, whatever the rate: the period is also the longest silence.
        let least = (rate as f64 * waited.as_secs_f64()).max(1.0);
        if (self.moved as f64) < least {
            return Verdict::TooSlow;
        }
        *self = Self {
            since: Some(now),
            ..Self::default()
        };
        Verdict::Wait(now + period)
    }

    /// Whether [`Self::judge`] would judge, and not wait.
    pub fn is_due(&self, now: Instant, period: Duration) -> bool {
        let waiting = self.since.map(|since| now.saturating_duration_since(since));
        self.waited + waiting.unwrap_or_default() >= period
    }

    /// As [`Self::judge`], where what was moved is counted elsewhere.
    pub fn judge_total(
        &mut self,
        now: Instant,
        period: Duration,
        rate: u64,
        moved: u64,
    ) -> Verdict {
        self.moved = moved;
        self.judge(now, period, rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// Sends `bytes` every `every` seconds and is asked when it said so; answers when it was found too slow.
    fn shed_after(bytes: u64, every: u64, limit: u64) -> Option<u64> {
        let (start, mut pace) = (Instant::now(), Pace::default());
        pace.begin(start);
        let mut alarm = match pace.judge(start, PERIOD, 240) {
            Verdict::Wait(alarm) => alarm,
            Verdict::TooSlow => return Some(0),
        };
        for second in 1..limit {
            let now = at(start, second);
            if second % every == 0 {
                pace.end(now, bytes);
                pace.begin(now);
            }
            if now >= alarm {
                match pace.judge(now, PERIOD, 240) {
                    Verdict::Wait(next) => alarm = next,
                    Verdict::TooSlow => return Some(second),
                }
            }
        }
        None
    }

    #[test]
    fn a_byte_every_nine_seconds_is_found_out_after_one_period() {
        assert_eq!(shed_after(1, 9, 600), Some(30));
        assert_eq!(shed_after(1, 1, 600), Some(30));
        assert_eq!(shed_after(0, 600, 600), Some(30));
    }

    #[test]
    fn who_is_slow_and_steady_goes_on() {
        assert_eq!(shed_after(1000, 1, 3600), None);
        assert_eq!(shed_after(10_000, 20, 3600), None);
    }

    #[test]
    fn only_the_time_counts_in_which_it_was_waited_for() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        assert!(pace.begin(start));
        pace.end(at(start, 5), 10);
        // An hour in which the upstream was the slow one.
        assert!(!pace.begin(at(start, 3600)));
        assert_eq!(
            pace.judge(at(start, 3600), PERIOD, 1),
            Verdict::Wait(at(start, 3625))
        );
    }

    #[test]
    fn without_a_rate_only_silence_counts() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        pace.begin(start);
        pace.end(at(start, 29), 1);
        pace.begin(at(start, 29));
        assert!(matches!(
            pace.judge(at(start, 30), PERIOD, 0),
            Verdict::Wait(_)
        ));
        assert_eq!(pace.judge(at(start, 60), PERIOD, 0), Verdict::TooSlow);
    }
}
