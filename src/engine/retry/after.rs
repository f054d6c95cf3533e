//! `Retry-After`: seconds, or a date in one of HTTP's three forms.
//!
//! Its own file, because it is a format of an RFC (9110, sections 5.6.7 and 10.2.3) and what it says comes from outside.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

use super::WAIT_LIMIT;

/// How long `value` asks to wait at `now`, at most [`WAIT_LIMIT`]. `None`: it says neither. A date that is over asks for nothing.
pub fn parse(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number has is long, whatever it is.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(WAIT_LIMIT));
    }
    let until = date(value)?;
    Some((until - now).to_std().unwrap_or_default().min(WAIT_LIMIT))
}

fn date(value: &str) -> Option<DateTime<Utc>> {
    let forms = [
        "%a, %d %b %Y %H:%M:%S GMT",
        // RFC 850's, with a year of two digits, and asctime's.
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ];
    forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
        .map(|date| date.and_utc())
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn at(value: &str) -> Option<u64> {
        let now = Utc.with_ymd_and_hms(1994, 11, 6, 8, 49, 0).unwrap();
        parse(value, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_are_read_and_bounded() {
        assert_eq!(at("0"), Some(0));
        assert_eq!(at(" 120 "), Some(120));
        for long in ["86400", "99999999999999999999999"] {
            assert_eq!(at(long), Some(WAIT_LIMIT.as_secs()), "{long}");
        }
    }

    #[test]
    fn each_form_of_a_date_is_read() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(at(date), Some(37), "{date}");
        }
        assert_eq!(at("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(
            at("Tue, 08 Nov 1994 08:49:37 GMT"),
            Some(WAIT_LIMIT.as_secs())
        );
    }

    #[test]
    fn what_says_neither_is_not_read() {
        for value in [
            "",
            "soon",
            "-1",
            "1.5",
            "+3",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "1994-11-06",
        ] {
            assert_eq!(at(value), None, "{value}");
        }
    }
}
