//! The guard and a capability that moves by share: what fails is back on legacy, by a flag or by an override above the share.
//!
//! Its own file, because there whoever fails has no flag of their own that could be set back.

use axum::extract::Request;
use axum::http::StatusCode;
use sqlx::PgPool;
use tokio::time::Instant;

use super::rollback::PATIENCE;
use super::{ask, tenant_of};
use crate::support::Database;
use crate::support::process::{
    Ficus, Setup, client, eventually, named_upstream, two_sides, upstream,
};

/// A ficus that splits by `sticky`, at 100 %, before tenants 1 to 12 without flags.
async fn split<F, Fut>(database: &Database, sticky: &str, modern: F) -> Ficus
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StatusCode> + Send,
{
    let by = format!("[capability.dashboard]\nby = \"split\"\nsticky = \"{sticky}\"\n");
    let config = two_sides(named_upstream("legacy").await, upstream(modern).await)
        .replace("[capability.dashboard]\n", &by);
    let sql = "insert into ficus.tenant (id) select generate_series(1, 12)";
    sqlx::raw_sql(sql)
        .execute(database.pool())
        .await
        .expect("the tenants");
    let ficus = Setup::new(database.url(), &config)
        .roles("proxy,control")
        .start()
        .await;
    eventually("the capability is registered", || async {
        let share = "insert into ficus.split (capability, percent) select name, 100 from ficus.capability where split_by = $1";
        let set = sqlx::query(share).bind(sticky).execute(database.pool());
        (set.await.expect("the share").rows_affected() == 1).then_some(())
    })
    .await;
    ficus
}

/// What stands above and below: the capability is forced, its share, and the tenants with a flag.
async fn standing(pool: &PgPool) -> (bool, f64, Vec<(i64, String)>) {
    let forced = sqlx::query_scalar(
        "select exists (select from ficus.override where capability = 'dashboard' and action = 'force-legacy')",
    );
    let share = sqlx::query_scalar("select percent::float8 from ficus.split");
    let flags = sqlx::query_as("select tenant_id, state from ficus.flag order by tenant_id");
    (
        forced.fetch_one(pool).await.expect("the override"),
        share.fetch_one(pool).await.expect("the share"),
        flags.fetch_all(pool).await.expect("the flags"),
    )
}

#[tokio::test]
async fn a_tenant_that_fails_in_a_share_is_pinned_to_legacy_and_the_others_stay_in_it() {
    let database = Database::new().await;
    let ficus = split(&database, "tenant", |request| async move {
        match tenant_of(&request) {
            "2" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        }
    })
    .await;
    let deadline = Instant::now() + PATIENCE;
    while ask(&ficus, 2).await.0 != "legacy" || standing(database.pool()).await.2.is_empty() {
        assert!(Instant::now() < deadline, "its log:\n{}", ficus.log());
        ask(&ficus, 3).await;
    }
    assert_eq!(ask(&ficus, 3).await, ("modern".to_owned(), StatusCode::OK));
    let pinned = vec![(2, "legacy".to_owned())];
    assert_eq!(standing(database.pool()).await, (false, 100.0, pinned));
}

#[tokio::test]
async fn a_share_whose_modern_side_fails_for_everybody_is_left_by_all() {
    let database = Database::new().await;
    let ficus = split(&database, "tenant", |_| async { StatusCode::BAD_GATEWAY }).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Who is answered by neither, since the modern side's breaker is open, has not left it.
        let mut legacy = 0;
        for tenant in 1..=12 {
            legacy += usize::from(ask(&ficus, tenant).await.0 == "legacy");
        }
        if legacy == 12 {
            break;
        }
        assert!(Instant::now() < deadline, "its log:\n{}", ficus.log());
    }
    // The share stands as it was, beneath: who clears the override has it again.
    let (forced, share, pinned) = standing(database.pool()).await;
    // At once, or, where the last of them failed alone in their bucket, the rest one by one.
    assert!(forced || pinned.len() == 12, "{pinned:?}");
    assert_eq!(share, 100.0);
}

#[tokio::test]
async fn visitors_of_no_tenant_are_a_share_that_is_left_as_well() {
    let database = Database::new().await;
    let ficus = split(&database, "session", |_| async { StatusCode::BAD_GATEWAY }).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client().get(ficus.url("/dashboard")).send().await;
        let answer = answer.expect("an answer");
        if answer.headers()["x-ficus-served-by"] == "legacy" && standing(database.pool()).await.0 {
            break;
        }
        assert!(Instant::now() < deadline, "its log:\n{}", ficus.log());
    }
    assert_eq!(standing(database.pool()).await, (true, 100.0, Vec::new()));
}
