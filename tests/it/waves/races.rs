//! Operators, the guard, the runner and psql at the same wave at once.
//!
//! Its own file, because it plays thousands of writers and then reads the audit: whatever the order was, it must be one that
//! could have been without a race.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ficus::ids::Revision;
use ficus::rollout::wave::{self, advance_waves};
use ficus::rollout::{Author, Error, Scope, Source, Terms, roll_back};
use sqlx::PgPool;

use super::{count, draft, guard, plan, start, with_classes};
use crate::control_stage::terms;

/// Writers, unless FICUS_RACES says how many: what some seconds are enough for.
const WRITERS: usize = 600;
/// Of one run, when nobody asked for more: a loaded machine plays fewer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the writers met.
#[derive(Default)]
struct Tally {
    wrote: AtomicUsize,
    conflicts: AtomicUsize,
    refused: AtomicUsize,
}

async fn newest(pool: &PgPool) -> Revision {
    Revision(count(pool, "select revision from ficus.clock").await)
}

/// One writer's act, by its number.
async fn write(pool: &PgPool, number: usize) -> Result<u64, Error> {
    let person = Terms::of(Author::new(format!("kim-{number}"), Source::Cli, "a race"));
    match number % 8 {
        // Operators who saw a revision and will have no other.
        0 | 1 => {
            let seen = Terms {
                expect_revision: Some(newest(pool).await),
                ..person
            };
            wave::resume(pool, &seen, "w")
                .await
                .map(|it| it.change.changed)
        }
        2 | 3 => wave::advance(pool, &person, "w", None, &[])
            .await
            .map(|it| it.change.changed),
        4 => roll_back(pool, &person, &Scope::Wave("w".to_owned()))
            .await
            .map(|it| it.changed),
        5 => roll_back(pool, &guard(), &Scope::Wave("w".to_owned()))
            .await
            .map(|it| it.changed),
        6 => advance_waves(pool, None).await.map(|()| 0),
        _ => {
            let flip = sqlx::query(
                "update ficus.flag set state = 'legacy' where tenant_id = 1 + $1 % 12 and state = 'modern'",
            );
            let flipped = flip.bind(number as i64).execute(pool).await;
            Ok(flipped.map_err(Error::from)?.rows_affected())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_writers_one_wins_each_revision_and_no_rollback_is_lost() {
    let asked = std::env::var("FICUS_RACES")
        .ok()
        .and_then(|it| it.parse().ok());
    let writers = asked.unwrap_or(WRITERS);
    let db = with_classes(0, 12, 0, 0).await;
    let steps: Vec<f64> = (1..=50).map(|step| f64::from(step) * 2.0).collect();
    let mut endless = draft("w", &["low"], &steps);
    endless.auto = Some(true);
    plan(db.pool(), "dashboard", vec![endless]).await;
    start(db.pool(), "w").await;
    let first = newest(db.pool()).await;

    let (next, tally, begun) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Tally::default()),
        Instant::now(),
    );
    let racers = (0..8).map(|_| {
        let (pool, next, tally) = (db.pool().clone(), Arc::clone(&next), Arc::clone(&tally));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= writers || asked.is_none() && begun.elapsed() > PATIENCE {
                    return;
                }
                let met = match write(&pool, number).await {
                    Ok(_) => &tally.wrote,
                    Err(Error::Conflict { .. } | Error::WaveMoved { .. }) => &tally.conflicts,
                    // Locked: its turn did not come in time, on a loaded machine.
                    Err(Error::WaveRefused { .. } | Error::Gates { .. } | Error::Locked(_)) => {
                        &tally.refused
                    }
                    Err(other) => panic!("writer {number}: {other}"),
                };
                met.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for racer in racers.collect::<Vec<_>>() {
        racer.await.unwrap();
    }
    let (wrote, conflicts) = (
        tally.wrote.load(Ordering::Relaxed),
        tally.conflicts.load(Ordering::Relaxed),
    );
    assert!(
        wrote > 0 && conflicts > 0,
        "{wrote} wrote, {conflicts} lost: no race was played"
    );
    if asked.is_some() {
        let refused = tally.refused.load(Ordering::Relaxed);
        let revisions = newest(db.pool()).await.0 - first.0;
        let took = begun.elapsed().as_secs_f64();
        say(&format!(
            "{writers} writers in {took:.1} s: {wrote} went through, {conflicts} lost to a newer revision, {refused} were refused; {revisions} revisions"
        ));
    }
    the_audit_tells_one_story(db.pool(), first).await;

    // And whatever the race left: a rollback takes everyone back whom the wave has moved.
    roll_back(db.pool(), &terms(), &Scope::Wave("w".to_owned()))
        .await
        .unwrap();
    let left = "select count(*) from ficus.flag as f join ficus.wave_member as m
                on m.tenant_id = f.tenant_id and m.capability = f.capability and m.moved_revision = f.revision where f.state = 'modern'";
    assert_eq!(count(db.pool(), left).await, 0);
}

#[allow(clippy::print_stdout, reason = "figures for docs/BENCHMARKS.md")]
fn say(figures: &str) {
    println!("{figures}");
}

/// Revision, entity, source, tenant, before, after.
type Item = (
    i64,
    String,
    String,
    Option<i64>,
    Option<serde_json::Value>,
    serde_json::Value,
);

/// Revision by revision: each changed once, each transition from the state before it; nothing moves forward while the wave
/// is held, until a person resumes it, and no rollback leaves behind whom the wave has moved.
async fn the_audit_tells_one_story(pool: &PgPool, first: Revision) {
    let gaps = "select (select revision from ficus.clock) - (select count(*) from ficus.change)";
    assert_eq!(count(pool, gaps).await, 0, "one change a revision");
    let items: Vec<Item> = sqlx::query_as(
        "select c.revision, i.entity, c.source, i.tenant_id, i.before, i.after from ficus.change as c
         join ficus.change_item as i on i.revision = c.revision where c.revision > $1 order by c.revision",
    )
    .bind(first.0)
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(!items.is_empty());
    let mut wave: Option<serde_json::Value> = None;
    let mut flags: BTreeMap<i64, String> = BTreeMap::new();
    let before: Vec<(i64, String)> = sqlx::query_as(
        "select distinct on (tenant_id) tenant_id, after ->> 'state' from ficus.change_item
         where entity = 'flag' and revision <= $1 order by tenant_id, revision desc",
    )
    .bind(first.0)
    .fetch_all(pool)
    .await
    .unwrap();
    flags.extend(before);
    for (revision, entity, source, tenant, before, after) in items {
        if entity == "wave" {
            if let Some(known) = &wave {
                assert_eq!(
                    before.as_ref(),
                    Some(known),
                    "revision {revision} follows the one before it"
                );
            }
            let was = before
                .as_ref()
                .map_or("", |it| it["state"].as_str().unwrap_or_default());
            let is = after["state"].as_str().unwrap_or_default();
            if was == "held" {
                assert_eq!(
                    (is, source.as_str()),
                    ("running", "cli"),
                    "revision {revision}: only a person resumes"
                );
            }
            let stepped = before
                .as_ref()
                .is_some_and(|it| it["step"] != after["step"]);
            assert!(
                !stepped || was == "running",
                "revision {revision} stepped from {was}"
            );
            if is == "held" {
                // Only psql flips beside the wave here, and only to legacy.
                let modern = flags.values().filter(|state| *state == "modern").count();
                assert_eq!(
                    modern, 0,
                    "revision {revision}: the rollback left somebody behind"
                );
            }
            wave = Some(after);
        } else if let (Some(tenant), Some(state)) = (tenant, after["state"].as_str()) {
            flags.insert(tenant, state.to_owned());
        }
    }
}
