//! Whether one address of several is left out because requests to it fail one after another.
//!
//! Pure, with time passed in, and its own file, because what it counts is written by every request that fails.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Failures one after another that throw an address out.
    pub failures: u32,
    /// For how long the first time; each time again so much longer, at most [`LONGEST`] times.
    pub eject: Duration,
    /// Percent of the addresses that may be out at once, 0 to 100. At least one may be where there are two or more.
    pub max_ejected: u8,
}

/// An address that is thrown out time and again is out ten times as long at most.
const LONGEST: u32 = 10;

/// What is known of one address. Times are milliseconds since any fixed moment.
#[derive(Debug, Default)]
pub struct Record {
    in_a_row: AtomicU32,
    /// How often it was thrown out without a quiet time between.
    times: AtomicU32,
    /// Out until then; 0: never was.
    until: AtomicU64,
}

impl Record {
    pub fn succeed(&self) {
        // Read first: nearly always there is nothing to write, and a line that is only read is shared by all.
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Answers whether it should be thrown out now.
    pub fn fail(&self, settings: &Settings) -> bool {
        let before = self.in_a_row.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1) >= settings.failures
    }

    /// Throws it out. Answers until when.
    pub fn eject(&self, now: u64, settings: &Settings) -> u64 {
        let base = settings.eject.as_millis() as u64;
        let last = self.until.load(Ordering::Relaxed);
        // As long well as it was out last: that is forgiven.
        let forgiven = now >= last + base * u64::from(self.times.load(Ordering::Relaxed));
        let times = match forgiven {
            true => 1,
            false => (self.times.load(Ordering::Relaxed) + 1).min(LONGEST),
        };
        let until = now + base * u64::from(times);
        self.times.store(times, Ordering::Relaxed);
        self.until.store(until, Ordering::Relaxed);
        self.in_a_row.store(0, Ordering::Relaxed);
        until
    }

    /// Until when it is out. `None`: it is not.
    pub fn out_until(&self, now: u64) -> Option<u64> {
        Some(self.until.load(Ordering::Relaxed)).filter(|until| now < *until)
    }
}

/// Whether one more of `count` addresses may be thrown out while `out` of them are.
pub fn may_eject(count: usize, out: usize, settings: &Settings) -> bool {
    let share = count * usize::from(settings.max_ejected) / 100;
    let most = if count > 1 && settings.max_ejected > 0 {
        share.max(1)
    } else {
        share
    };
    // The only address is never thrown out: there would be nobody left to ask.
    count > 1 && out < most
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        failures: 3,
        eject: Duration::from_millis(100),
        max_ejected: 50,
    };

    #[test]
    fn failures_count_only_one_after_another() {
        let record = Record::default();
        assert_eq!([(); 2].map(|()| record.fail(&SETTINGS)), [false, false]);
        record.succeed();
        assert_eq!(
            [(); 3].map(|()| record.fail(&SETTINGS)),
            [false, false, true]
        );
    }

    #[test]
    fn each_time_is_longer_until_it_behaves() {
        let record = Record::default();
        let mut now = 1000;
        let mut lengths = Vec::new();
        for _ in 0..12 {
            let until = record.eject(now, &SETTINGS);
            assert_eq!(record.out_until(now), Some(until));
            lengths.push(until - now);
            now = until;
            assert_eq!(record.out_until(now), None);
        }
        assert_eq!(lengths[..3], [100, 200, 300]);
        assert_eq!(lengths[11], 1000);
        assert_eq!(record.eject(now + 5000, &SETTINGS), now + 5100);
    }

    #[test]
    fn no_more_than_the_share_may_be_out() {
        let table = [
            (1, 0, false),
            (2, 0, true),
            (2, 1, false),
            (3, 0, true),
            (3, 1, false),
            (4, 1, true),
            (4, 2, false),
        ];
        for (count, out, may) in table {
            assert_eq!(may_eject(count, out, &SETTINGS), may, "{out} of {count}");
        }
        let all = Settings {
            max_ejected: 100,
            ..SETTINGS
        };
        assert!(may_eject(2, 1, &all) && !may_eject(1, 0, &all));
        let none = Settings {
            max_ejected: 0,
            ..SETTINGS
        };
        assert!(!may_eject(4, 0, &none));
    }
}
