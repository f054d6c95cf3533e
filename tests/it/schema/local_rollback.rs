//! A rollback that one proxy took alone comes home to the database: once, and not over newer rows.
//!
//! Its own file, because it is the only write whose time lies before its transaction.

use super::{count, refusal, revision, run, state, text, with_tenants};
use crate::support::Database;

const ID: &str = "'0198c0de-0000-7000-8000-000000000001'";

/// Tenants 1 and 2 with both capabilities on the modern side.
async fn all_modern() -> Database {
    let db = with_tenants(2).await;
    let flip = "insert into ficus.flag (tenant_id, capability, state) select t.id, c.name, 'modern' from ficus.tenant as t, ficus.capability as c";
    run(db.pool(), flip).await;
    db
}

/// The call with everything but the scope filled in.
fn replay(base: i64, scope: &str) -> String {
    format!("select ficus.replay_local_rollback({ID}, '2026-01-01T03:00:00Z', {base}, {scope})")
}

#[tokio::test]
async fn a_tenants_flags_go_back_and_nobody_elses() {
    let db = all_modern().await;
    run(
        db.pool(),
        &replay(revision(db.pool()).await, "array[1], null, false"),
    )
    .await;
    assert_eq!(
        state(db.pool(), 1, "dashboard").await.as_deref(),
        Some("legacy")
    );
    assert_eq!(
        state(db.pool(), 1, "messaging").await.as_deref(),
        Some("legacy")
    );
    assert_eq!(
        state(db.pool(), 2, "dashboard").await.as_deref(),
        Some("modern")
    );
}

#[tokio::test]
async fn the_same_action_comes_home_once() {
    let db = all_modern().await;
    let call = replay(revision(db.pool()).await, "array[1], null, false");
    run(db.pool(), &call).await;
    run(
        db.pool(),
        "update ficus.flag set state = 'modern' where tenant_id = 1",
    )
    .await;
    let before = revision(db.pool()).await;
    run(db.pool(), &call).await;
    assert_eq!(revision(db.pool()).await, before);
    assert_eq!(
        state(db.pool(), 1, "dashboard").await.as_deref(),
        Some("modern")
    );
    assert_eq!(
        count(
            db.pool(),
            "select count(*) from ficus.change where entity = 'local-rollback'"
        )
        .await,
        1
    );
}

#[tokio::test]
async fn a_flag_that_somebody_set_since_stays_as_it_is() {
    let db = all_modern().await;
    let base = revision(db.pool()).await;
    run(
        db.pool(),
        "update ficus.flag set state = 'shadow' where tenant_id = 1 and capability = 'dashboard'",
    )
    .await;
    run(db.pool(), &replay(base, "array[1], null, false")).await;
    assert_eq!(
        state(db.pool(), 1, "dashboard").await.as_deref(),
        Some("shadow")
    );
    assert_eq!(
        state(db.pool(), 1, "messaging").await.as_deref(),
        Some("legacy")
    );
}

#[tokio::test]
async fn an_action_with_nothing_left_to_move_still_stands_in_the_audit() {
    let db = with_tenants(1).await;
    let before = revision(db.pool()).await;
    run(
        db.pool(),
        &format!(
            "begin; select set_config('ficus.actor', 'ada', true), set_config('ficus.reason', 'mails twice', true); {}; commit",
            replay(before, "array[1], null, false")
        ),
    )
    .await;
    let row = "select actor || '/' || source || '/' || reason || '/' || extract(hour from acted_at at time zone 'UTC')
               from ficus.change where entity = 'local-rollback'";
    assert_eq!(
        text(db.pool(), row).await.as_deref(),
        Some("ada/local/mails twice/3")
    );
    assert_eq!(revision(db.pool()).await, before + 1);
}

#[tokio::test]
async fn a_capability_or_everything_comes_home_as_an_override() {
    for (scope, stands) in [
        ("null, 'dashboard', false", "dashboard"),
        ("null, null, true", "everything"),
    ] {
        let db = all_modern().await;
        run(db.pool(), &replay(revision(db.pool()).await, scope)).await;
        let overrides = "select string_agg(coalesce(capability, 'everything'), ',') from ficus.override where action = 'force-legacy'";
        assert_eq!(text(db.pool(), overrides).await.as_deref(), Some(stands));
        assert_eq!(
            state(db.pool(), 1, "dashboard").await.as_deref(),
            Some("modern"),
            "the flags wait under the override"
        );
    }
}

#[tokio::test]
async fn a_capability_that_is_gone_is_refused_and_leaves_no_half() {
    let db = all_modern().await;
    let before = revision(db.pool()).await;
    let error = refusal(db.pool(), &replay(before, "null, 'billing', false")).await;
    assert!(error.contains("override_capability_fkey"), "{error}");
    assert_eq!(revision(db.pool()).await, before);
}
