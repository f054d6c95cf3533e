//! Campaigns of legacy's tables, sent by the engine: every recipient once, and legacy's tables as legacy would have left them.
//!
//! Its own file, because here a crash, a second click and a person's second thoughts meet.

use super::bed::{Engine, Tables};
use crate::support::process::eventually;
use crate::support::smtp::{Answer, Script};

const LEFT: &str = "select email::bigint from email_s_m_s_limit_rates where owner_id = 2";
const TRACKED: &str = "select count(*) from email_trackers where owner_id = 2 and campaign_id = 22 and status = 'sent'";
const LOGGED: &str = "select count(*) from campaign_logs where campaign_id = 22";

#[tokio::test]
async fn every_recipient_gets_one_mail_and_legacys_tables_say_so() {
    let engine = Engine::start().await;
    let tables = &engine.tables;
    let left = tables.legacy(LEFT).await;
    let records = tables
        .legacy("select count(*) from user_sent_records where owner_id = 2")
        .await;
    engine.send(22).await;
    tables.until_legacy(LOGGED, 1).await;

    let seen = engine.mail.seen();
    let mut recipients: Vec<_> = seen.messages.iter().flat_map(|it| it.to.clone()).collect();
    recipients.sort();
    recipients.dedup();
    assert_eq!(
        (seen.messages.len(), recipients.len()),
        (10, 10),
        "{recipients:?}"
    );
    assert!(
        !recipients
            .iter()
            .any(|it| it.starts_with("reader11.") || it.starts_with("reader12.")),
        "who wants none gets none"
    );
    assert_eq!(tables.legacy(TRACKED).await, 10);
    assert_eq!(tables.legacy(LEFT).await, left - 10);
    assert_eq!(
        tables
            .legacy("select count(*) from user_sent_records where owner_id = 2")
            .await,
        records + 10
    );
    assert_eq!(tables.legacy("select count(*) from campaign_logs where campaign_id = 22 and (sent, failed, skipped) = (10, 0, 2) and owner_id = 2").await, 1);
    assert_eq!(
        tables
            .legacy("select count(*) from campaigns where id = 22 and status = 'sent'")
            .await,
        1
    );
    // Each mail's links have its own tracker's id, which legacy's pages know.
    let tracker: String = sqlx::query_scalar("select tracker::text from email_trackers where owner_id = 2 and campaign_id = 22 and email like 'reader1.%'")
        .fetch_one(tables.legacy.pool())
        .await
        .expect("its tracker");
    let mail = seen
        .messages
        .iter()
        .find(|it| it.to[0].starts_with("reader1."))
        .expect("its mail");
    let body = mail.body.replace("=\r\n", "").replace("=\n", "");
    assert!(
        body.contains(&format!("http://mail.test/tracker/{tracker}/click")),
        "{body}"
    );
}

#[tokio::test]
async fn a_second_send_of_the_same_campaign_reaches_nobody_again() {
    let engine = Engine::start().await;
    let left = engine.tables.legacy(LEFT).await;
    let (first, second) = tokio::join!(engine.send(22), engine.send(22));
    assert_ne!(first, second);
    engine.tables.until_legacy(LOGGED, 2).await;
    assert_eq!(engine.mail.seen().messages.len(), 10);
    assert_eq!(engine.tables.legacy(LEFT).await, left - 10);
    assert_eq!(
        engine
            .tables
            .ficus("select sum(duplicates)::bigint from ficus.campaign_run")
            .await,
        10
    );
}

#[tokio::test]
async fn a_quota_that_is_too_small_reaches_as_many_as_it_can() {
    let engine = Engine::start().await;
    engine
        .tables
        .change_legacy("update email_s_m_s_limit_rates set email = 4 where owner_id = 2")
        .await;
    engine.send(22).await;
    engine.tables.until_legacy(LOGGED, 1).await;
    assert_eq!(engine.mail.seen().messages.len(), 4);
    assert_eq!(engine.tables.legacy(LEFT).await, 0);
    assert_eq!(engine.tables.legacy("select count(*) from campaign_logs where campaign_id = 22 and (sent, skipped) = (4, 8)").await, 1);
}

/// Legacy's jobs write for hours in one transaction: legacy is told of messages all the same.
#[tokio::test]
async fn a_long_transaction_of_another_database_keeps_nobody_waiting() {
    let engine = Engine::start().await;
    let elsewhere = crate::support::Database::empty().await;
    let mut long = elsewhere.pool().begin().await.expect("a transaction");
    sqlx::raw_sql("create table job (id int); insert into job values (1)")
        .execute(&mut *long)
        .await
        .expect("a transaction that writes");
    engine.send(22).await;
    engine.tables.until_legacy(LOGGED, 1).await;
    long.rollback().await.expect("it was still running");
}

/// A reader that was too slow, and whose events another one counts, does not take the campaign for finished.
#[tokio::test]
async fn a_reader_whose_turn_is_over_ends_no_campaign() {
    let engine = Engine::start().await;
    let legacy = engine.tables.legacy.pool();
    let mut holding = legacy.begin().await.expect("a transaction");
    sqlx::raw_sql("lock table email_trackers in exclusive mode")
        .execute(&mut *holding)
        .await
        .expect("the lock");
    engine.send(22).await;
    // In a statement of another connection: the reader has its events, and cannot tell legacy of them.
    eventually("the reader waits", || async {
        let waits = "select count(*) from pg_locks where not granted and relation = 'email_trackers'::regclass";
        (engine.tables.legacy(waits).await > 0).then_some(())
    })
    .await;
    change(&engine.tables, "update ficus.event_reader set engine_id = gen_random_uuid(), lease_until = clock_timestamp() + interval '2 seconds'").await;
    holding.rollback().await.expect("the lock is gone");
    engine.tables.until_legacy(LOGGED, 1).await;
    assert_eq!(engine.tables.legacy("select count(*) from campaign_logs where campaign_id = 22 and (sent, failed, skipped) = (10, 0, 2)").await, 1);
}

/// Many recipients of campaign 21.
pub(super) async fn crowd(tables: &Tables) {
    tables
        .change_legacy(
            "insert into email_contacts (id, owner_id, name, email, created_at, updated_at)
             select 20000 + n, 2, 'Crowd ' || n, 'crowd' || n || '@example.test', now(), now() from generate_series(1, 1200) as n;
             insert into campaign_emails (owner_id, campaign_id, email_contact_id, created_at, updated_at)
             select 2, 21, 20000 + n, now(), now() from generate_series(1, 1200) as n;
             update email_s_m_s_limit_rates set email = 100000 where owner_id = 2",
        )
        .await;
}

pub(super) async fn change(tables: &Tables, sql: &'static str) {
    let done = sqlx::raw_sql(sql).execute(tables.pool()).await;
    done.expect("a change of ours");
}

async fn call(tables: &Tables, sql: &'static str, run: &str) {
    let run: uuid::Uuid = run.parse().expect("an id");
    let done = sqlx::query(sql).bind(run).execute(tables.pool()).await;
    done.expect("done");
}

#[tokio::test]
async fn a_campaign_whose_engine_stops_in_the_middle_goes_on_with_the_next_and_reaches_everybody_once()
 {
    let tables = Tables::new().await;
    crowd(&tables).await;
    let mut first = Engine::with(tables.clone(), Script::default(), "").await;
    first.send(21).await;
    first.mails(200).await;
    first.end().await;
    let before = first.mail.seen().messages;
    assert!(
        before.len() < 1203,
        "it was stopped too late to show anything"
    );

    let second = Engine::with(tables.clone(), Script::default(), "").await;
    tables
        .until_legacy(
            "select count(*) from campaign_logs where campaign_id = 21",
            1,
        )
        .await;
    let mut all: Vec<String> = before
        .iter()
        .chain(&second.mail.seen().messages)
        .flat_map(|it| it.to.clone())
        .collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((count, all.len()), (1203, 1203));
    assert_eq!(tables.legacy(LEFT).await, 100_000 - 1203);
    assert_eq!(
        tables
            .legacy(
                "select count(*) from email_trackers where campaign_id = 21 and status = 'sent'"
            )
            .await,
        1203
    );
}

#[tokio::test]
async fn a_paused_campaign_sends_nothing_more_until_it_is_resumed() {
    // A server that takes its time: every message waits for the one before.
    let engine = Engine::with(
        Tables::new().await,
        Script::default(),
        "tenant_under_way = 5\nconnections = 1",
    )
    .await;
    crowd(&engine.tables).await;
    let run = engine.send(21).await;
    engine.mails(20).await;
    call(&engine.tables, "select ficus.pause_run($1, 'a test')", &run).await;
    // What was begun ends; then nothing moves.
    let open = "select count(*) from ficus.attempt as a where not exists (select from ficus.attempt_end as e where e.id = a.id and e.number = a.number)";
    eventually("all attempts have ended", || async {
        (engine.tables.ficus(open).await == 0).then_some(())
    })
    .await;
    let begun = engine
        .tables
        .ficus("select count(*) from ficus.attempt")
        .await;
    assert!(begun < 1203, "it was paused too late to show anything");
    assert_eq!(engine.mail.seen().messages.len() as i64, begun);
    call(&engine.tables, "select ficus.resume_run($1)", &run).await;
    engine
        .tables
        .until_legacy(
            "select count(*) from campaign_logs where campaign_id = 21 and sent = 1203",
            1,
        )
        .await;
    assert_eq!(engine.mail.seen().messages.len(), 1203);
}

#[tokio::test]
async fn a_cancelled_campaign_ends_where_it_is_and_gives_back_what_it_did_not_use() {
    let engine = Engine::with(
        Tables::new().await,
        Script::default(),
        "tenant_under_way = 5\nconnections = 1",
    )
    .await;
    crowd(&engine.tables).await;
    let run = engine.send(21).await;
    engine.mails(20).await;
    call(
        &engine.tables,
        "select ficus.cancel_run($1, 'a test')",
        &run,
    )
    .await;
    engine
        .tables
        .until_legacy(
            "select count(*) from campaign_logs where campaign_id = 21",
            1,
        )
        .await;
    let sent = engine.mail.seen().messages.len() as i64;
    assert!(sent < 1203, "it was cancelled too late to show anything");
    assert_eq!(engine.tables.legacy(LEFT).await, 100_000 - sent);
    let logged = engine
        .tables
        .legacy("select sent::bigint from campaign_logs where campaign_id = 21")
        .await;
    assert_eq!(logged, sent);
    for table in [
        "select count(*) from ficus.due",
        "select count(*) from ficus.later",
        "select count(*) from ficus.hold",
    ] {
        assert_eq!(engine.tables.ficus(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn one_recipient_that_the_server_refuses_is_a_failure_of_its_own() {
    let refusing =
        Script::answering(&[("RCPT TO:<reader3.", Answer::Say("550 5.1.1 no such user"))]);
    let engine = Engine::with(Tables::new().await, refusing, "").await;
    let left = engine.tables.legacy(LEFT).await;
    engine.send(22).await;
    engine.tables.until_legacy(LOGGED, 1).await;
    assert_eq!(engine.mail.seen().messages.len(), 9);
    assert_eq!(engine.tables.legacy(LEFT).await, left - 9);
    assert_eq!(
        engine
            .tables
            .legacy(
                "select count(*) from email_trackers where campaign_id = 22 and status = 'failed'"
            )
            .await,
        1
    );
}
