//! The guard beside fixed thresholds, on twenty days of invented traffic; and what judging 20,000 tenants takes.
//!
//! Its own bench: `cargo bench --bench guard`. It is deterministic but for the times, prints the table of
//! docs/BENCHMARKS.md, and writes the plot docs/guard.svg. FICUS_SEEDS and FICUS_TENANTS make a trial run small.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot be set up has nothing to measure, and its figures are its output"
)]

#[path = "guard/plot.rs"]
mod plot;
mod support;
#[path = "support/traffic.rs"]
mod traffic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::Utc;
use ficus::rollout::guard::memory::{Bucket, Memory};
use ficus::rollout::guard::{Config, Guard};
use ficus::rollout::outcomes::{
    Asked, CapabilityId, Cell, Collector, Ending, Key, Shipper, Told, ship,
};
use ficus::telemetry::Metrics;
use traffic::{HEALTHY, MINUTE, Mood, Run, Script, run};

const DAY: i64 = 24 * 60 * MINUTE;
/// When what goes wrong begins.
const ONSET: i64 = 20 * MINUTE;

fn main() {
    let seeds = support::number("FICUS_SEEDS", 20) as u64;
    println!("{}", simulate(seeds));
    counting();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(scale(support::number("FICUS_TENANTS", 20_000)));
}

/// What a request's counting takes on its worker: a hundred tenants, and as many as one worker counts apart.
fn counting() {
    let (outcomes, _collector) = Collector::new(Arc::new(Metrics::new()));
    let capability = CapabilityId::of(traffic::CAPABILITY).expect("a number");
    for tenants in [100, 30_000] {
        let rounds = 1_000_000;
        let begun = Instant::now();
        for round in 0..rounds {
            let key = Key {
                capability,
                side: Asked::Modern,
                tenant: 1 + round % tenants,
            };
            outcomes.count(key, Ending::Answered, Duration::from_millis(40));
        }
        let each = begun.elapsed().as_nanos() / rounds as u128;
        println!("counting one request, {tenants} tenants: {each} ns");
        outcomes.hand_over(1);
    }
}

struct Case {
    what: &'static str,
    bins: i64,
    script: Box<Script>,
}

fn cases() -> Vec<Case> {
    let healthy = |what, per_minute| {
        let mood = Mood {
            per_minute,
            ..HEALTHY
        };
        let script: Box<Script> = Box::new(move |_| Some((mood, mood)));
        Case {
            what,
            bins: DAY,
            script,
        }
    };
    let from_onset = |what, before: Mood, after: Option<(Mood, Mood)>| {
        let script: Box<Script> = Box::new(move |bin| match bin < ONSET {
            true => Some((before, before)),
            false => after,
        });
        Case {
            what,
            bins: ONSET + 60 * MINUTE,
            script,
        }
    };
    let failing = Mood {
        errors: 0.05,
        ..HEALTHY
    };
    let few = Mood {
        per_minute: 3.0,
        even: true,
        ..HEALTHY
    };
    let dead = Mood { errors: 1.0, ..few };
    let slow = Mood {
        slow: 0.4,
        ..HEALTHY
    };
    vec![
        healthy("a healthy day, 0.1 % errors, 5 requests/min", 5.0),
        healthy("a healthy day, 0.1 % errors, 50 requests/min", 50.0),
        healthy("a healthy day, 0.1 % errors, 500 requests/min", 500.0),
        from_onset(
            "5 % errors at 200 requests/min",
            HEALTHY,
            Some((failing, HEALTHY)),
        ),
        from_onset(
            "total failure at 3 requests/min",
            few,
            Some((dead, HEALTHY)),
        ),
        from_onset(
            "modern alone slow (40 % above the limit)",
            HEALTHY,
            Some((slow, HEALTHY)),
        ),
        from_onset("both sides slow", HEALTHY, Some((slow, slow))),
        from_onset("metrics dead", HEALTHY, None),
    ]
}

fn simulate(seeds: u64) -> String {
    let mut table = format!(
        "| {seeds} seeds each | ficus | Flagger, 1 min × 10 | Argo Rollouts, failureLimit 0 |\n|---|---|---|---|\n"
    );
    let mut lines = Vec::new();
    for case in cases() {
        let runs: Vec<Run> = (0..seeds)
            .map(|seed| run(seed, case.bins, ONSET, &*case.script))
            .collect();
        let goes_wrong = case.bins < DAY;
        let of = |which: fn(&Run) -> Option<i64>| {
            let begin = if goes_wrong { ONSET } else { 0 };
            let times: Vec<Option<i64>> = runs
                .iter()
                .map(|run| which(run).map(|bin| (bin - begin) * 10))
                .collect();
            times
        };
        let rows = [
            of(|run| run.rolled_back),
            of(|run| run.flagger),
            of(|run| run.argo),
        ];
        let mut cells: Vec<String> = rows.iter().map(|times| words(times, goes_wrong)).collect();
        cells[0].push_str(&extra(&runs, case.what));
        table.push_str(&format!("| {} | {} |\n", case.what, cells.join(" | ")));
        lines.push((case.what, rows));
    }
    let path = "docs/guard.svg";
    std::fs::write(path, plot::draw(&lines)).expect("the plot is written");
    table
}

/// Of a healthy run: how many were rolled back. Of one that goes wrong: after how long.
fn words(times: &[Option<i64>], goes_wrong: bool) -> String {
    let mut done: Vec<i64> = times.iter().flatten().copied().collect();
    done.sort_unstable();
    let before = done.iter().filter(|time| **time <= 0).count();
    match (done.as_slice(), goes_wrong) {
        ([], _) => "no rollback".to_owned(),
        (done, false) => format!("**{} of {} rolled back**", done.len(), times.len()),
        (done, true) if before > 0 => format!(
            "{} of {} rolled back before anything was wrong",
            before,
            done.len()
        ),
        ([first, .., last], true) if done.len() == times.len() => {
            format!(
                "after {first} to {last} s (median {})",
                done[done.len() / 2]
            )
        }
        (done, true) => format!("{} of {} rolled back", done.len(), times.len()),
    }
}

fn extra(runs: &[Run], what: &str) -> String {
    let most = |of: fn(&Run) -> usize| runs.iter().map(of).max().unwrap_or(0);
    if what.starts_with("both") {
        let least = runs.iter().map(|run| run.shared_alerts).min().unwrap_or(0);
        return format!("; {least} to {} alerts", most(|run| run.shared_alerts));
    }
    if what.starts_with("total") {
        return format!(
            "; at most {} failed requests",
            most(|run| run.failed as usize)
        );
    }
    if what.starts_with("metrics") {
        return format!("; no-data for {} judgements", most(|run| run.verdicts[2]));
    }
    String::new()
}

/// A million tenants, of which so many had requests in the window: shipped by one statement, read, judged.
async fn scale(active: usize) {
    let server = support::Server::start().await;
    let pool = &server.pool;
    for sql in [
        "insert into ficus.capability (name, effect) values ('dashboard', 'read')",
        "insert into ficus.tenant (id) select generate_series(1, 1000000)",
        "insert into ficus.flag (tenant_id, capability, state) select generate_series(1, 1000000), 'dashboard', 'modern'",
    ] {
        sqlx::query(sql).execute(pool).await.expect("the tenants");
    }
    let mut good = Cell::default();
    for _ in 0..3 {
        good.count(Ending::Answered, Duration::from_millis(40));
    }
    let mut bad = Cell::default();
    bad.count(Ending::Failed, Duration::from_millis(40));
    let capability = CapabilityId::of(traffic::CAPABILITY).expect("a number");
    let from = Shipper {
        process: uuid::Uuid::new_v4(),
        instance: uuid::Uuid::new_v4(),
    };
    let bucket = |number: i64, is_bad: fn(i64) -> bool| {
        let cells = (1..=active as i64).map(|tenant| {
            let key = Key {
                capability,
                side: Asked::Modern,
                tenant: tenant * 50,
            };
            (
                key,
                if is_bad(tenant) {
                    bad.clone()
                } else {
                    good.clone()
                },
            )
        });
        Told {
            number,
            cells: cells.collect(),
        }
    };
    let mut ships = Vec::new();
    for age in (1..=6u64).rev() {
        let told = bucket(100 - age as i64, |tenant| tenant % 1000 == 0);
        let begun = Instant::now();
        ship(pool, from, &told, Duration::from_secs(10 * age), 0)
            .await
            .expect("one statement");
        ships.push(begun.elapsed());
    }
    support::report(
        &format!("one bucket of {active} tenants, one statement"),
        ships,
    );

    let guard = Guard::new(
        Arc::new(ArcSwap::from_pointee(Config {
            acts: false,
            ..Config::default()
        })),
        Arc::new(Metrics::new()),
    );
    let begun = Instant::now();
    guard.look(pool, Utc::now()).await.expect("the first look");
    println!(
        "a new leader reads six buckets of {active} tenants and judges: {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    let mut looks = Vec::new();
    for number in 100..105 {
        let told = bucket(number, |_| false);
        ship(pool, from, &told, Duration::from_secs(10), 0)
            .await
            .expect("one statement");
        let begun = Instant::now();
        guard.look(pool, Utc::now()).await.expect("a look");
        looks.push(begun.elapsed());
    }
    support::report(
        &format!("a look: {active} new rows read, {active} tenants judged"),
        looks,
    );

    let mut memory = Memory::default();
    for tenant in 1..=active as i64 {
        for at in 0..90 {
            let cell = good.clone();
            let (capability, side) = (traffic::CAPABILITY.to_owned(), Asked::Modern);
            let bucket = Bucket {
                at,
                capability,
                side,
                tenant,
                cell,
            };
            memory.add(&bucket, &Config::default());
        }
    }
    let begun = Instant::now();
    let suspects = memory.suspects(traffic::CAPABILITY, &Config::default().limits, 90);
    println!(
        "the judgement alone, {active} tenants with requests in each of 90 buckets: {:.0} ms, {} suspects",
        begun.elapsed().as_secs_f64() * 1000.0,
        suspects.len()
    );
}
