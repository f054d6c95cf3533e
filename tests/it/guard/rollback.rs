//! A modern side that errs, slows down or dies, and who is back on legacy afterwards.
//!
//! Its own file: each test waits for real buckets of 10 s, and asks as clients would until it sees the side change.

use std::time::Duration;

use axum::http::StatusCode;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use super::{ask, guarded, seed, tenant_of};
use crate::support::Database;
use crate::support::process::Ficus;

/// Several buckets, on a slow machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// Asks for both tenants until tenant 2 is served by legacy.
async fn until_taken_back(ficus: &Ficus) {
    let deadline = Instant::now() + PATIENCE;
    while ask(ficus, 2).await.0 != "legacy" {
        assert!(
            Instant::now() < deadline,
            "not taken back; its log:\n{}",
            ficus.log()
        );
        ask(ficus, 3).await;
    }
}

/// Of the newest change by the guard: its reason, and the evidence.
async fn told(pool: &PgPool) -> (String, serde_json::Value) {
    sqlx::query_as("select reason, evidence from ficus.change where source = 'guard' order by revision desc limit 1")
        .fetch_one(pool)
        .await
        .expect("the guard's change")
}

#[tokio::test]
async fn the_tenant_whose_requests_fail_is_back_on_legacy_and_its_neighbour_stays() {
    let db = Database::new().await;
    seed(db.pool()).await;
    let ficus = guarded(db.url(), "", |request| async move {
        match tenant_of(&request) {
            "2" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        }
    })
    .await;
    until_taken_back(&ficus).await;
    assert_eq!(ask(&ficus, 3).await, ("modern".to_owned(), StatusCode::OK));
    let (reason, evidence) = told(db.pool()).await;
    assert!(reason.starts_with("tenant 2: "), "{reason}");
    assert_eq!(evidence["failing"][0]["tenant"], 2, "{evidence}");
    let metrics = ficus.metrics().await;
    assert!(
        metrics.contains(r#"ficus_rollbacks_total{capability="dashboard",cause="guard-errors"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_modern_side_that_is_slow_for_everybody_is_left_by_all() {
    let db = Database::new().await;
    seed(db.pool()).await;
    let limits = "p95 = \"50ms\"\nmin_requests = 20\nwindow = \"10s\"\n";
    let ficus = guarded(db.url(), limits, |_| async {
        sleep(Duration::from_millis(120)).await;
        StatusCode::OK
    })
    .await;
    until_taken_back(&ficus).await;
    let deadline = Instant::now() + PATIENCE;
    while ask(&ficus, 3).await.0 != "legacy" {
        assert!(Instant::now() < deadline, "its log:\n{}", ficus.log());
    }
    let (reason, _) = told(db.pool()).await;
    assert!(reason.contains("slower than the limit of p95"), "{reason}");
}

#[tokio::test]
async fn a_modern_side_that_is_dead_is_left_by_all_though_legacy_answers_in_its_place() {
    let db = Database::new().await;
    seed(db.pool()).await;
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("its address")
    };
    let config = crate::support::process::two_sides(
        crate::support::process::named_upstream("legacy").await,
        gone,
    );
    let config = format!("{config}\n[defaults.capability]\nfallback = \"legacy\"\n");
    let ficus = crate::support::process::Setup::new(db.url(), &config)
        .roles("proxy,control")
        .start()
        .await;
    let deadline = Instant::now() + PATIENCE;
    let forced = "select (exists (select from ficus.override where capability = 'dashboard'))
                      or not exists (select from ficus.flag where state = 'modern')";
    loop {
        for tenant in [2, 3] {
            assert_eq!(
                ask(&ficus, tenant).await.1,
                StatusCode::OK,
                "nobody sees it"
            );
        }
        let all: bool = sqlx::query_scalar(forced)
            .fetch_one(db.pool())
            .await
            .expect("the state");
        if all {
            break;
        }
        assert!(Instant::now() < deadline, "its log:\n{}", ficus.log());
        sleep(Duration::from_millis(50)).await;
    }
    let counted: i64 =
        sqlx::query_scalar("select coalesce(sum(connect_failures), 0)::bigint from ficus.bucket")
            .fetch_one(db.pool())
            .await
            .expect("the counts");
    assert!(counted >= 5, "{counted}");
}
