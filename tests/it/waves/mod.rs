//! Waves on a real PostgreSQL: planned, moved, held, taken back, raced.
//!
//! Its own folder, because each of these is a promise to an operator who moves tenants by the hundred.

mod api;
mod gates;
mod membership;
mod plans;
mod races;
mod runner;
mod taking_back;

use std::collections::BTreeSet;

use ficus::rollout::wave::{self, Defaults, Draft, Plan, PlannedWave, Transition};
use ficus::rollout::{Author, Error, Source, Terms};
use sqlx::{AssertSqlSafe, PgPool};

use crate::control_stage::terms;
use crate::support::Database;

/// A database with the capabilities `dashboard` (read) and `messaging` (send), and so many tenants of each class,
/// numbered from 1 in the order internal, low, medium, high.
async fn with_classes(internal: i64, low: i64, medium: i64, high: i64) -> Database {
    let db = Database::new().await;
    run(db.pool(), "insert into ficus.capability (name, effect) values ('dashboard', 'read'), ('messaging', 'send')").await;
    let mut first = 1;
    for (class, number) in [
        ("internal", internal),
        ("low", low),
        ("medium", medium),
        ("high", high),
    ] {
        let last = first + number - 1;
        run(
            db.pool(),
            &format!("insert into ficus.tenant (id, class) select generate_series({first}, {last}), '{class}'"),
        )
        .await;
        first += number;
    }
    db
}

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}

async fn count(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}

/// The tenants whose flag of the capability is modern.
async fn on_modern(pool: &PgPool, capability: &str) -> BTreeSet<i64> {
    let tenants: Vec<i64> = sqlx::query_scalar(
        "select tenant_id from ficus.flag where capability = $1 and state = 'modern'",
    )
    .bind(capability)
    .fetch_all(pool)
    .await
    .unwrap();
    tenants.into_iter().collect()
}

/// The members of a wave up to a step.
async fn members(pool: &PgPool, name: &str, step: i16) -> BTreeSet<i64> {
    let tenants: Vec<i64> = sqlx::query_scalar(
        "select m.tenant_id from ficus.wave_member as m join ficus.wave as w on w.id = m.wave_id where w.name = $1 and m.step <= $2",
    )
    .bind(name)
    .bind(step)
    .fetch_all(pool)
    .await
    .unwrap();
    tenants.into_iter().collect()
}

/// The bake time of a wave, over.
async fn baked(pool: &PgPool, name: &str) {
    sqlx::query("update ficus.wave set step_at = step_at - bake where name = $1")
        .bind(name)
        .execute(pool)
        .await
        .unwrap();
}

/// What the guard says of a capability, from now on.
async fn verdict(pool: &PgPool, capability: &str, word: &str) {
    sqlx::query(
        "insert into ficus.verdict (capability, tenant_id, at, verdict, evidence) values ($1, null, clock_timestamp(), $2, '{}')
         on conflict on constraint verdict_scope_key do update set at = excluded.at, verdict = excluded.verdict",
    )
    .bind(capability)
    .bind(word)
    .execute(pool)
    .await
    .unwrap();
}

fn guard() -> Terms {
    Terms::of(Author::new("guard", Source::Guard, "errors"))
}

fn looking() -> Terms {
    Terms {
        dry_run: true,
        ..terms()
    }
}

/// A wave of one class in these steps, without bake and gates but those named.
fn draft(name: &str, classes: &[&str], steps: &[f64]) -> Draft {
    Draft {
        name: Some(name.to_owned()),
        classes: classes.iter().map(|it| (*it).to_owned()).collect(),
        steps: Some(steps.to_vec()),
        bake: Some("0s".to_owned()),
        gates: Some(Vec::new()),
        ..Draft::default()
    }
}

async fn try_plan(
    pool: &PgPool,
    capability: &str,
    waves: Vec<Draft>,
) -> Result<Vec<PlannedWave>, Error> {
    let plan = Plan {
        capability: capability.to_owned(),
        waves,
        defaults: Defaults::default(),
        salt: None,
    };
    wave::plan(pool, &terms(), &plan, None)
        .await
        .map(|(_, waves)| waves)
}

async fn plan(pool: &PgPool, capability: &str, waves: Vec<Draft>) -> Vec<PlannedWave> {
    try_plan(pool, capability, waves).await.unwrap()
}

async fn start(pool: &PgPool, name: &str) -> Transition {
    wave::start(pool, &terms(), name).await.unwrap()
}

async fn advance(pool: &PgPool, name: &str) -> Transition {
    wave::advance(pool, &terms(), name, None, &[])
        .await
        .unwrap()
}

/// Through all its steps, to its end.
async fn complete(pool: &PgPool, name: &str) {
    start(pool, name).await;
    while advance(pool, name).await.wave.state != wave::WaveState::Complete {}
}
