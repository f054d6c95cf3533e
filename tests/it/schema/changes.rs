//! One statement that changes something: one revision, one audit row, one notification.
//!
//! Its own file, because it is the promise on which every proxy's catching up stands.

use sqlx::postgres::PgListener;

use super::{count, refusal, revision, run, state, text, with_tenants};

#[tokio::test]
async fn a_bulk_update_of_100_000_flags_is_one_change_with_one_notification() {
    let db = with_tenants(100_000).await;
    run(db.pool(), "insert into ficus.flag (tenant_id, capability, state) select id, 'dashboard', 'modern' from ficus.tenant").await;
    let before = revision(db.pool()).await;
    let mut listener = PgListener::connect_with(db.pool()).await.unwrap();
    listener.listen("ficus_change").await.unwrap();

    run(db.pool(), "update ficus.flag set state = 'legacy'").await;

    run(db.pool(), "notify ficus_change, 'the end'").await;
    let mut notified = Vec::new();
    loop {
        let payload = listener.recv().await.unwrap().payload().to_owned();
        if payload == "the end" {
            break;
        }
        notified.push(payload);
    }
    assert_eq!(notified, [(before + 1).to_string()]);
    assert_eq!(revision(db.pool()).await, before + 1);
    assert_eq!(
        count(
            db.pool(),
            &format!("select count(*) from ficus.change where revision > {before}")
        )
        .await,
        1
    );
    let whole = "before ->> 'state' = 'modern' and after ->> 'state' = 'legacy'";
    assert_eq!(
        count(
            db.pool(),
            &format!(
                "select count(*) from ficus.change_item where revision > {before} and {whole}"
            )
        )
        .await,
        100_000
    );
    assert_eq!(
        count(
            db.pool(),
            &format!(
                "select count(*) from ficus.flag where revision = {}",
                before + 1
            )
        )
        .await,
        100_000
    );
}

#[tokio::test]
async fn a_row_written_as_it_was_takes_no_revision() {
    let db = with_tenants(2).await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern')",
    )
    .await;
    let before = revision(db.pool()).await;
    run(db.pool(), "update ficus.flag set state = 'modern'").await;
    run(db.pool(), "update ficus.tenant set name = name").await;
    run(db.pool(), "delete from ficus.flag where tenant_id = 2").await;
    assert_eq!(revision(db.pool()).await, before);
    assert_eq!(
        count(db.pool(), "select count(*) from ficus.change").await,
        before
    );
}

#[tokio::test]
async fn an_update_that_changes_one_row_of_two_records_the_one() {
    let db = with_tenants(2).await;
    run(db.pool(), "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern'), (2, 'dashboard', 'legacy')").await;
    run(db.pool(), "update ficus.flag set state = 'modern'").await;
    let items = "select string_agg(tenant_id::text, ',') from ficus.change_item where revision = (select revision from ficus.clock)";
    assert_eq!(text(db.pool(), items).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn an_upsert_that_inserts_and_updates_is_one_change() {
    let db = with_tenants(2).await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'legacy')",
    )
    .await;
    let before = revision(db.pool()).await;
    let upsert = "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern'), (2, 'dashboard', 'modern')
                  on conflict on constraint flag_pkey do update set state = excluded.state";
    run(db.pool(), upsert).await;
    assert_eq!(revision(db.pool()).await, before + 1);
    assert_eq!(
        count(
            db.pool(),
            &format!("select count(*) from ficus.change where revision > {before}")
        )
        .await,
        1
    );
    assert_eq!(
        count(
            db.pool(),
            &format!("select count(*) from ficus.change_item where revision > {before}")
        )
        .await,
        2
    );
}

#[tokio::test]
async fn a_delete_leaves_an_item_that_says_what_was_there() {
    let db = with_tenants(1).await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'shadow')",
    )
    .await;
    let before = revision(db.pool()).await;
    run(db.pool(), "delete from ficus.flag").await;
    assert_eq!(revision(db.pool()).await, before + 1);
    let item = format!(
        "select (before ->> 'state') || '/' || (after is null) from ficus.change_item where revision > {before}"
    );
    assert_eq!(text(db.pool(), &item).await.as_deref(), Some("shadow/true"));
}

#[tokio::test]
async fn a_tenant_that_is_deleted_takes_its_flags_along_in_the_same_change() {
    let db = with_tenants(1).await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern')",
    )
    .await;
    let before = revision(db.pool()).await;
    run(db.pool(), "delete from ficus.tenant").await;
    assert_eq!(revision(db.pool()).await, before + 1);
    let items = format!(
        "select string_agg(coalesce(capability, 'tenant'), ',' order by capability) from ficus.change_item where revision > {before}"
    );
    assert_eq!(
        text(db.pool(), &items).await.as_deref(),
        Some("dashboard,tenant")
    );
    assert_eq!(state(db.pool(), 1, "dashboard").await, None);
}

#[tokio::test]
async fn a_statement_that_fails_leaves_no_trace() {
    let db = with_tenants(1).await;
    let before = revision(db.pool()).await;
    let error = refusal(db.pool(), "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern'), (9, 'dashboard', 'modern')").await;
    assert!(error.contains("flag_tenant_fkey"), "{error}");
    assert_eq!(revision(db.pool()).await, before);
}

#[tokio::test]
async fn each_statement_of_a_transaction_has_a_revision_of_its_own() {
    let db = with_tenants(2).await;
    let before = revision(db.pool()).await;
    run(
        db.pool(),
        "begin;
         select set_config('ficus.actor', 'ada', true), set_config('ficus.source', 'cli', true), set_config('ficus.reason', 'try it', true);
         insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern');
         insert into ficus.override (capability, action) values ('dashboard', 'force-legacy');
         commit",
    )
    .await;
    assert_eq!(revision(db.pool()).await, before + 2);
    let signed = format!(
        "select count(*) from ficus.change where revision > {before} and actor = 'ada' and source = 'cli' and reason = 'try it'"
    );
    assert_eq!(count(db.pool(), &signed).await, 2);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_recorded_by_its_login() {
    let db = with_tenants(1).await;
    run(db.pool(), "begin; set local application_name = 'psql'; update ficus.tenant set class = 'high'; commit").await;
    let signature = "select actor || '/' || source || '/' || db_user from ficus.change order by revision desc limit 1";
    assert_eq!(
        text(db.pool(), signature).await.as_deref(),
        Some("ficus/psql/ficus")
    );
}

#[tokio::test]
async fn the_audit_cannot_be_rewritten() {
    let db = with_tenants(1).await;
    for sql in [
        "update ficus.change set actor = 'nobody'",
        "delete from ficus.change_item",
        "truncate ficus.change_item",
        "truncate ficus.change cascade",
    ] {
        let error = refusal(db.pool(), sql).await;
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_key_cannot_change_and_no_table_can_be_truncated() {
    let db = with_tenants(2).await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern')",
    )
    .await;
    run(
        db.pool(),
        "insert into ficus.override (action) values ('force-legacy')",
    )
    .await;
    for sql in [
        "update ficus.tenant set id = 7 where id = 2",
        "update ficus.capability set name = 'mail' where name = 'messaging'",
        "update ficus.flag set tenant_id = 2",
        "update ficus.flag set capability = 'messaging'",
        "update ficus.override set capability = 'dashboard'",
    ] {
        let error = refusal(db.pool(), sql).await;
        assert!(error.contains("cannot change"), "{sql}: {error}");
    }
    for table in ["flag", "override", "tenant", "capability"] {
        let error = refusal(db.pool(), &format!("truncate ficus.{table} cascade")).await;
        assert!(error.contains("cannot be truncated"), "{table}: {error}");
    }
}

#[tokio::test]
async fn the_hash_gives_the_golden_vectors() {
    let db = with_tenants(0).await;
    for (capability, key, hash, bucket) in [
        ("dashboard.read", "1001", 0x9e54_d55b_i64, 618_481),
        ("dashboard.read", "1002", 0x3c3d_de53, 235_319),
        ("send", "1001", 0x13e2_ce7d, 77_679),
        ("send", "acme", 0xbbf3_5a7a, 734_182),
        ("send", "Ünïcode", 0xf466_6dbb, 954_687),
    ] {
        let got: (i64, i32) = sqlx::query_as(
            "select ficus.hash32('mf1', '2026a', $1, $2), ficus.bucket('mf1', '2026a', $1, $2)",
        )
        .bind(capability)
        .bind(key)
        .fetch_one(db.pool())
        .await
        .unwrap();
        assert_eq!(got, (hash, bucket), "{capability} {key}");
    }
}
