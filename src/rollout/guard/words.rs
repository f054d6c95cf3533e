//! A finding in words, for the audit's reason, for alerts and for people.
//!
//! Its own file, and pure: who is woken at night reads this line first.

use super::judge::{Finding, Measure, Rule};

/// Such as `8.1% errors (162 of 2000 requests in 60 s, the limit is 1%; legacy: 2 of 1500)`.
pub fn describe(finding: &Finding) -> String {
    let it = finding;
    let what = match it.measure {
        Measure::Errors => "errors".to_owned(),
        Measure::P95 => "slower than the limit of p95".to_owned(),
        Measure::P99 => "slower than the limit of p99".to_owned(),
        Measure::ConnectFailures => "without a connection".to_owned(),
        Measure::Outcome => format!("bad {}", it.kind.as_deref().unwrap_or("outcomes")),
    };
    let of = match it.measure {
        Measure::Outcome => "reported",
        _ => "requests",
    };
    let legacy = match it.legacy_requests {
        0 => String::new(),
        all => format!("; legacy: {} of {all}", it.legacy_bad),
    };
    let numbers = format!(
        "{} of {} {of} in {} s, the limit is {}{legacy}",
        it.bad,
        it.requests,
        it.window_s,
        percent(it.limit)
    );
    match it.rule {
        Rule::InARow => format!("{} failed in a row without a success ({numbers})", it.bad),
        Rule::Within => format!("within the limits ({numbers})"),
        Rule::Over => format!("{} {what}, not certain yet ({numbers})", percent(it.share)),
        Rule::Shared => format!(
            "{} {what}, and legacy is about as bad: going back would not help ({numbers})",
            percent(it.share)
        ),
        _ => format!("{} {what} ({numbers})", percent(it.share)),
    }
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    let short = text.trim_end_matches('0').trim_end_matches('.');
    format!("{short}%")
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Verdict;
    use super::*;

    #[test]
    fn the_numbers_stand_in_the_line() {
        let finding = Finding {
            verdict: Verdict::Fail,
            rule: Rule::Proven,
            measure: Measure::Errors,
            kind: None,
            window_s: 60,
            requests: 2000,
            bad: 162,
            share: 0.081,
            limit: 0.01,
            legacy_requests: 1500,
            legacy_bad: 2,
        };
        assert_eq!(
            describe(&finding),
            "8.1% errors (162 of 2000 requests in 60 s, the limit is 1%; legacy: 2 of 1500)"
        );
    }
}
