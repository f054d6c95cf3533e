//! The promises of the guard, on hours of invented traffic; the bench `guard` plays days of it.
//!
//! Its own file: it is pure and long.

#[path = "../../../benches/support/traffic.rs"]
mod traffic;

use traffic::{HEALTHY, MINUTE, Mood, run};

const SEEDS: u64 = 4;
const ONSET: i64 = 15 * MINUTE;

#[test]
fn healthy_traffic_is_never_taken_back() {
    for per_minute in [5.0, 50.0, 500.0] {
        let mood = Mood {
            per_minute,
            ..HEALTHY
        };
        for seed in 0..SEEDS {
            let run = run(seed, 120 * MINUTE, 0, &move |_| Some((mood, mood)));
            assert_eq!(
                run.rollbacks, 0,
                "{per_minute} a minute, seed {seed}: {run:?}"
            );
        }
    }
}

#[test]
fn five_percent_of_errors_are_taken_back_once_and_within_three_minutes() {
    let failing = Mood {
        errors: 0.05,
        ..HEALTHY
    };
    for seed in 0..20 {
        let script = move |bin| Some((if bin < ONSET { HEALTHY } else { failing }, HEALTHY));
        let run = run(seed, ONSET + 30 * MINUTE, ONSET, &script);
        let after = run.rolled_back.map(|bin| bin - ONSET);
        assert!(
            after.is_some_and(|bins| (1..=3 * MINUTE).contains(&bins)) && run.rollbacks == 1,
            "seed {seed}: {run:?}"
        );
    }
}

#[test]
fn a_tenant_with_three_requests_a_minute_that_all_fail_loses_five() {
    let few = Mood {
        per_minute: 3.0,
        even: true,
        ..HEALTHY
    };
    let dead = Mood { errors: 1.0, ..few };
    for seed in 0..SEEDS {
        let script = move |bin| Some((if bin < ONSET { few } else { dead }, HEALTHY));
        let run = run(seed, ONSET + 30 * MINUTE, ONSET, &script);
        assert!(
            run.rolled_back.is_some() && run.failed <= 5,
            "seed {seed}: {run:?}"
        );
    }
}

#[test]
fn a_slowdown_of_both_sides_takes_nobody_back_and_is_told_once() {
    let slow = Mood {
        slow: 0.4,
        ..HEALTHY
    };
    for seed in 0..SEEDS {
        let script = move |bin| {
            Some(if bin < ONSET {
                (HEALTHY, HEALTHY)
            } else {
                (slow, slow)
            })
        };
        let run = run(seed, ONSET + 60 * MINUTE, ONSET, &script);
        assert_eq!(
            (run.rollbacks, run.shared_alerts),
            (0, 1),
            "seed {seed}: {run:?}"
        );
    }
}

#[test]
fn dead_metrics_hold_everything() {
    for seed in 0..SEEDS {
        let script = move |bin| (bin < ONSET).then_some((HEALTHY, HEALTHY));
        let run = run(seed, ONSET + 60 * MINUTE, ONSET, &script);
        assert_eq!(run.rollbacks, 0, "seed {seed}");
        assert_eq!(
            run.verdicts[2],
            60 * MINUTE as usize,
            "no-data to the end: {run:?}"
        );
        assert!(run.argo.is_some(), "what has no such verdict goes back");
    }
}
