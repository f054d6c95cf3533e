//! A tenant's unsent campaigns go back to legacy in the middle of being sent: each recipient gets the mail from one side.
//!
//! Its own file, because here two sides could send: what the mail server saw is held against what legacy's cron would take.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::bed::{Engine, Tables, message};
use super::campaigns::{change, crowd};
use crate::support::process::eventually;
use crate::support::smtp::Script;

const LEFT: &str = "select email::bigint from email_s_m_s_limit_rates where owner_id = 2";
const SLOW: &str = "tenant_under_way = 5\nconnections = 1";
const RETURN: &str = "select ficus.return_tenant(2, 'kim', 'test', 'INC-42')";
const UNTOLD: &str = "select count(*) from ficus.campaign_run as r where r.state <> 'done'";
/// Of those that were not there before.
const PLACED: &str =
    "select count(*) from schedule_emails as s join campaigns as c on c.id = s.campaign_id
    where s.owner_id = 2 and s.status = 'pending' and c.name like '% (the rest)'";
/// What legacy's cron would send to, of what was given back.
const THEIRS: &str = "select c.email from schedule_emails as s join campaign_emails as r on r.campaign_id = s.campaign_id
    join email_contacts as c on c.id = r.email_contact_id join campaigns as k on k.id = s.campaign_id
    where s.owner_id = 2 and s.status = 'pending' and k.name like '% (the rest)'";

pub async fn texts(tables: &Tables, sql: &'static str) -> Vec<String> {
    let found = sqlx::query_scalar(sql).fetch_all(tables.legacy.pool());
    found.await.expect("texts")
}

/// Who was mailed, each as often as it was.
fn mailed(engine: &Engine) -> Vec<String> {
    let seen = engine.mail.seen().messages;
    seen.iter().flat_map(|it| it.to.clone()).collect()
}

/// Each recipient of campaign 21 is in exactly one of the two lists, once.
async fn each_on_one_side(tables: &Tables, ours: Vec<String>) {
    let theirs = texts(tables, THEIRS).await;
    let all = texts(
        tables,
        "select c.email from campaign_emails as r join email_contacts as c on c.id = r.email_contact_id where r.campaign_id = 21",
    )
    .await;
    let count = ours.len() + theirs.len();
    let both: BTreeSet<String> = ours.into_iter().chain(theirs).collect();
    assert_eq!(count, both.len(), "somebody gets two");
    assert_eq!(both, all.into_iter().collect(), "somebody gets none");
}

/// Legacy has been given everything, and been told of everything.
async fn until_returned(tables: &Tables, lists: i64) {
    tables.until_legacy(PLACED, lists).await;
    eventually("legacy knows of the end of every run", || async {
        (tables.ficus(UNTOLD).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_campaign_that_is_returned_in_the_middle_reaches_each_recipient_from_one_side() {
    let engine = Engine::with(Tables::new().await, Script::default(), SLOW).await;
    let tables = &engine.tables;
    crowd(tables).await;
    engine.send(21).await;
    engine.mails(200).await;
    change(tables, RETURN).await;
    change(tables, RETURN).await;
    until_returned(tables, 1).await;

    let ours = mailed(&engine);
    let sent = ours.len() as i64;
    assert!(sent < 1203, "it was returned too late to show anything");
    each_on_one_side(tables, ours).await;
    assert_eq!(
        tables.legacy(LEFT).await,
        100_000 - sent,
        "what legacy sends, legacy takes"
    );
    for (sql, expected) in [
        (
            "select count(*) from campaign_logs where campaign_id = 21 and failed = 0",
            1,
        ),
        (
            "select sent::bigint from campaign_logs where campaign_id = 21",
            sent,
        ),
        (
            "select count(*) from email_trackers where campaign_id = 21 and status = 'sent'",
            sent,
        ),
        (
            "select count(*) from email_trackers where campaign_id = 21 and status not in ('sent', 'returned')",
            0,
        ),
        (
            "select count(*) from campaigns where owner_id = 2 and status = 'scheduled' and name like '% (the rest)'",
            1,
        ),
    ] {
        assert_eq!(tables.legacy(sql).await, expected, "{sql}");
    }
    // Here nothing is left of it, and a second send of the same campaign reaches nobody.
    for table in [
        "select count(*) from ficus.due",
        "select count(*) from ficus.later",
        "select count(*) from ficus.handback_recipient",
    ] {
        assert_eq!(tables.ficus(table).await, 0, "{table}");
    }
    change(
        tables,
        "select ficus.release_messages(2, 0, 'kim', 'test', 'over')",
    )
    .await;
    engine.send(21).await;
    tables
        .until_legacy(
            "select count(*) from campaign_logs where campaign_id = 21",
            2,
        )
        .await;
    assert_eq!(
        engine.mail.seen().messages.len() as i64,
        sent,
        "it was legacy's"
    );
}

/// A request that was on its way when the tenant went.
#[tokio::test]
async fn a_campaign_that_comes_after_the_return_goes_to_legacy_as_a_whole() {
    let engine = Engine::with(Tables::new().await, Script::default(), SLOW).await;
    let tables = &engine.tables;
    crowd(tables).await;
    change(tables, RETURN).await;
    engine.send(21).await;
    until_returned(tables, 1).await;
    assert!(mailed(&engine).is_empty());
    each_on_one_side(tables, Vec::new()).await;
    assert_eq!(tables.legacy(LEFT).await, 100_000);
}

/// Ends an engine whose step waits for a lock, as a kill would: its statement never comes to an end.
async fn kill_waiting(engine: &mut Engine, pool: &sqlx::PgPool, table: &str) {
    let pid: i32 = eventually("the step waits", || async {
        sqlx::query_scalar("select l.pid from pg_locks as l join pg_stat_activity as a on a.pid = l.pid
            where not l.granted and a.datname = current_database() and a.query like '%' || $1 || '%' limit 1")
            .bind(table)
            .fetch_optional(pool)
            .await
            .expect("the locks")
    })
    .await;
    engine.stop.cancel();
    let killed = sqlx::query("select pg_terminate_backend($1)").bind(pid);
    killed.execute(pool).await.expect("the end of it");
    engine.end().await;
}

#[tokio::test]
async fn a_crash_between_our_commit_and_legacys_tables_is_repaired_by_the_next_engine() {
    let tables = Tables::new().await;
    crowd(&tables).await;
    let legacy = tables.legacy.pool();
    let mut first = Engine::with(Arc::clone(&tables), Script::default(), SLOW).await;
    first.send(21).await;
    first.mails(100).await;
    // Before legacy has any of it.
    let mut holding = legacy.begin().await.expect("a transaction");
    let lock = sqlx::raw_sql("lock table campaign_emails in exclusive mode");
    lock.execute(&mut *holding).await.expect("the lock");
    change(&tables, RETURN).await;
    kill_waiting(&mut first, legacy, "campaign_emails").await;
    holding.rollback().await.expect("the lock is gone");
    assert_eq!(tables.legacy(PLACED).await, 0, "legacy must not begin");
    let mut ours = mailed(&first);
    drop(first);

    // When legacy has it and we have not written that down.
    let mut holding = tables.pool().begin().await.expect("a transaction");
    let lock = sqlx::raw_sql("lock table ficus.handback_recipient in exclusive mode");
    lock.execute(&mut *holding).await.expect("the lock");
    let mut second = Engine::with(Arc::clone(&tables), Script::default(), SLOW).await;
    kill_waiting(&mut second, tables.pool(), "note_placed").await;
    holding.rollback().await.expect("the lock is gone");
    assert_eq!(tables.legacy(PLACED).await, 0, "legacy must not begin");
    ours.extend(mailed(&second));
    drop(second);

    let third = Engine::with(Arc::clone(&tables), Script::default(), SLOW).await;
    until_returned(&tables, 1).await;
    ours.extend(mailed(&third));
    let sent = ours.len() as i64;
    each_on_one_side(&tables, ours).await;
    assert_eq!(tables.legacy(LEFT).await, 100_000 - sent);

    // When legacy sends and we have not written that down: it has sent by the time we tell it again.
    tables
        .change_legacy("update schedule_emails set status = 'sent' where owner_id = 2")
        .await;
    change(
        &tables,
        "update ficus.handback set state = 'closed', told_at = null",
    )
    .await;
    eventually("it is told again", || async {
        (tables
            .ficus("select count(*) from ficus.handback where state = 'told'")
            .await
            == 1)
            .then_some(())
    })
    .await;
    assert_eq!(tables.legacy(PLACED).await, 0, "it is not sent again");
}

#[tokio::test]
async fn what_legacy_has_no_place_for_and_what_is_held_by_itself_stay_and_are_named() {
    let engine = Engine::with(Tables::new().await, Script::default(), SLOW).await;
    let tables = &engine.tables;
    change(
        tables,
        "select ficus.hold_messages(2, 0, 'kim', 'test', 'not yet')",
    )
    .await;
    change(
        tables,
        "select ficus.hold_messages(2, 22, 'kim', 'test', 'wrong picture')",
    )
    .await;
    let alone = engine
        .accept(&json!([
            message("one@example.com"),
            message("two@example.com")
        ]))
        .await;
    assert_eq!(alone["accepted"].as_array().map(Vec::len), Some(2));
    engine.send(21).await;
    engine.send(22).await;
    change(tables, RETURN).await;
    tables.until_legacy(PLACED, 1).await;

    assert_eq!(texts(tables, THEIRS).await.len(), 3, "of campaign 21 alone");
    let unsent: (i64, i64, bool) =
        sqlx::query_as("select of_campaigns, alone, whole from ficus.unsent(2, 1000)")
            .fetch_one(tables.pool())
            .await
            .expect("what is queued");
    assert_eq!(unsent, (10, 2, true));
    // Let go of, it goes as well.
    change(
        tables,
        "select ficus.release_messages(2, 22, 'kim', 'test', 'it is mended')",
    )
    .await;
    tables.until_legacy(PLACED, 2).await;
    assert_eq!(texts(tables, THEIRS).await.len(), 13);
    assert!(mailed(&engine).is_empty());
}

#[tokio::test]
async fn a_schedule_that_has_not_come_is_legacys_again() {
    let engine = Engine::start().await;
    let tables = &engine.tables;
    let headers = [
        ("x-ficus-tenant", "2".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("accept", "application/json".to_owned()),
    ];
    let body = json!({ "scheduled_at": "2031-01-01 08:00:00" }).to_string();
    let path = "/campaign/schedule-email/21/21/store";
    let stored = engine
        .service
        .send_body(reqwest::Method::POST, path, &headers, body)
        .await;
    assert_eq!(stored.status(), 201);
    change(tables, RETURN).await;
    tables
        .until_legacy("select count(*) from schedule_emails where owner_id = 2 and campaign_id = 21 and status = 'pending' and scheduled_at = '2031-01-01 08:00:00'", 1)
        .await;
    assert_eq!(
        tables
            .ficus("select count(*) from ficus.schedule where state = 'returned'")
            .await,
        1
    );
}
