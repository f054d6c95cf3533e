//! What the application's role and the reader's role may do, and what they may not.
//!
//! Its own file, because rights are tested by their refusals.

use super::{count, refusal, revision, run, with_tenants};

#[tokio::test]
async fn the_application_flips_and_the_audit_is_written_for_it() {
    let db = with_tenants(1).await;
    let before = revision(db.pool()).await;
    run(
        db.pool(),
        "begin; set local role ficus_app;
         insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern');
         update ficus.flag set state = 'legacy';
         insert into ficus.override (action) values ('force-legacy');
         insert into ficus.capability (name) values ('billing');
         insert into ficus.instance (id, name, roles, version) values (gen_random_uuid(), 'a', '{proxy}', '0');
         insert into ficus.send_request (id, tenant_id, campaign_id, template_id) values (gen_random_uuid(), 1, 1, 1);
         select from ficus.clock for update;
         commit",
    )
    .await;
    assert_eq!(
        count(
            db.pool(),
            &format!("select count(*) from ficus.change where revision > {before}")
        )
        .await,
        4
    );
}

#[tokio::test]
async fn the_application_may_not_touch_the_audit_the_clock_or_the_schema() {
    let db = with_tenants(1).await;
    for sql in [
        "insert into ficus.change select 9, now(), 'x', 'x', 'x', null, 'x', 'x', null, null",
        "insert into ficus.change_item (revision) values (1)",
        "update ficus.clock set revision = 9",
        "select ficus.statement_revision()",
        "select ficus.record_change('flag')",
        "alter table ficus.flag disable trigger all",
        "create table ficus.mine ()",
        "delete from ficus.send_request",
        "delete from ficus.token",
    ] {
        let error = refusal(db.pool(), &format!("set local role ficus_app; {sql}")).await;
        assert!(
            error.contains("permission denied") || error.contains("must be owner"),
            "{sql}: {error}"
        );
    }
}

#[tokio::test]
async fn the_reader_sees_everything_but_the_digests_and_writes_nothing() {
    let db = with_tenants(1).await;
    run(
        db.pool(),
        "begin; set local role ficus_read;
         select * from ficus.flag; select * from ficus.change; select * from ficus.change_item; select * from ficus.instance;
         select * from ficus.override; select * from ficus.clock; select * from ficus.send_request;
         select name, role, revoked_at from ficus.token; select ficus.bucket('a', 'b', 'c', 'd');
         commit",
    )
    .await;
    for sql in [
        "select digest from ficus.token",
        "update ficus.tenant set class = 'high'",
        "insert into ficus.flag values (1, 'dashboard', 'modern')",
        "delete from ficus.override",
    ] {
        let error = refusal(db.pool(), &format!("set local role ficus_read; {sql}")).await;
        assert!(error.contains("permission denied"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_stranger_sees_nothing() {
    let db = with_tenants(1).await;
    for sql in [
        "select * from ficus.flag",
        "select ficus.bucket('a', 'b', 'c', 'd')",
        "select ficus.is_name('a')",
    ] {
        let error = refusal(
            db.pool(),
            &format!("create role stranger nologin; set local role stranger; {sql}"),
        )
        .await;
        assert!(error.contains("permission denied"), "{sql}: {error}");
    }
}
