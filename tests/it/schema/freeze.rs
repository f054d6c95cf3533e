//! Freezes and splits, as any client of the database may write them.
//!
//! Its own file: one a table, or two that came together.

use super::*;

#[tokio::test]
async fn a_freeze_has_one_scope_and_an_end_within_a_day() {
    let db = with_tenants(2).await;
    for (values, constraint) in [
        ("(1, null, 'infinity')", "freeze_end_is_a_time"),
        (
            "(1, null, now() + interval '25 hours')",
            "freeze_ends_within_a_day",
        ),
        (
            "(1, null, now() - interval '1 second')",
            "freeze_ends_later",
        ),
        (
            "(1, 'dashboard', now() + interval '1 hour')",
            "freeze_has_one_scope",
        ),
        ("(1, null, null)", "until"),
        ("(9, null, now() + interval '1 hour')", "freeze_tenant_fkey"),
    ] {
        let sql =
            format!("insert into ficus.freeze (tenant_id, capability, until) values {values}");
        let refused = refusal(db.pool(), &sql).await;
        assert!(refused.contains(constraint), "{values}: {refused}");
    }
}

#[tokio::test]
async fn each_write_of_a_freeze_or_a_split_is_one_audited_change() {
    let db = with_tenants(2).await;
    run(
        db.pool(),
        "update ficus.capability set split_by = 'tenant' where name = 'dashboard'",
    )
    .await;
    let before = revision(db.pool()).await;
    for sql in [
        "insert into ficus.freeze (tenant_id, until) values (1, now() + interval '1 hour')",
        "update ficus.freeze set until = now() + interval '2 hours'",
        "delete from ficus.freeze",
        "insert into ficus.split (capability, percent) values ('dashboard', 12.5)",
        "update ficus.split set percent = 25",
        "update ficus.split set percent = 25",
        "delete from ficus.split",
    ] {
        run(db.pool(), sql).await;
    }
    let entities =
        "select string_agg(entity, ' ' order by revision) from ficus.change where revision > ";
    assert_eq!(
        text(db.pool(), &format!("{entities}{before}"))
            .await
            .as_deref(),
        Some("freeze freeze freeze split split split"),
        "written as it was is no change"
    );
}

#[tokio::test]
async fn what_a_split_goes_by_is_changed_by_itself() {
    let db = with_tenants(1).await;
    let before = revision(db.pool()).await;
    run(
        db.pool(),
        "update ficus.capability set split_by = 'user' where name = 'dashboard'",
    )
    .await;
    assert_eq!(revision(db.pool()).await, before + 1);
    let refused = refusal(
        db.pool(),
        "insert into ficus.split values ('messaging', 10)",
    )
    .await;
    assert!(refused.contains("moves by tenant"), "{refused}");
    let refused = refusal(
        db.pool(),
        "insert into ficus.split values ('dashboard', 100.01)",
    )
    .await;
    assert!(refused.contains("split_percent_range"), "{refused}");
}

#[tokio::test]
async fn the_bucket_of_a_split_is_the_same_in_sql() {
    let db = Database::new().await;
    for key in ["1", "1001", "acme", "Ünïcode", ""] {
        let sql = format!("select ficus.bucket('f1', 'split', 'dashboard', '{key}')::bigint");
        let here = i64::from(ficus::flags::split::bucket_of("dashboard", key));
        assert_eq!(count(db.pool(), &sql).await, here, "{key}");
    }
}

#[tokio::test]
async fn a_local_rollback_comes_home_to_a_tenant_whom_only_a_split_moved() {
    let db = with_tenants(2).await;
    run(
        db.pool(),
        "update ficus.capability set split_by = 'tenant' where name = 'dashboard';
         insert into ficus.split (capability, percent) values ('dashboard', 100)",
    )
    .await;
    let known = revision(db.pool()).await;
    let sql = format!(
        "select ficus.replay_local_rollback(gen_random_uuid(), now(), {known}, array[1], null, false)"
    );
    run(db.pool(), &sql).await;
    assert_eq!(
        state(db.pool(), 1, "dashboard").await.as_deref(),
        Some("legacy")
    );
    assert_eq!(state(db.pool(), 2, "dashboard").await, None);
}

#[tokio::test]
async fn an_alert_of_one_key_is_one_alert_until_it_is_resolved() {
    let db = Database::new().await;
    let raise = "select ficus.raise_alert('critical', 'proxy-silent/a', null, 'a is silent', '')";
    run(db.pool(), raise).await;
    run(db.pool(), raise).await;
    assert_eq!(count(db.pool(), "select seen from ficus.alert").await, 2);
    run(db.pool(), "update ficus.alert set resolved_at = now()").await;
    run(db.pool(), raise).await;
    assert_eq!(
        count(db.pool(), "select count(*) from ficus.alert").await,
        2
    );
}
