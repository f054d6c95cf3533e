//! The rules, each by the smallest series that it speaks on.
//!
//! Its own file, because it is as long as what it tests.

use super::*;

/// `minutes` of buckets that end at bucket 1000, each with so many requests and bad ones.
fn steady(minutes: i64, requests: u64, errors: u64, slow: u64) -> Series {
    let mut series = Series::default();
    for bin in 1000 - minutes * 6..1000 {
        let counts = Counts {
            requests,
            errors,
            slow: [slow, 0],
            ..Counts::default()
        };
        series.add(bin, counts);
    }
    series
}

fn judged(series: &Series, legacy: &Series) -> Finding {
    let case = Case {
        series,
        legacy,
        since: 0,
    };
    judge(case, &Limits::default(), 1000)
}

fn alone(series: &Series) -> (Verdict, Rule) {
    let finding = judged(series, &Series::default());
    (finding.verdict, finding.rule)
}

#[test]
fn few_requests_are_insufficient_and_many_good_ones_pass() {
    assert_eq!(
        alone(&steady(10, 1, 0, 0)),
        (Verdict::Insufficient, Rule::Within)
    );
    assert_eq!(alone(&steady(10, 40, 0, 0)), (Verdict::Pass, Rule::Within));
    assert_eq!(
        alone(&Series::default()),
        (Verdict::Insufficient, Rule::Within)
    );
}

#[test]
fn a_large_excess_is_proven_at_once_and_a_small_one_must_last() {
    assert_eq!(alone(&steady(2, 40, 4, 0)), (Verdict::Fail, Rule::Proven));
    // 2.5 % of 400: chance makes that of 1 % often enough.
    let small = alone(&steady(2, 40, 1, 0));
    assert_eq!(small, (Verdict::Insufficient, Rule::Over));
    assert_eq!(alone(&steady(7, 40, 1, 0)), (Verdict::Fail, Rule::Lasting));
}

#[test]
fn slowness_of_more_than_one_in_twenty_is_an_excess_over_p95() {
    let finding = judged(&steady(2, 100, 0, 30), &Series::default());
    assert_eq!(
        (finding.verdict, finding.measure),
        (Verdict::Fail, Measure::P95)
    );
    assert_eq!(alone(&steady(10, 100, 0, 4)).0, Verdict::Pass);
}

#[test]
fn five_failures_in_a_row_are_enough_for_a_tenant_with_few_requests() {
    let mut series = Series::default();
    for bin in [980, 982, 984, 986] {
        series.add(
            bin,
            Counts {
                requests: 1,
                errors: 1,
                ..Counts::default()
            },
        );
    }
    assert_eq!(alone(&series).0, Verdict::Insufficient, "four are not");
    series.add(
        988,
        Counts {
            requests: 1,
            errors: 1,
            ..Counts::default()
        },
    );
    assert_eq!(alone(&series), (Verdict::Fail, Rule::InARow));
    series.add(
        990,
        Counts {
            requests: 1,
            ..Counts::default()
        },
    );
    assert_eq!(alone(&series).0, Verdict::Insufficient, "a success ends it");
}

#[test]
fn half_of_twenty_failing_is_total_failure_too() {
    assert_eq!(
        alone(&steady(1, 4, 2, 0)),
        (Verdict::Fail, Rule::HalfFailing)
    );
}

#[test]
fn what_legacy_suffers_as_well_is_no_reason_to_go_back() {
    let slow = steady(10, 100, 0, 60);
    let finding = judged(&slow, &steady(10, 100, 0, 50));
    assert_eq!(
        (finding.verdict, finding.rule),
        (Verdict::Insufficient, Rule::Shared)
    );
    assert_eq!(
        judged(&slow, &steady(10, 100, 0, 2)).verdict,
        Verdict::Fail,
        "slow only here"
    );
    let down = steady(1, 4, 4, 0);
    assert_eq!(judged(&down, &steady(1, 4, 4, 0)).rule, Rule::Shared);
    assert_eq!(judged(&down, &steady(1, 4, 0, 0)).rule, Rule::InARow);
}

#[test]
fn what_happened_before_the_tenant_moved_does_not_count() {
    let series = steady(10, 40, 4, 0);
    let case = Case {
        series: &series,
        legacy: &Series::default(),
        since: 1000,
    };
    let finding = judge(case, &Limits::default(), 1000);
    assert_eq!(
        (finding.verdict, finding.requests),
        (Verdict::Insufficient, 0)
    );
}

#[test]
fn a_limit_of_zero_is_broken_by_one() {
    let mut reported = Series::default();
    reported.add(
        999,
        Counts {
            requests: 1000,
            errors: 1,
            ..Counts::default()
        },
    );
    let case = Case {
        series: &reported,
        legacy: &Series::default(),
        since: 0,
    };
    let by = |share| judge_outcome(case, &Limits::default(), share, 1000).rule;
    assert_eq!((by(0.0), by(0.01)), (Rule::NotOne, Rule::Within));
}
