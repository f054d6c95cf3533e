//! When a delivery is due, and when it is tried again.
//!
//! Pure, and its own file: time comes in as `now`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Channel, Severity};

/// Before the second attempt; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// Between two attempts at most, whatever a vendor says: an operator who mends an address waits no longer.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// When a channel is to be told. Only what is informational waits, and only for e-mail: it comes once every `digest`, at
/// times that are the same whoever leads (of a day: midnight UTC).
pub fn due(
    severity: Severity,
    channel: Channel,
    now: DateTime<Utc>,
    digest: Duration,
) -> DateTime<Utc> {
    let every = i64::try_from(digest.as_secs()).unwrap_or(i64::MAX);
    if (severity, channel) != (Severity::Info, Channel::Email) || every == 0 {
        return now;
    }
    let next = (now.timestamp() / every)
        .saturating_add(1)
        .saturating_mul(every);
    DateTime::from_timestamp(next, 0).unwrap_or(now)
}

/// How long to wait after the `attempts`th attempt failed.
pub fn wait(attempts: i32, vendor: Option<Duration>) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1))
        .unwrap_or(0)
        .min(16);
    let own = FIRST_WAIT.saturating_mul(1 << doublings);
    own.max(vendor.unwrap_or_default()).min(LONGEST_WAIT)
}

/// Whether a delivery that began to be due at `since` has been tried for long enough.
pub fn gives_up(since: DateTime<Utc>, now: DateTime<Utc>, after: Duration) -> bool {
    TimeDelta::from_std(after).is_ok_and(|after| now - since >= after)
}

/// How many more messages a channel may send now, of `per_minute`, when it tried `tried` in the last minute.
pub fn allowance(per_minute: u32, tried: i64) -> i64 {
    (i64::from(per_minute) - tried).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn only_information_by_mail_waits_for_the_digest() {
        let now = at("2026-02-07T13:14:15Z");
        let midnight = at("2026-02-08T00:00:00Z");
        assert_eq!(due(Severity::Info, Channel::Email, now, DAY), midnight);
        assert_eq!(
            due(Severity::Info, Channel::Email, now, Duration::ZERO),
            now
        );
        assert_eq!(due(Severity::Info, Channel::Slack, now, DAY), now);
        assert_eq!(due(Severity::Critical, Channel::Email, now, DAY), now);
    }

    #[test]
    fn each_wait_is_twice_the_one_before_and_none_is_longer_than_ten_minutes() {
        let waits: Vec<u64> = (1..=9).map(|nth| wait(nth, None).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(wait(i32::MAX, None), LONGEST_WAIT);
    }

    #[test]
    fn a_vendor_who_says_how_long_is_believed_within_bounds() {
        assert_eq!(wait(1, Some(Duration::from_secs(30))).as_secs(), 30);
        assert_eq!(wait(3, Some(Duration::from_secs(1))).as_secs(), 20);
        assert_eq!(wait(1, Some(DAY)), LONGEST_WAIT);
    }

    #[test]
    fn a_channel_stays_within_its_rate_and_a_delivery_ends_one_day() {
        assert_eq!((allowance(30, 10), allowance(30, 31)), (20, 0));
        let since = at("2026-02-07T00:00:00Z");
        assert!(!gives_up(since, at("2026-02-07T23:59:59Z"), DAY));
        assert!(gives_up(since, at("2026-02-08T00:00:00Z"), DAY));
    }
}
