//! The guard and waves that stand still: paused, held, or waiting for a person's go, their tenants are watched all the same.
//!
//! Its own file, because a wave that nobody advances is the one that nobody looks at.

use axum::http::StatusCode;
use ficus::rollout::guard::limits::IN_A_ROW;
use ficus::rollout::wave::{self, Defaults, Draft, Plan, WaveState};
use ficus::rollout::{Author, Scope, Source, Terms, roll_back};
use sqlx::PgPool;
use tokio::time::Instant;

use super::rollback::PATIENCE;
use super::tenant_of;
use crate::support::Database;
use crate::support::process::{Ficus, Setup, client, named_upstream, two_sides, upstream};

/// Each capability with the wave of its own name.
const WAVES: [&str; 3] = ["paused", "held", "waiting"];
const TENANTS: std::ops::RangeInclusive<i64> = 1..=12;
/// Whom the modern side serves badly: more than take their wave back, and not everybody.
const FAILING: std::ops::RangeInclusive<i64> = 1..=8;

fn by(source: Source) -> Terms {
    Terms::of(Author::new("kim", source, "a test"))
}

/// A wave of all tenants in two steps, of which the first has moved ten of the twelve.
async fn begin(pool: &PgPool, name: &str) {
    let gates = match name {
        "waiting" => vec!["go".to_owned()],
        _ => Vec::new(),
    };
    let draft = Draft {
        name: Some(name.to_owned()),
        classes: vec!["low".to_owned()],
        steps: Some(vec![80.0, 100.0]),
        bake: Some("0s".to_owned()),
        gates: Some(gates),
        ..Draft::default()
    };
    let plan = Plan {
        capability: name.to_owned(),
        waves: vec![draft],
        defaults: Defaults::default(),
        salt: None,
    };
    let terms = by(Source::Cli);
    wave::plan(pool, &terms, &plan, None).await.expect("a plan");
    wave::start(pool, &terms, name).await.expect("started");
}

async fn on_modern(pool: &PgPool, capability: &str) -> Vec<i64> {
    sqlx::query_scalar(
        "select tenant_id from ficus.flag where capability = $1 and state = 'modern' order by 1",
    )
    .bind(capability)
    .fetch_all(pool)
    .await
    .expect("the flags")
}

async fn state(pool: &PgPool, name: &str) -> WaveState {
    wave::wave(pool, name).await.expect("the wave").wave.state
}

/// A ficus before a modern side that fails for some, with the three waves as their names say.
async fn stage(database: &Database) -> Ficus {
    let pool = database.pool();
    let modern = upstream(|request| async move {
        let tenant = tenant_of(&request).parse();
        match tenant.is_ok_and(|it| FAILING.contains(&it)) {
            true => StatusCode::INTERNAL_SERVER_ERROR,
            false => StatusCode::OK,
        }
    })
    .await;
    let mut config = two_sides(named_upstream("legacy").await, modern);
    // Errors alone are to decide, also where a busy machine answers slowly.
    config += "\n[defaults.capability.guard]\np95 = \"off\"\n";
    for name in WAVES {
        config += &format!(
            "\n[capability.{name}]\neffect = \"read\"\nmodern = \"modern\"\n[[route]]\npath = \"/{name}\"\ncapability = \"{name}\"\n"
        );
    }
    let sql = "insert into ficus.capability (name) values ('paused'), ('held'), ('waiting');
         insert into ficus.tenant (id) select generate_series(1, 12)";
    sqlx::raw_sql(sql).execute(pool).await.expect("the tenants");
    for name in WAVES {
        begin(pool, name).await;
    }
    wave::pause(pool, &by(Source::Cli), "paused")
        .await
        .expect("paused");
    let first = on_modern(pool, "held").await[0].to_string();
    let first = Scope::Flags("held".to_owned(), vec![first.parse().expect("a tenant")]);
    roll_back(pool, &by(Source::Guard), &first)
        .await
        .expect("held by a rollback of one");
    assert_eq!(state(pool, "paused").await, WaveState::Paused);
    assert_eq!(state(pool, "held").await, WaveState::Held);
    assert_eq!(state(pool, "waiting").await, WaveState::Running);
    let advanced = wave::advance(pool, &by(Source::Cli), "waiting", None, &[]).await;
    assert!(advanced.is_err(), "it waits for a go");
    Setup::new(database.url(), &config)
        .roles("proxy,control")
        .start()
        .await
}

async fn served(ficus: &Ficus, capability: &str, tenant: i64) -> String {
    let request = client()
        .get(ficus.url(&format!("/{capability}")))
        .header("x-tenant-id", tenant.to_string());
    let answer = request.send().await.expect("an answer");
    let side = answer.headers()["x-ficus-served-by"].to_str();
    side.expect("text").to_owned()
}

#[tokio::test]
async fn waves_that_are_paused_held_or_wait_for_a_go_are_taken_back_all_the_same() {
    let database = Database::new().await;
    let ficus = stage(&database).await;
    let pool = database.pool();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut elsewhere = 0;
        for capability in WAVES {
            for tenant in TENANTS {
                // So many that a tenant's own failures prove it, before the failures of many, each too few, are the side's.
                for _ in 0..IN_A_ROW {
                    elsewhere += usize::from(served(&ficus, capability, tenant).await != "legacy");
                }
            }
        }
        if elsewhere == 0 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{elsewhere} are not taken back; its log:\n{}",
            ficus.log()
        );
    }
    let forced: i64 = sqlx::query_scalar("select count(*) from ficus.override")
        .fetch_one(pool)
        .await
        .expect("the overrides");
    assert_eq!(
        forced, 0,
        "the waves are to blame, and no more is taken back"
    );
    for capability in WAVES {
        assert_eq!(
            state(pool, capability).await,
            WaveState::Held,
            "{capability}"
        );
        let by_guard: i64 = sqlx::query_scalar(
            "select count(distinct c.revision) from ficus.change as c join ficus.change_item as i on i.revision = c.revision
             where c.actor = 'guard' and i.capability = $1",
        )
        .bind(capability)
        .fetch_one(pool)
        .await
        .expect("the audit");
        assert!(by_guard >= 1, "{capability}");
        // And it stays so until a person resumes it: neither a go nor an advance moves anybody.
        let moved = wave::advance(pool, &by(Source::Cli), capability, None, &[]).await;
        assert!(moved.is_err(), "{capability}");
        assert_eq!(served(&ficus, capability, 1).await, "legacy");
    }
}
