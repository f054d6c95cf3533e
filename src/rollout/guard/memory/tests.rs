//! Whole capabilities: who fails, and how much goes back.
//!
//! Its own file, because it is as long as what it tests.

use std::time::Duration;

use super::super::judge::Rule;
use super::*;
use crate::rollout::outcomes::Ending;

fn bucket(at: Bin, side: Asked, tenant: i64, good: u64, bad: u64) -> Bucket {
    let mut cell = Cell::default();
    for _ in 0..good {
        cell.count(Ending::Answered, Duration::from_millis(40));
    }
    for _ in 0..bad {
        cell.count(Ending::Failed, Duration::from_millis(40));
    }
    Bucket {
        at,
        capability: "dashboard".to_owned(),
        side,
        tenant,
        cell,
    }
}

fn judged(memory: &Memory, standing: &Standing) -> Judgement {
    let limits = Limits::default();
    let mut standing = standing.clone();
    for tenant in memory.suspects("dashboard", &limits, 100) {
        standing.tenants.entry(tenant).or_insert((0, None));
    }
    memory.judge("dashboard", &limits, &standing, 3, 100)
}

fn with(buckets: &[Bucket]) -> Memory {
    let mut memory = Memory::default();
    for bucket in buckets {
        memory.add(bucket, &Config::default());
    }
    memory
}

#[test]
fn the_tenant_that_fails_is_told_from_those_that_do_not() {
    let mut buckets: Vec<_> = (90..100)
        .map(|at| bucket(at, Asked::Modern, 1, 30, 0))
        .collect();
    buckets.extend((94..100).map(|at| bucket(at, Asked::Modern, 2, 0, 1)));
    let judgement = judged(&with(&buckets), &Standing::default());
    assert_eq!(judgement.extents, [Extent::Tenants(vec![2])]);
    assert_eq!(judgement.failing[0].finding.rule, Rule::InARow);
    assert_eq!(judgement.verdict, Verdict::Fail);
}

#[test]
fn a_whole_that_fails_though_no_tenant_has_enough_is_the_capability() {
    let buckets: Vec<_> = (1..=300)
        .map(|tenant| {
            bucket(
                95 + tenant % 5,
                Asked::Modern,
                tenant,
                u64::from(tenant % 8 > 0),
                u64::from(tenant % 8 == 0),
            )
        })
        .collect();
    let judgement = judged(&with(&buckets), &Standing::default());
    assert_eq!(judgement.failing, []);
    assert_eq!(judgement.extents, [Extent::Capability]);
}

#[test]
fn a_silent_proxy_turns_a_pass_into_no_data_and_never_into_a_rollback() {
    let buckets: Vec<_> = (80..100)
        .map(|at| bucket(at, Asked::Modern, 1, 40, 0))
        .collect();
    let silent = Standing {
        silent: true,
        ..Standing::default()
    };
    let memory = with(&buckets);
    assert_eq!(judged(&memory, &Standing::default()).verdict, Verdict::Pass);
    let judgement = judged(&memory, &silent);
    assert_eq!(
        (judgement.verdict, judgement.extents.len()),
        (Verdict::NoData, 0)
    );
}

#[test]
fn what_the_modern_side_reports_fails_its_tenant() {
    let limits = Limits {
        outcomes: [("duplicate".to_owned(), 0.0)].into(),
        ..Limits::default()
    };
    let mut memory = Memory::default();
    memory.set_outcome(99, "dashboard", "duplicate", 4, (100, 1));
    memory.set_outcome(99, "dashboard", "duplicate", 0, (100, 1));
    assert_eq!(memory.suspects("dashboard", &limits, 100), [4]);
    let standing = Standing {
        tenants: [(4, (0, None))].into(),
        ..Standing::default()
    };
    let judgement = memory.judge("dashboard", &limits, &standing, 3, 100);
    assert_eq!(judgement.extents, [Extent::Tenants(vec![4])]);
    assert_eq!(
        judgement.failing[0].finding.kind.as_deref(),
        Some("duplicate")
    );
}

#[test]
fn quantiles_are_the_bounds_that_they_lie_under() {
    let memory = with(&[bucket(99, Asked::Modern, 1, 100, 0)]);
    let found = memory.quantiles("dashboard", Asked::Modern, 90, 100);
    assert_eq!(found, [Some(50), Some(50), Some(50)]);
    let none = memory.quantiles("dashboard", Asked::Legacy, 90, 100);
    assert_eq!(none, [None; 3]);
}
