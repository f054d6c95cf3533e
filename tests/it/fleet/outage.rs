//! PostgreSQL stops, dies and hangs under load; the proxies go on, and heal.

use ficus::db;
use ficus::embedded::StopMode;
use sqlx::postgres::PgPoolOptions;

use super::*;
use crate::support::Cluster;

#[tokio::test]
async fn a_database_that_goes_away_and_comes_back_costs_no_request() {
    let mut cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    let fleet = two_proxies(cluster.url(), &sides().await).await;
    let load = Load::start(&fleet, &[("2", "modern"), ("3", "legacy")]);
    load.pass(100).await;
    for (mode, side) in [(StopMode::Fast, "modern"), (StopMode::Immediate, "legacy")] {
        cluster.stop(mode).await;
        for ficus in &fleet {
            until_metric(ficus, "ficus_database_up", |up| up == 0.0).await;
        }
        load.pass(200).await;
        cluster.start().await;
        // Before the proxies are back.
        set(&cluster.pool(), 4, side).await;
        for ficus in &fleet {
            until_served(ficus, "4", side).await;
            until_metric(ficus, "ficus_database_up", |up| up == 1.0).await;
        }
    }
    load.end().await;
}

/// Sessions that neither answer nor close, as behind a link that swallows packets. They go on when this is dropped.
struct Hung(Vec<i32>);

impl Hung {
    async fn all_sessions_of_the_proxy(pool: &PgPool) -> Self {
        let pids =
            sqlx::query_scalar("select pid from pg_stat_activity where application_name = 'ficus'");
        let hung = Self(pids.fetch_all(pool).await.expect("listed"));
        hung.signal("-STOP");
        hung
    }

    fn signal(&self, name: &str) {
        // One that has ended meanwhile needs no signal.
        let mut kill = std::process::Command::new("kill");
        let sent = kill.arg(name).args(self.0.iter().map(i32::to_string));
        drop(sent.stderr(std::process::Stdio::null()).status());
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

#[tokio::test]
async fn a_database_that_hangs_again_and_again_is_given_up_each_time_and_asked_anew() {
    let cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    let ficus = Setup::new(cluster.url(), &sides().await)
        .variable("FICUS__FLAGS__POLL", "200ms")
        .start()
        .await;
    let options = db::connect_options(cluster.url()).expect("our own URL");
    let test = PgPoolOptions::new().connect_lazy_with(options.application_name("test"));
    let mut hung = Vec::new();
    // Two tables, since a session that hangs keeps the lock that it is given in the end.
    for (side, lock_table) in [
        ("modern", "lock table ficus.clock in access exclusive mode"),
        ("legacy", "lock table ficus.change in access exclusive mode"),
    ] {
        until_metric(&ficus, "ficus_database_up", |up| up == 1.0).await;
        // In the middle of a statement, which is where nothing but a deadline helps.
        let mut lock = test.begin().await.expect("a transaction");
        sqlx::query(lock_table)
            .execute(&mut *lock)
            .await
            .expect("locked");
        eventually("the proxy asks", || async {
            let waits = "select exists (select from pg_stat_activity where application_name = 'ficus' and wait_event_type = 'Lock')";
            let waits: bool = sqlx::query_scalar(waits).fetch_one(&test).await.expect("asked");
            waits.then_some(())
        })
        .await;
        hung.push(Hung::all_sessions_of_the_proxy(&test).await);
        lock.rollback().await.expect("unlocked");
        set(&test, 3, side).await;
        until_served(&ficus, "3", side).await;
    }
}
