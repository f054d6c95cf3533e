//! When a repeated schedule is due next: five cron fields, read as a wall clock's time in a zone.
//!
//! Its own file, and pure: a clock that is put forward or back must neither lose an occurrence nor double one, and that is decided here.
//! No other file knows zones: times are UTC everywhere else.
//!
//! A wall time is one occurrence, whatever the clocks do. One that does not exist, because clocks are put forward over it, is due at the
//! moment when they are; one that exists twice, because they are put back, is due the first time. So no instant comes before that of an
//! earlier wall time, and a search forward from any instant misses none.

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

/// Wall times that may have passed already when clocks are put back: by a day at most (Samoa, Kwajalein), of 1,440 minutes.
const PASSED: usize = 1_441;

#[derive(Clone, Debug)]
pub struct Repeat {
    cron: Cron,
    zone: TimeZone,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRepeat {
    #[error("cron has five fields: minute, hour, day of the month, month, day of the week")]
    Fields,
    #[error("cron cannot be read: {0}")]
    Cron(String),
    #[error("timezone is no name of IANA's database, such as \"Europe/Berlin\"")]
    Zone,
}

impl Repeat {
    /// # Errors
    ///
    /// If the text is no five cron fields, or there is no such zone.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, BadRepeat> {
        // Nicknames such as @daily, which the parser knows as well, are one field.
        if cron.split_ascii_whitespace().count() != 5 {
            return Err(BadRepeat::Fields);
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(cron);
        Ok(Self {
            cron: cron.map_err(|error| BadRepeat::Cron(error.to_string()))?,
            zone: TimeZone::get(zone).map_err(|_| BadRepeat::Zone)?,
        })
    }

    /// The first occurrence after this instant. `None`: there is none any more, as on a 30th of February.
    pub fn after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let start = Timestamp::from_second(after.timestamp()).ok()?;
        let offset = i64::from(self.zone.to_offset(start).seconds());
        // The wall's time, written as if it were UTC: there each is once.
        let mut wall = DateTime::from_timestamp(start.as_second() + offset, 0)?;
        for _ in 0..PASSED {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let at = self.instant(wall)?;
            if at > after {
                return Some(at);
            }
        }
        None
    }

    fn instant(&self, wall: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = Offset::UTC.to_datetime(Timestamp::from_second(wall.timestamp()).ok()?);
        let found = self.zone.to_ambiguous_timestamp(wall);
        let is_gap = matches!(found.offset(), AmbiguousOffset::Gap { .. });
        let earlier = found.earlier().ok()?;
        let at = match is_gap {
            false => earlier,
            true => self.zone.following(earlier).next()?.timestamp(),
        };
        DateTime::from_timestamp(at.as_second(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next so many after `from`.
    fn times(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let repeat = Repeat::parse(cron, zone).unwrap();
        let mut at: DateTime<Utc> = from.parse().unwrap();
        let next = std::iter::from_fn(|| {
            at = repeat.after(at)?;
            Some(at.format("%m-%d %H:%M").to_string())
        });
        next.take(count).collect()
    }

    #[test]
    fn a_time_of_day_follows_the_zones_clock() {
        let found = times("0 8 * * *", "Europe/Berlin", "2026-03-27T12:00:00.5Z", 3);
        assert_eq!(found, ["03-28 07:00", "03-29 06:00", "03-30 06:00"]);
        let mondays = times("30 9 * * 1", "America/New_York", "2026-12-01T00:00:00Z", 2);
        assert_eq!(mondays, ["12-07 14:30", "12-14 14:30"]);
    }

    #[test]
    fn a_time_that_does_not_exist_is_due_when_the_clocks_are_put_forward() {
        // 02:00 is 03:00 on 29 March 2026 in Berlin, at 01:00 UTC.
        let daily = times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
        assert_eq!(daily, ["03-28 01:30", "03-29 01:00", "03-30 00:30"]);
        // What falls upon one moment is one occurrence.
        let often = times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 4);
        assert_eq!(
            often,
            ["03-29 00:30", "03-29 01:00", "03-29 01:30", "03-29 02:00"]
        );
    }

    #[test]
    fn a_time_that_exists_twice_is_due_the_first_time_alone() {
        // 03:00 is 02:00 again on 25 October 2026 in Berlin, at 01:00 UTC.
        let daily = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(daily, ["10-25 00:30", "10-26 01:30"]);
        let often = times("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3);
        assert_eq!(often, ["10-25 00:30", "10-25 02:00", "10-25 02:30"]);
        // Asked in the hour that is there again.
        let within = times("* * * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1);
        assert_eq!(within, ["10-25 02:00"]);
    }

    #[test]
    fn a_day_that_a_zone_left_out_is_due_when_it_was() {
        // Samoa had no 30 December 2011: at 10:00 UTC the 29th became the 31st.
        let found = times("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3);
        assert_eq!(found, ["12-29 22:00", "12-30 10:00", "12-30 22:00"]);
    }

    #[test]
    fn what_is_never_due_has_no_next_time() {
        assert!(times("0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", 1).is_empty());
    }

    #[test]
    fn what_is_no_cron_or_no_zone_is_refused() {
        for text in ["@daily", "0 0 * *", "0 0 0 * * *", ""] {
            assert_eq!(
                Repeat::parse(text, "UTC").err(),
                Some(BadRepeat::Fields),
                "{text:?}"
            );
        }
        for text in ["61 * * * *", "a b c d e", "0 24 * * *"] {
            let fault = Repeat::parse(text, "UTC").err();
            assert!(matches!(fault, Some(BadRepeat::Cron(_))), "{text:?}");
        }
        for zone in [
            "Europe/Atlantis",
            "",
            "../etc/passwd",
            "CET-1CEST,M3.5.0,M10.5.0/3",
        ] {
            assert_eq!(
                Repeat::parse("0 8 * * *", zone).err(),
                Some(BadRepeat::Zone),
                "{zone:?}"
            );
        }
    }
}
