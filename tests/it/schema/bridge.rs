//! A boolean column of the legacy schema as an equal way to flip.
//!
//! Its own file, because it is the one place where legacy's tables and ours touch.

use super::{count, refusal, revision, run, state, text, with_tenants};
use crate::support::Database;

const BRIDGE: &str =
    "select ficus.bridge_legacy_column('users', 'id', 'messaging_service_enabled', 'messaging')";

/// Tenants and users 1 to `users`, all off.
async fn with_users(users: i64) -> Database {
    let db = with_tenants(users).await;
    run(db.pool(), "create table public.users (id bigint primary key, name text, messaging_service_enabled boolean not null default false)").await;
    run(
        db.pool(),
        &format!("insert into users (id) select generate_series(1, {users})"),
    )
    .await;
    db
}

async fn enabled(db: &Database, user: i64) -> bool {
    sqlx::query_scalar("select messaging_service_enabled from users where id = $1")
        .bind(user)
        .fetch_one(db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn setting_the_column_moves_the_tenant_and_clearing_it_moves_it_back() {
    let db = with_users(2).await;
    run(db.pool(), BRIDGE).await;
    run(
        db.pool(),
        "update users set messaging_service_enabled = true where id = 1",
    )
    .await;
    assert_eq!(
        state(db.pool(), 1, "messaging").await.as_deref(),
        Some("modern")
    );
    assert_eq!(state(db.pool(), 2, "messaging").await, None);
    run(
        db.pool(),
        "update users set messaging_service_enabled = false where id = 1",
    )
    .await;
    assert_eq!(
        state(db.pool(), 1, "messaging").await.as_deref(),
        Some("legacy")
    );
}

#[tokio::test]
async fn a_flip_by_any_other_way_is_written_back_to_the_column() {
    let db = with_users(1).await;
    run(db.pool(), BRIDGE).await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'messaging', 'modern')",
    )
    .await;
    assert!(enabled(&db, 1).await);
    run(db.pool(), "update ficus.flag set state = 'shadow'").await;
    assert!(!enabled(&db, 1).await);
}

#[tokio::test]
async fn another_capability_does_not_touch_the_column() {
    let db = with_users(1).await;
    run(db.pool(), BRIDGE).await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern')",
    )
    .await;
    assert!(!enabled(&db, 1).await);
}

#[tokio::test]
async fn a_bulk_update_of_the_column_is_one_change_of_the_flags() {
    let db = with_users(1_000).await;
    run(db.pool(), BRIDGE).await;
    let before = revision(db.pool()).await;
    run(
        db.pool(),
        "update users set messaging_service_enabled = true",
    )
    .await;
    assert_eq!(revision(db.pool()).await, before + 1);
    assert_eq!(
        count(
            db.pool(),
            "select count(*) from ficus.flag where state = 'modern'"
        )
        .await,
        1_000
    );
    run(db.pool(), "update ficus.flag set state = 'legacy'").await;
    assert_eq!(revision(db.pool()).await, before + 2);
    assert_eq!(
        count(
            db.pool(),
            "select count(*) from users where messaging_service_enabled"
        )
        .await,
        0
    );
}

#[tokio::test]
async fn an_update_of_another_column_takes_no_revision_and_no_lock() {
    let db = with_users(1).await;
    run(db.pool(), BRIDGE).await;
    let before = revision(db.pool()).await;
    // Held by somebody who is flipping: legacy must not wait for it.
    let mut flipping = db.pool().begin().await.unwrap();
    sqlx::raw_sql("select from ficus.clock for update")
        .execute(&mut *flipping)
        .await
        .unwrap();
    run(
        db.pool(),
        "begin; set local lock_timeout = '2s'; update users set name = 'Ada'; commit",
    )
    .await;
    flipping.rollback().await.unwrap();
    assert_eq!(revision(db.pool()).await, before);
}

#[tokio::test]
async fn rows_that_are_on_already_are_taken_over() {
    let db = with_users(2).await;
    run(db.pool(), "insert into users values (3, 'new', true)").await;
    run(db.pool(), BRIDGE).await;
    assert_eq!(
        state(db.pool(), 3, "messaging").await.as_deref(),
        Some("modern")
    );
    assert_eq!(count(db.pool(), "select count(*) from ficus.flag").await, 1);
}

#[tokio::test]
async fn a_user_unknown_to_us_becomes_a_tenant_by_being_switched_on() {
    let db = with_users(1).await;
    run(db.pool(), BRIDGE).await;
    run(
        db.pool(),
        "insert into users values (7, 'off', false), (8, 'on', true)",
    )
    .await;
    assert_eq!(
        text(
            db.pool(),
            "select string_agg(id::text, ',' order by id) from ficus.tenant"
        )
        .await
        .as_deref(),
        Some("1,8")
    );
    assert_eq!(
        state(db.pool(), 8, "messaging").await.as_deref(),
        Some("modern")
    );
}

#[tokio::test]
async fn a_locked_legacy_row_does_not_block_a_rollback() {
    let db = with_users(2).await;
    run(db.pool(), BRIDGE).await;
    run(
        db.pool(),
        "update users set messaging_service_enabled = true",
    )
    .await;
    let mut holder = db.pool().begin().await.unwrap();
    sqlx::raw_sql("select from users where id = 1 for update")
        .execute(&mut *holder)
        .await
        .unwrap();

    run(
        db.pool(),
        "begin; set local lock_timeout = '2s'; update ficus.flag set state = 'legacy'; commit",
    )
    .await;

    holder.rollback().await.unwrap();
    assert_eq!(
        state(db.pool(), 1, "messaging").await.as_deref(),
        Some("legacy")
    );
    assert!(!enabled(&db, 2).await);
}

#[tokio::test]
async fn what_cannot_be_bridged_is_refused_with_its_name() {
    let db = with_users(1).await;
    for (call, named) in [
        (
            "'users', 'id', 'no_such_column', 'messaging'",
            "no_such_column",
        ),
        (
            "'users', 'id', 'name', 'messaging'",
            "no boolean column name",
        ),
        (
            "'users', 'name', 'messaging_service_enabled', 'messaging'",
            "no integer column name",
        ),
        (
            "'users', 'id', 'messaging_service_enabled', 'billing'",
            "there is no capability 'billing'",
        ),
        (
            "'no_such_table', 'id', 'messaging_service_enabled', 'messaging'",
            "no_such_table",
        ),
    ] {
        let error = refusal(
            db.pool(),
            &format!("select ficus.bridge_legacy_column({call})"),
        )
        .await;
        assert!(error.contains(named), "{call}: {error}");
    }
    assert_eq!(
        count(db.pool(), "select count(*) from ficus.bridge").await,
        0
    );
}

#[tokio::test]
async fn a_bridge_made_twice_is_one_bridge() {
    let db = with_users(1).await;
    run(db.pool(), BRIDGE).await;
    run(db.pool(), BRIDGE).await;
    let before = revision(db.pool()).await;
    run(
        db.pool(),
        "update users set messaging_service_enabled = true",
    )
    .await;
    assert_eq!(revision(db.pool()).await, before + 1);
    assert_eq!(
        count(db.pool(), "select count(*) from ficus.bridge").await,
        1
    );
}

#[tokio::test]
async fn a_flag_that_is_deleted_clears_the_column() {
    let db = with_users(1).await;
    run(db.pool(), BRIDGE).await;
    run(
        db.pool(),
        "update users set messaging_service_enabled = true",
    )
    .await;
    run(db.pool(), "delete from ficus.flag").await;
    assert!(!enabled(&db, 1).await);
}

#[tokio::test]
async fn the_longest_name_of_a_capability_can_be_bridged() {
    let db = with_users(1).await;
    let name = "c".repeat(63);
    run(
        db.pool(),
        &format!("insert into ficus.capability (name) values ('{name}')"),
    )
    .await;
    run(db.pool(), &format!("select ficus.bridge_legacy_column('users', 'id', 'messaging_service_enabled', '{name}')")).await;
    run(
        db.pool(),
        "update users set messaging_service_enabled = true",
    )
    .await;
    assert_eq!(state(db.pool(), 1, &name).await.as_deref(), Some("modern"));
    run(db.pool(), "update ficus.flag set state = 'legacy'").await;
    assert!(!enabled(&db, 1).await);
}

#[tokio::test]
async fn two_capabilities_may_share_a_legacy_table() {
    let db = with_users(1).await;
    run(
        db.pool(),
        "alter table users add column new_dashboard boolean",
    )
    .await;
    run(db.pool(), BRIDGE).await;
    run(
        db.pool(),
        "select ficus.bridge_legacy_column('users', 'id', 'new_dashboard', 'dashboard')",
    )
    .await;
    run(db.pool(), "update users set new_dashboard = true").await;
    assert_eq!(
        state(db.pool(), 1, "dashboard").await.as_deref(),
        Some("modern")
    );
    assert_eq!(state(db.pool(), 1, "messaging").await, None);
    assert!(!enabled(&db, 1).await);
}
