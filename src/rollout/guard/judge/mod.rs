//! Judges one series against its limits and against legacy in the same window.
//!
//! Pure, and its own file: it has no memory, so that after a change of leader, in a replay and in a simulation it says
//! the same of the same buckets.
//!
//! Four ways to fail, each guarded against chance in its own manner:
//! 1. total failure: five requests in a row without a success, or half of at least twenty;
//! 2. a proven excess: in two judgements in a row the share of bad requests is one that chance makes less than once in
//!    ten thousand times at the limit itself. The larger the excess, the fewer requests and the less time it takes;
//! 3. a lasting excess: every judgement over `for` found the window over the limit;
//! 4. a limit of zero, of what the modern side reports: one bad one.

#[cfg(test)]
mod tests;

use serde::Serialize;

use super::chance;
use super::limits::{CHANCE, HALF_OF, IN_A_ROW, Limits, MIN_BAD, MIN_LEGACY, Share};
use super::series::{Bin, Counts, Series, Window, bins};
use super::verdict::Verdict;

/// What can be bad about requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    Errors,
    P95,
    P99,
    ConnectFailures,
    /// Of what the modern side reports.
    Outcome,
}

impl Measure {
    /// The cause of a rollback, in metrics and in the audit.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Errors => "guard-errors",
            Self::P95 | Self::P99 => "guard-latency",
            Self::ConnectFailures => "guard-connect",
            Self::Outcome => "guard-outcome",
        }
    }

    fn bad(self, counts: Counts) -> u64 {
        match self {
            Self::Errors | Self::Outcome => counts.errors,
            Self::P95 => counts.slow[0],
            Self::P99 => counts.slow[1],
            Self::ConnectFailures => counts.connect_failures,
        }
    }
}

/// Which rule spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    InARow,
    HalfFailing,
    Proven,
    Lasting,
    NotOne,
    /// Over the limit, and not certain yet.
    Over,
    /// Over the limit, and legacy is about as bad: going back would not help.
    Shared,
    /// Nothing is over a limit.
    Within,
}

/// What was found, with the numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub verdict: Verdict,
    pub rule: Rule,
    pub measure: Measure,
    /// Which of the reported outcomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The window's length in seconds; its end is when it was judged.
    pub window_s: i64,
    pub requests: u64,
    pub bad: u64,
    /// Bad ones among the requests, and what of them the limit allows.
    pub share: Share,
    pub limit: Share,
    pub legacy_requests: u64,
    pub legacy_bad: u64,
}

/// A series, and what it is compared with.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub series: &'a Series,
    /// Legacy's answers of the same capability, of all tenants.
    pub legacy: &'a Series,
    /// Buckets before this one belong to another time: before the tenant moved, before the last rollback.
    pub since: Bin,
}

/// One limit: the share of bad requests that is too many.
#[derive(Clone, Copy)]
struct Limit {
    measure: Measure,
    share: Share,
}

/// Judges at the beginning of bucket `now`, by the buckets before it. The worst finding counts.
pub fn judge(case: Case<'_>, limits: &Limits, now: Bin) -> Finding {
    if let Some(total) = total_failure(case, limits, now) {
        return total;
    }
    let mut worst: Option<Finding> = None;
    for limit in limits_of(limits) {
        let finding = excess(case, limits, limit, now);
        if worst
            .as_ref()
            .is_none_or(|w| severity(&finding) > severity(w))
        {
            worst = Some(finding);
        }
    }
    worst.unwrap_or_else(|| {
        let window = case
            .series
            .window(now, limits.window, limits.min_requests, case.since);
        finding(
            case,
            window,
            Limit {
                measure: Measure::Errors,
                share: 1.0,
            },
            Rule::Within,
            limits,
        )
    })
}

/// Judges what the modern side reports of one kind.
pub fn judge_outcome(case: Case<'_>, limits: &Limits, share: Share, now: Bin) -> Finding {
    let limit = Limit {
        measure: Measure::Outcome,
        share,
    };
    if share <= 0.0 {
        let window = case.series.window(now, limits.window, 1, case.since);
        let rule = match window.counts.errors {
            0 => Rule::Within,
            _ => Rule::NotOne,
        };
        return finding(case, window, limit, rule, limits);
    }
    excess(case, limits, limit, now)
}

fn limits_of(limits: &Limits) -> impl Iterator<Item = Limit> {
    let by = |measure, share: Option<Share>| share.map(|share| Limit { measure, share });
    [
        by(Measure::Errors, limits.error_rate),
        // Who is above the 95th percentile's limit must be 5 %.
        by(Measure::P95, limits.p95.map(|_| 0.05)),
        by(Measure::P99, limits.p99.map(|_| 0.01)),
        by(Measure::ConnectFailures, limits.connect_failures),
    ]
    .into_iter()
    .flatten()
}

fn severity(finding: &Finding) -> u8 {
    match finding.rule {
        Rule::InARow | Rule::HalfFailing | Rule::Proven | Rule::Lasting | Rule::NotOne => 3,
        Rule::Shared => 2,
        Rule::Over => 1,
        Rule::Within => 0,
    }
}

/// Five in a row, or half of twenty. `None`: neither.
fn total_failure(case: Case<'_>, limits: &Limits, now: Bin) -> Option<Finding> {
    let limit = Limit {
        measure: Measure::Errors,
        share: limits.error_rate?,
    };
    let run = case.series.failing_run(now, case.since);
    let recent = case.series.window(now, limits.window, HALF_OF, case.since);
    let (window, rule) = if run.counts.requests >= IN_A_ROW {
        (run, Rule::InARow)
    } else if recent.counts.requests >= HALF_OF
        && recent.counts.errors * 2 >= recent.counts.requests
    {
        (recent, Rule::HalfFailing)
    } else {
        return None;
    };
    let legacy = case.legacy.between(window.from, window.until);
    // Fewer of legacy's will do here: when everything fails, five say so as well.
    let is_shared = legacy.requests >= IN_A_ROW && !worse(window.counts, legacy, limit, limits);
    let rule = if is_shared { Rule::Shared } else { rule };
    Some(finding(case, window, limit, rule, limits))
}

fn excess(case: Case<'_>, limits: &Limits, limit: Limit, now: Bin) -> Finding {
    let window = |at: Bin| {
        case.series
            .window(at, limits.window, limits.min_requests, case.since)
    };
    let newest = window(now);
    let rule = if !is_over(newest, limit, limits) {
        Rule::Within
    } else if is_shared(case, newest, limit, limits) {
        Rule::Shared
    } else if proven(newest, limit) && {
        let before = window(now - 1);
        is_over(before, limit, limits)
            && proven(before, limit)
            && !is_shared(case, before, limit, limits)
    } {
        Rule::Proven
    } else if (now - bins(limits.hold)..now).all(|at| {
        let window = window(at);
        is_over(window, limit, limits) && !is_shared(case, window, limit, limits)
    }) {
        Rule::Lasting
    } else {
        Rule::Over
    };
    finding(case, newest, limit, rule, limits)
}

fn share(bad: u64, of: u64) -> Share {
    match of {
        0 => 0.0,
        of => bad as f64 / of as f64,
    }
}

fn is_over(window: Window, limit: Limit, limits: &Limits) -> bool {
    let (bad, of) = (limit.measure.bad(window.counts), window.counts.requests);
    of >= limits.min_requests && bad >= MIN_BAD && share(bad, of) > limit.share
}

fn proven(window: Window, limit: Limit) -> bool {
    let (bad, of) = (limit.measure.bad(window.counts), window.counts.requests);
    chance::of_so_many(bad, of, limit.share) < CHANCE
}

/// Legacy was asked enough in the same window to be a measure, and is about as bad.
fn is_shared(case: Case<'_>, window: Window, limit: Limit, limits: &Limits) -> bool {
    let legacy = case.legacy.between(window.from, window.until);
    legacy.requests >= MIN_LEGACY && !worse(window.counts, legacy, limit, limits)
}

/// So many times as bad as legacy.
fn worse(modern: Counts, legacy: Counts, limit: Limit, limits: &Limits) -> bool {
    let of = |counts: Counts| share(limit.measure.bad(counts), counts.requests);
    of(modern) > of(legacy) * limits.factor
}

fn finding(case: Case<'_>, window: Window, limit: Limit, rule: Rule, limits: &Limits) -> Finding {
    let legacy = case.legacy.between(window.from, window.until);
    let (bad, requests) = (limit.measure.bad(window.counts), window.counts.requests);
    let verdict = match rule {
        Rule::InARow | Rule::HalfFailing | Rule::Proven | Rule::Lasting | Rule::NotOne => {
            Verdict::Fail
        }
        Rule::Within if requests >= limits.min_requests => Verdict::Pass,
        Rule::Within | Rule::Over | Rule::Shared => Verdict::Insufficient,
    };
    Finding {
        verdict,
        rule,
        measure: limit.measure,
        kind: None,
        window_s: (window.until - window.from) * 10,
        requests,
        bad,
        share: share(bad, requests),
        limit: limit.share,
        legacy_requests: legacy.requests,
        legacy_bad: limit.measure.bad(legacy),
    }
}
