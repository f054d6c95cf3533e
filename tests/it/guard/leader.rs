//! Who leads, and who does when that one is gone.
//!
//! Its own file, because it kills and freezes processes.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;

use crate::support::Database;
use crate::support::process::{Setup, eventually};

/// The session that has the lead.
async fn leading(pool: &PgPool) -> Option<i32> {
    sqlx::query_scalar(
        "select l.pid from pg_locks as l join pg_database as d on d.oid = l.database
         where l.locktype = 'advisory' and l.classid = 102 and l.granted and d.datname = current_database()",
    )
    .fetch_optional(pool)
    .await
    .expect("the locks")
}

/// Two that may lead; the first does. It is sent `signal`; answers how long nobody led after it.
async fn time_to_succeed(signal: &str) -> Duration {
    let db = Database::new().await;
    let first = Setup::new(db.url(), "")
        .roles("control")
        .name("a")
        .start()
        .await;
    let old = eventually("somebody leads", || leading(db.pool())).await;
    let _second = Setup::new(db.url(), "")
        .roles("control")
        .name("b")
        .start()
        .await;
    let begun = Instant::now();
    first.signal(signal);
    eventually("another leads", || async {
        leading(db.pool()).await.filter(|pid| *pid != old)
    })
    .await;
    let took = begun.elapsed();
    if signal == "STOP" {
        first.signal("CONT");
    }
    took
}

#[tokio::test]
async fn a_killed_leader_is_succeeded_within_15_seconds() {
    let took = time_to_succeed("KILL").await;
    assert!(took <= Duration::from_secs(15), "{took:?}");
}

#[tokio::test]
async fn a_leader_that_hangs_is_succeeded_within_15_seconds() {
    let took = time_to_succeed("STOP").await;
    assert!(took <= Duration::from_secs(15), "{took:?}");
}
