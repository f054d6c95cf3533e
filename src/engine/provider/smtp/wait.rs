//! How long a server asks to wait, as the text of its reply says.
//!
//! Its own file, because it reads prose, and that has a table of its own.

use std::time::Duration;

/// No text holds a queue up for longer. Greylisting asks for minutes, a used-up quota for hours.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// The first number with a unit of time in a text that speaks of trying again; at most [`LONGEST`].
pub fn asked_wait(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let speaks_of_it = ["again", "retry", "wait", "later", "resend", "come back"];
    if !speaks_of_it.iter().any(|word| text.contains(word)) {
        return None;
    }
    let mut number = None;
    for word in words(&text) {
        if let Ok(value) = word.parse::<u64>() {
            number = Some(value);
            continue;
        }
        if let (Some(value), Some(unit)) = (number.take(), seconds_of(word)) {
            return Some(Duration::from_secs(value.saturating_mul(unit)).min(LONGEST));
        }
    }
    None
}

/// `300s` is two words, `4.7.1` is none that has a unit after it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .flat_map(|run| {
            let at = run.find(|c: char| !c.is_ascii_digit());
            let (digits, rest) = run.split_at(at.unwrap_or(run.len()));
            [digits, rest]
        })
        .filter(|word| !word.is_empty())
}

fn seconds_of(unit: &str) -> Option<u64> {
    match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3600),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_minutes_are_read_and_bounded() {
        for (text, seconds) in [
            (
                "4.7.1 Greylisted, please try again in 300 seconds",
                Some(300),
            ),
            (
                "Greylisted, see http://x.example/?r=1; retry in 5 minutes",
                Some(300),
            ),
            ("try again in 60s", Some(60)),
            ("Please retry after 2 min.", Some(120)),
            ("try again in 1 hour", Some(3600)),
            ("try again in 24 hours", Some(3600)),
            ("try again in 99999999999999999999 seconds", None),
            ("try again in 18446744073709551615 minutes", Some(3600)),
            ("4.7.0 try again later", None),
            ("message of 300 seconds", None),
            ("4.2.0 retry, 3 recipients", None),
        ] {
            assert_eq!(asked_wait(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
