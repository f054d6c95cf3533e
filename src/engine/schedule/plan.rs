//! What is asked for when a campaign is scheduled, read: its first time, whether it is repeated, and what becomes of it when it is late.
//!
//! Its own file, and pure: legacy's clients write times in more than one form.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SubsecRound, Utc};
use serde::Deserialize;

use super::repeat::Repeat;

const LATE_AFTER: Duration = Duration::from_secs(3600);
/// Thirty days: by then nobody thinks of it as late.
const LATEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Without a zone they are UTC, as legacy reads them; the one with the T is what a browser's field gives.
const FORMS: [&str; 4] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
];

/// A form or an object of JSON. As at legacy, fields that nobody knows are let be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    scheduled_at: Option<String>,
    cron: Option<String>,
    timezone: Option<String>,
    late: Option<String>,
    late_after: Option<String>,
}

/// A schedule that can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub next_at: DateTime<Utc>,
    /// Cron's fields and the zone.
    pub repeated: Option<(String, String)>,
    /// How late it may be sent. `None`: however late.
    pub skip_after: Option<Duration>,
}

impl Plan {
    /// # Errors
    ///
    /// What is wrong, for people.
    pub fn read(asked: Asked, now: DateTime<Utc>) -> Result<Self, String> {
        let skip_after = skip_after(asked.late.as_deref(), asked.late_after.as_deref())?;
        // Laravel takes white space off, and empty fields for none.
        let given = |text: Option<String>| {
            let text = text.map(|it| it.trim().to_owned());
            text.filter(|it| !it.is_empty())
        };
        let times = (
            given(asked.scheduled_at),
            given(asked.cron),
            given(asked.timezone),
        );
        let (next_at, repeated) = match times {
            (Some(at), None, None) => (moment(&at)?, None),
            (None, Some(cron), Some(zone)) => {
                let repeat = Repeat::parse(&cron, &zone).map_err(|fault| fault.to_string())?;
                let first = repeat.after(now).ok_or("cron has no time to come")?;
                (first, Some((cron, zone)))
            }
            (None, None, _) => {
                return Err("scheduled_at is required, or cron and timezone".to_owned());
            }
            (None, Some(_), None) => return Err("cron needs a timezone".to_owned()),
            (Some(_), ..) => {
                return Err("scheduled_at stands alone, or cron with timezone".to_owned());
            }
        };
        Ok(Self {
            next_at,
            repeated,
            skip_after,
        })
    }
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let zoned = DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .ok();
    let wall = || {
        let mut forms = FORMS.iter();
        forms.find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
    };
    let day = || {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(day.and_time(NaiveTime::MIN))
    };
    let found = zoned.or_else(|| wall().or_else(day).map(|at| at.and_utc()));
    found
        .map(|at| at.trunc_subsecs(0))
        .filter(|at| (1970..=9999).contains(&at.year()))
        .ok_or_else(|| {
            "scheduled_at is not a valid date: it is written as \"2026-12-01 08:00:00\" (UTC) or \"2026-12-01T09:00:00+01:00\"".to_owned()
        })
}

fn skip_after(late: Option<&str>, after: Option<&str>) -> Result<Option<Duration>, String> {
    match (late.unwrap_or("send"), after) {
        ("send", None) => Ok(None),
        ("send", Some(_)) => Err("late_after is for late = \"skip\"".to_owned()),
        ("skip", None) => Ok(Some(LATE_AFTER)),
        ("skip", Some(text)) => duration(text).map(Some).ok_or_else(|| {
            "late_after is a number with s, m, h or d behind it, 30d at most, such as \"1h\""
                .to_owned()
        }),
        _ => Err("late is \"send\" or \"skip\"".to_owned()),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    let number: u32 = number.parse().ok()?;
    let found = Duration::from_secs(u64::from(number) * seconds);
    (found > Duration::ZERO && found <= LATEST).then_some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(asked: Value) -> Result<Plan, String> {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        Plan::read(serde_json::from_value(asked).unwrap(), now)
    }

    #[test]
    fn a_time_is_read_in_the_forms_that_legacys_clients_write() {
        for (text, at) in [
            ("2031-01-01 08:00:00", "2031-01-01T08:00:00Z"),
            ("2031-01-01 08:00", "2031-01-01T08:00:00Z"),
            ("2031-01-01T08:00", "2031-01-01T08:00:00Z"),
            ("2031-01-01", "2031-01-01T00:00:00Z"),
            ("2031-01-01T08:00:00+02:00", "2031-01-01T06:00:00Z"),
            ("2031-01-01T08:00:00.999Z", "2031-01-01T08:00:00Z"),
            // As legacy: then it is due at once.
            (" 2001-01-01 08:00:00 ", "2001-01-01T08:00:00Z"),
        ] {
            let plan = read(json!({ "scheduled_at": text, "_token": "x" })).unwrap();
            assert_eq!(plan.next_at, at.parse::<DateTime<Utc>>().unwrap(), "{text}");
            assert_eq!((plan.repeated, plan.skip_after), (None, None));
        }
    }

    #[test]
    fn what_is_no_time_is_refused_by_its_name() {
        for (asked, named) in [
            (json!({}), "scheduled_at is required"),
            (json!({ "scheduled_at": " " }), "scheduled_at is required"),
            (json!({ "scheduled_at": "soon" }), "valid date"),
            (
                json!({ "scheduled_at": "2031-02-30 08:00:00" }),
                "valid date",
            ),
            (
                json!({ "scheduled_at": "12031-01-01 08:00:00" }),
                "valid date",
            ),
            (json!({ "cron": "0 8 * * *" }), "timezone"),
            (json!({ "cron": "0 8 * *", "timezone": "UTC" }), "five"),
            (
                json!({ "cron": "0 0 30 2 *", "timezone": "UTC" }),
                "no time to come",
            ),
            (
                json!({ "cron": "0 8 * * *", "timezone": "UTC", "scheduled_at": "2031-01-01" }),
                "alone",
            ),
            (
                json!({ "scheduled_at": "2031-01-01", "late": "never" }),
                "late",
            ),
            (
                json!({ "scheduled_at": "2031-01-01", "late": "skip", "late_after": "0h" }),
                "late_after",
            ),
            (
                json!({ "scheduled_at": "2031-01-01", "late": "skip", "late_after": "1ä" }),
                "late_after",
            ),
            (
                json!({ "scheduled_at": "2031-01-01", "late_after": "1h" }),
                "late_after",
            ),
        ] {
            let fault = read(asked.clone()).expect_err("a fault");
            assert!(fault.contains(named), "{asked}: {fault}");
        }
    }

    #[test]
    fn a_repeated_one_begins_with_its_next_time_and_may_be_skipped() {
        let plan = read(
            json!({ "cron": "0 8 * * *", "timezone": "Europe/Berlin", "late": "skip", "late_after": "15m" }),
        );
        let plan = plan.unwrap();
        assert_eq!(
            plan.next_at,
            "2026-11-22T07:00:00Z".parse::<DateTime<Utc>>().unwrap()
        );
        assert_eq!(
            plan.repeated,
            Some(("0 8 * * *".to_owned(), "Europe/Berlin".to_owned()))
        );
        assert_eq!(plan.skip_after, Some(Duration::from_secs(900)));
        let plan = read(json!({ "scheduled_at": "2031-01-01", "late": "skip" })).unwrap();
        assert_eq!(plan.skip_after, Some(Duration::from_secs(3600)));
    }
}
