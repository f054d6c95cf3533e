//! PostgreSQL stops, dies and hangs under load; the proxies go on, and heal.

use ficus::embedded::StopMode;

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

#[tokio::test]
async fn a_database_that_hangs_is_given_up_and_asked_anew() {
    let cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    let ficus = Setup::new(cluster.url(), &sides().await)
        .variable("FICUS__FLAGS__HEARTBEAT", "200ms")
        .start()
        .await;
    until_metric(&ficus, "ficus_database_up", |up| up == 1.0).await;
    // The proxy's sessions stop in the middle of whatever they do, and nothing tells the proxy.
    let pids: Vec<i32> = sqlx::query_scalar(
        "select pid from pg_stat_activity where datname = 'ficus' and application_name = 'ficus' and pid <> pg_backend_pid()",
    )
    .fetch_all(&cluster.pool())
    .await
    .expect("listed");
    let signal = |name: &str| {
        let pids = pids.iter().map(i32::to_string);
        let sent = std::process::Command::new("kill")
            .arg(name)
            .args(pids)
            .status();
        assert!(sent.expect("kill runs").success());
    };
    signal("-STOP");
    set(&cluster.pool(), 3, "modern").await;
    until_served(&ficus, "3", "modern").await;
    signal("-CONT");
}
