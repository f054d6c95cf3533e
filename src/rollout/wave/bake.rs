//! Bake: how long a step serves before the next, as operators write it.
//!
//! Its own file, because it is the one duration that is counted in days.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;

/// A year: longer is a typing error.
const MAX: TimeDelta = TimeDelta::days(365);
const UNITS: [(&str, i64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// Whole seconds, from none to a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bake(TimeDelta);

impl Bake {
    /// Seconds and more; a part of a second is one, and what is negative none.
    pub fn of(delta: TimeDelta) -> Self {
        let up = delta + TimeDelta::nanoseconds(999_999_999);
        Self(TimeDelta::seconds(up.num_seconds().max(0)))
    }

    pub fn delta(self) -> TimeDelta {
        self.0
    }

    pub fn seconds(self) -> i64 {
        self.0.num_seconds()
    }
}

impl FromStr for Bake {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('-') {
            return Err(format!("bake {text:?} is negative"));
        }
        let unread = || format!("bake {text:?} cannot be read: expected such as 30m, 24h or 7d");
        let (unit, seconds) = UNITS
            .into_iter()
            .find(|(unit, _)| text.ends_with(unit))
            .ok_or_else(unread)?;
        let number: i64 = text
            .strip_suffix(unit)
            .filter(|number| number.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|number| number.parse().ok())
            .ok_or_else(unread)?;
        let delta = number.checked_mul(seconds).and_then(TimeDelta::try_seconds);
        delta
            .filter(|delta| *delta <= MAX)
            .map(Self)
            .ok_or_else(|| format!("bake {text:?} is more than 365d"))
    }
}

impl fmt::Display for Bake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.seconds();
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, seconds) in UNITS {
            if left >= seconds {
                write!(f, "{}{unit}", left / seconds)?;
                left %= seconds;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_operators_write_is_read_and_written_back() {
        for text in ["0s", "30m", "24h", "7d"] {
            let bake: Bake = text.parse().unwrap();
            assert_eq!(bake.to_string().parse(), Ok(bake), "{text}");
        }
        assert_eq!("36h".parse::<Bake>().unwrap().to_string(), "1d12h");
        assert_eq!("90s".parse::<Bake>().unwrap().to_string(), "1m30s");
    }

    #[test]
    fn negative_unread_and_endless_times_are_refused() {
        for (text, expected) in [
            ("-1h", "is negative"),
            ("1w", "cannot be read"),
            ("h", "cannot be read"),
            ("", "cannot be read"),
            ("1.5h", "cannot be read"),
            ("366d", "more than 365d"),
            ("99999999999999999d", "more than 365d"),
        ] {
            let fault = text.parse::<Bake>().unwrap_err();
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }
}
