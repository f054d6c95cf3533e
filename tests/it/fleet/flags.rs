//! Every kind of change of the control state, from its row to the side that answers.

use super::*;
use crate::support::Database;

#[tokio::test]
async fn a_row_written_in_sql_moves_a_tenant_on_every_proxy() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let fleet = two_proxies(database.url(), &sides().await).await;
    for ficus in &fleet {
        assert_eq!(served(ficus, "2").await, "modern");
        assert_eq!(served(ficus, "bluebird").await, "modern");
        assert_eq!(served(ficus, "3").await, "legacy");
    }
    set(database.pool(), 3, "modern").await;
    for ficus in &fleet {
        until_served(ficus, "3", "modern").await;
    }
}

#[tokio::test]
async fn without_notifications_the_poll_carries_a_flip() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let ficus = Setup::new(database.url(), &sides().await)
        .variable("FICUS__FLAGS__NOTIFY", "false")
        .variable("FICUS__FLAGS__POLL", "200ms")
        .start()
        .await;
    set(database.pool(), 3, "modern").await;
    until_served(&ficus, "3", "modern").await;
    let listening: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%'",
    )
    .fetch_one(database.pool())
    .await
    .expect("counted");
    assert_eq!(listening, 0, "nobody listened");
}

#[tokio::test]
async fn a_flip_arrives_after_the_listening_connection_was_terminated() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let ficus = Setup::new(database.url(), &sides().await)
        // The poll cannot be what carries it.
        .variable("FICUS__FLAGS__POLL", "1m")
        .start()
        .await;
    until_metric(&ficus, "ficus_database_up", |up| up == 1.0).await;
    run(
        database.pool(),
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .await;
    // While nobody listens, and when somebody does again.
    set(database.pool(), 3, "modern").await;
    until_served(&ficus, "3", "modern").await;
    set(database.pool(), 3, "legacy").await;
    until_served(&ficus, "3", "legacy").await;
}

#[tokio::test]
async fn a_bad_row_stops_its_own_change_and_no_other() {
    let database = Database::new().await;
    let pool = database.pool();
    seed(pool).await;
    let config = sides().await;
    let mut ficus = Setup::new(database.url(), &config).start().await;
    run(
        pool,
        "alter table ficus.flag drop constraint flag_state_known;
         update ficus.flag set state = 'purple' where tenant_id = 2",
    )
    .await;
    set(pool, 3, "modern").await;
    until_served(&ficus, "3", "modern").await;
    assert_eq!(served(&ficus, "2").await, "modern", "as it was, by a delta");
    assert!(metric(&ficus, "ficus_control_rows_rejected_total").await >= 1.0);

    ficus.signal("TERM");
    assert_eq!(ficus.wait().await, Some(0));
    // A start loads everything, with the disk snapshot to fall back on.
    let restarted = Setup::new(database.url(), &config)
        .state(&ficus.state)
        .start()
        .await;
    set(pool, 3, "legacy").await;
    until_served(&restarted, "3", "legacy").await;
    assert_eq!(
        served(&restarted, "2").await,
        "modern",
        "as it was, by a whole load"
    );
    assert!(metric(&restarted, "ficus_control_rows_rejected_total").await >= 1.0);

    let newcomer = Setup::new(database.url(), &config).start().await;
    assert_eq!(
        served(&newcomer, "2").await,
        "legacy",
        "nothing is known of it"
    );
}

#[tokio::test]
async fn a_deleted_tenant_is_nobody() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let ficus = Setup::new(database.url(), &sides().await).start().await;
    assert_eq!(served(&ficus, "bluebird").await, "modern");
    run(database.pool(), "delete from ficus.tenant where id = 2").await;
    until_served(&ficus, "bluebird", "legacy").await;
    // The same id again is a new tenant, without the flags of the old one.
    run(
        database.pool(),
        "insert into ficus.tenant (id, slug) values (2, 'bluejay')",
    )
    .await;
    set(database.pool(), 3, "modern").await;
    until_served(&ficus, "3", "modern").await;
    assert_eq!(served(&ficus, "bluejay").await, "legacy");
}

#[tokio::test]
async fn a_renamed_tenant_is_found_by_its_new_name_alone() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let ficus = Setup::new(database.url(), &sides().await).start().await;
    run(
        database.pool(),
        "update ficus.tenant set slug = 'bluejay' where id = 2",
    )
    .await;
    until_served(&ficus, "bluejay", "modern").await;
    assert_eq!(served(&ficus, "bluebird").await, "legacy");
    assert_eq!(served(&ficus, "2").await, "modern");
}

#[tokio::test]
async fn a_capability_that_takes_the_number_of_a_removed_one_takes_none_of_its_flags() {
    let database = Database::new().await;
    let pool = database.pool();
    run(
        pool,
        "insert into ficus.capability (name) values ('reports');
         insert into ficus.tenant (id) select generate_series(1, 60);
         insert into ficus.flag (tenant_id, capability, state) select generate_series(1, 40), 'reports', 'modern'",
    )
    .await;
    let config = sides().await
        + "[capability.reports]\neffect = \"read\"\nmodern = \"modern\"\n[[route]]\npath = \"/reports\"\ncapability = \"reports\"\n";
    let ficus = Setup::new(database.url(), &config).start().await;
    assert_eq!(served_at(&ficus, "/reports", "30").await, "modern");
    // One transaction, so that one delta has it all.
    run(
        pool,
        "begin;
         delete from ficus.flag;
         delete from ficus.capability;
         insert into ficus.capability (name) values ('dashboard');
         insert into ficus.flag (tenant_id, capability, state) select generate_series(21, 60), 'dashboard', 'modern';
         commit",
    )
    .await;
    until_served(&ficus, "60", "modern").await;
    for tenant in 1..=60 {
        let side = if tenant > 20 { "modern" } else { "legacy" };
        let tenant = tenant.to_string();
        assert_eq!(served(&ficus, &tenant).await, side, "{tenant}");
        let reports = served_at(&ficus, "/reports", &tenant).await;
        assert_eq!(reports, "legacy", "{tenant}");
    }
}

#[tokio::test]
async fn an_override_holds_until_it_is_cleared() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let ficus = Setup::new(database.url(), &sides().await).start().await;
    for set in [
        "insert into ficus.override (capability, action) values ('dashboard', 'force-legacy')",
        "insert into ficus.override (capability, action) values (null, 'force-legacy')",
    ] {
        run(database.pool(), set).await;
        until_served(&ficus, "2", "legacy").await;
        run(database.pool(), "delete from ficus.override").await;
        until_served(&ficus, "2", "modern").await;
    }
}

#[tokio::test]
async fn a_bulk_update_is_one_revision_on_every_proxy() {
    let database = Database::new().await;
    let pool = database.pool();
    seed(pool).await;
    run(
        pool,
        "insert into ficus.tenant (id) select generate_series(10001, 30000)",
    )
    .await;
    let fleet = two_proxies(database.url(), &sides().await).await;
    let revision = "select revision from ficus.clock";
    let before: i64 = sqlx::query_scalar(revision)
        .fetch_one(pool)
        .await
        .expect("read");
    run(
        pool,
        "insert into ficus.flag (tenant_id, capability, state) select generate_series(10001, 30000), 'dashboard', 'modern'",
    )
    .await;
    for ficus in &fleet {
        until_served(ficus, "10001", "modern").await;
        for tenant in ["10002", "19999", "29999", "30000"] {
            assert_eq!(served(ficus, tenant).await, "modern", "{tenant}");
        }
        assert_eq!(metric(ficus, "ficus_revision").await, (before + 1) as f64);
    }
}
