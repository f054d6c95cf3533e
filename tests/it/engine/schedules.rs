//! Campaigns sent at their time: each time one send, whichever engines run and whatever dies, and legacy's rows say what became of it.
//!
//! Its own file, because here two databases and two engines meet a clock.

use std::sync::Arc;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::bed::{Engine, TENANT, Tables};
use crate::support::modern::detail_of_problem;
use crate::support::process::eventually;
use crate::support::smtp::{MailServer, Script};

const PATH: &str = "/campaign/schedule-email/22/21/store";
const PAST: &str = "2001-01-01 08:00:00";
const FUTURE: &str = "2131-01-01 08:00:00";
const SENT: &str = "select count(*) from schedule_emails where owner_id = 2 and campaign_id = 22 and status = 'sent'";
const FAILED: &str = "select count(*) from schedule_emails where owner_id = 2 and campaign_id = 22 and status = 'failed'";
const QUEUED: &str = "select count(*) from schedule_emails where owner_id = 2 and campaign_id = 22 and status = 'queued'";
const RUNS: &str = "select count(*) from ficus.campaign_run";
const STORED: &str = "select count(*) from ficus.schedule";
const LOGGED: &str = "select count(*) from campaign_logs where campaign_id = 22";

impl Engine {
    async fn schedule(&self, path: &str, asked: &Value) -> Response {
        let headers = [
            ("x-ficus-tenant", TENANT.to_string()),
            ("content-type", "application/json".to_owned()),
        ];
        let body = asked.to_string();
        self.service
            .send_body(Method::POST, path, &headers, body)
            .await
    }

    /// Legacy's id of the schedule.
    async fn scheduled(&self, asked: &Value) -> i64 {
        let answer = self.schedule(PATH, asked).await;
        let status = answer.status();
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(status, 201, "{body}");
        assert_eq!(body, json!({ "status": "scheduled", "id": body["id"] }));
        body["id"].as_i64().expect("an id")
    }
}

async fn change(tables: &Tables, sql: &'static str) {
    let done = sqlx::raw_sql(sql).execute(tables.pool()).await;
    done.expect("a change of the schedule");
}

/// Nothing of it goes on but the counter of clicks, which ends with the server, and that with the test.
async fn end(engine: &Engine) {
    engine.stop.cancel();
    eventually("the engine's tasks have ended", || async {
        (engine.tasks.len() <= 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_schedule_that_is_due_is_sent_and_legacys_rows_say_so() {
    let engine = Engine::start().await;
    let tables = &engine.tables;
    let id = engine.scheduled(&json!({ "scheduled_at": FUTURE })).await;
    let row = "select count(*) from schedule_emails as s join campaigns as c on c.id = s.campaign_id
        where s.owner_id = 2 and s.campaign_id = 22 and s.template_builder_id = 21 and s.status = 'queued'
        and s.scheduled_at = '2131-01-01 08:00:00' and c.status = 'scheduled'";
    assert_eq!(tables.legacy(row).await, 1);
    change(
        tables,
        "update ficus.schedule set next_at = now() - interval '1 second'",
    )
    .await;

    tables.until_legacy(SENT, 1).await;
    assert_eq!(engine.mail.seen().messages.len(), 10);
    assert_eq!(tables.legacy(LOGGED).await, 1);
    assert_eq!(tables.ficus(RUNS).await, 1);
    let stored: (i64, String) = sqlx::query_as("select legacy_id, state from ficus.schedule")
        .fetch_one(tables.pool())
        .await
        .expect("the schedule");
    assert_eq!(stored, (id, "sent".to_owned()));
}

#[tokio::test]
async fn a_browsers_form_is_answered_by_a_redirect_to_the_list() {
    let engine = Engine::start().await;
    let headers = [
        ("x-ficus-tenant", TENANT.to_string()),
        ("accept", "text/html,*/*;q=0.8".to_owned()),
        (
            "content-type",
            "application/x-www-form-urlencoded".to_owned(),
        ),
    ];
    let body = "_token=x&scheduled_at=2131-01-01T08%3A00&cron=&timezone=".to_owned();
    let answer = engine.service.send_body(Method::POST, PATH, &headers, body);
    let answer = answer.await;
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "/campaign/schedule-emails");
    assert_eq!(engine.tables.legacy(QUEUED).await, 1);
}

#[tokio::test]
async fn what_cannot_be_scheduled_is_refused_and_stored_nowhere() {
    let engine = Engine::start().await;
    let good = json!({ "scheduled_at": FUTURE });
    let rows = "select count(*) from schedule_emails";
    let before = engine.tables.legacy(rows).await;
    for (path, asked, status, named) in [
        (PATH, json!({}), 422, "scheduled_at"),
        (PATH, json!({ "scheduled_at": "soon" }), 422, "valid date"),
        (PATH, json!(["scheduled_at"]), 422, "scheduled_at"),
        (
            "/campaign/schedule-email/23/21/store",
            good.clone(),
            422,
            "campaign 23",
        ),
        (
            "/campaign/schedule-email/31/21/store",
            good.clone(),
            404,
            "campaign 31",
        ),
        (
            "/campaign/schedule-email/22/31/store",
            good.clone(),
            404,
            "template 31",
        ),
        (
            "/campaign/schedule-email/x/21/store",
            good.clone(),
            404,
            "number",
        ),
    ] {
        let answer = engine.schedule(path, &asked).await;
        let detail = detail_of_problem(answer, status).await;
        assert!(detail.contains(named), "{path} {asked}: {detail}");
    }
    assert_eq!(engine.tables.legacy(rows).await, before);
    assert_eq!(engine.tables.ficus(STORED).await, 0);
}

#[tokio::test]
async fn a_schedule_that_we_cannot_store_is_not_acknowledged_and_never_sent() {
    let engine = Engine::start().await;
    change(
        &engine.tables,
        "alter table ficus.schedule add constraint schedule_none check (false)",
    )
    .await;
    let answer = engine
        .schedule(PATH, &json!({ "scheduled_at": PAST }))
        .await;
    detail_of_problem(answer, 500).await;
    // Legacy's cron takes what is pending, and nothing is.
    assert_eq!(engine.tables.legacy(FAILED).await, 1);
    assert_eq!(engine.tables.ficus(RUNS).await, 0);
}

#[tokio::test]
async fn two_engines_send_what_is_due_once() {
    let tables = Tables::new().await;
    let mail = MailServer::start(Script::default()).await;
    let first = Engine::with(tables.clone(), Script::default(), "").await;
    let second = Engine::sending_to(tables.clone(), mail, "").await;
    for _ in 0..5 {
        first.scheduled(&json!({ "scheduled_at": FUTURE })).await;
    }
    change(&tables, "update ficus.schedule set next_at = '2001-01-01'").await;
    // One reaches everybody, the others nobody who was reached: that is said of them as legacy says it.
    tables.until_legacy(QUEUED, 0).await;
    assert_eq!(tables.ficus(RUNS).await, 5);
    let mails = first.mail.seen().messages.len() + second.mail.seen().messages.len();
    assert_eq!(mails, 10);
}

#[tokio::test]
async fn a_schedule_outlives_the_engine_that_took_it() {
    let tables = Tables::new().await;
    let first = Engine::with(tables.clone(), Script::default(), "").await;
    first.scheduled(&json!({ "scheduled_at": FUTURE })).await;
    end(&first).await;
    change(&tables, "update ficus.schedule set next_at = now()").await;
    let second = Engine::with(tables.clone(), Script::default(), "").await;
    tables.until_legacy(SENT, 1).await;
    assert_eq!(second.mail.seen().messages.len(), 10);
}

#[tokio::test]
async fn an_engine_that_dies_before_legacy_is_told_leaves_that_to_the_next() {
    let tables = Tables::new().await;
    let first = Engine::with(tables.clone(), Script::default(), "").await;
    first.scheduled(&json!({ "scheduled_at": PAST })).await;
    tables.until_legacy(SENT, 1).await;
    end(&first).await;
    // As if it had not come to tell.
    change(
        &tables,
        "update ficus.schedule set is_told = false, state = 'sending'",
    )
    .await;
    tables
        .change_legacy("update schedule_emails set status = 'queued' where campaign_id = 22")
        .await;
    let second = Engine::with(tables.clone(), Script::default(), "").await;
    tables.until_legacy(SENT, 1).await;
    assert!(second.mail.seen().messages.is_empty());
    assert_eq!(tables.ficus(RUNS).await, 1);
}

#[tokio::test]
async fn a_schedule_that_is_too_late_is_skipped_where_that_was_asked_for() {
    let engine = Engine::start().await;
    engine
        .scheduled(&json!({ "scheduled_at": PAST, "late": "skip" }))
        .await;
    engine.tables.until_legacy(FAILED, 1).await;
    assert_eq!(engine.tables.ficus(RUNS).await, 0);
    let skipped =
        "select count(*) from ficus.schedule where state = 'skipped' and reason is not null";
    assert_eq!(engine.tables.ficus(skipped).await, 1);
}

#[tokio::test]
async fn a_template_that_is_unfit_by_then_fails_the_schedule() {
    let engine = Engine::start().await;
    let tables: &Arc<Tables> = &engine.tables;
    engine.scheduled(&json!({ "scheduled_at": FUTURE })).await;
    tables
        .change_legacy("update template_builders set html = '<p>{nobody_knows}</p>' where id = 21")
        .await;
    change(tables, "update ficus.schedule set next_at = now()").await;
    tables.until_legacy(FAILED, 1).await;
    let why = "select count(*) from ficus.schedule where state = 'failed' and reason like '%nobody_knows%'";
    assert_eq!(tables.ficus(why).await, 1);
    assert_eq!(tables.ficus(RUNS).await, 0);
}

#[tokio::test]
async fn a_deleted_campaigns_schedule_is_not_sent() {
    let engine = Engine::start().await;
    let tables = &engine.tables;
    engine.scheduled(&json!({ "scheduled_at": FUTURE })).await;
    tables
        .change_legacy("delete from campaigns where id = 22")
        .await;
    change(tables, "update ficus.schedule set next_at = now()").await;
    let failed = "select count(*) from ficus.schedule where state = 'failed' and is_told";
    eventually(failed, || async {
        (tables.ficus(failed).await == 1).then_some(())
    })
    .await;
    assert_eq!(tables.ficus(RUNS).await, 0);
    assert!(engine.mail.seen().messages.is_empty());
}

#[tokio::test]
async fn a_repeated_schedule_reaches_everybody_each_time_and_shows_the_next() {
    let engine = Engine::start().await;
    let tables = &engine.tables;
    engine
        .scheduled(&json!({ "cron": "0 8 1 1 *", "timezone": "Europe/Berlin" }))
        .await;
    let ahead = "select count(*) from schedule_emails where campaign_id = 22 and status = 'queued'
        and scheduled_at > now() and to_char(scheduled_at, 'MM-DD HH24:MI') = '01-01 07:00'";
    assert_eq!(tables.legacy(ahead).await, 1);
    change(
        tables,
        "update ficus.schedule set next_at = '2021-01-01T07:00:00Z'",
    )
    .await;
    tables.until_legacy(LOGGED, 1).await;
    // The years between were missed, and are one with it.
    assert_eq!(tables.ficus(RUNS).await, 1);
    change(
        tables,
        "update ficus.schedule set next_at = '2022-01-01T07:00:00Z'",
    )
    .await;
    tables.until_legacy(LOGGED, 2).await;
    assert_eq!(engine.mail.seen().messages.len(), 20);
    assert_eq!(tables.legacy(ahead).await, 1);
    let waiting = "select count(*) from ficus.schedule where state = 'waiting' and next_at > now()";
    assert_eq!(tables.ficus(waiting).await, 1);
}

#[tokio::test]
async fn a_repeated_schedule_that_was_stored_twice_reaches_nobody_twice() {
    let engine = Engine::start().await;
    let asked = json!({ "cron": "0 8 1 1 *", "timezone": "Europe/Berlin" });
    engine.scheduled(&asked).await;
    engine.scheduled(&asked).await;
    change(
        &engine.tables,
        "update ficus.schedule set next_at = '2021-01-01T07:00:00Z'",
    )
    .await;
    engine.tables.until_legacy(LOGGED, 2).await;
    assert_eq!(engine.mail.seen().messages.len(), 10);
}

#[tokio::test]
async fn a_repeated_schedule_that_is_too_late_once_waits_for_its_next_time() {
    let engine = Engine::start().await;
    engine
        .scheduled(
            &json!({ "cron": "0 8 1 1 *", "timezone": "UTC", "late": "skip", "late_after": "2h" }),
        )
        .await;
    change(
        &engine.tables,
        "update ficus.schedule set next_at = '2021-01-01T08:00:00Z'",
    )
    .await;
    let waiting = "select count(*) from ficus.schedule where state = 'waiting' and next_at > now() and reason is not null";
    eventually(waiting, || async {
        (engine.tables.ficus(waiting).await == 1).then_some(())
    })
    .await;
    assert_eq!(engine.tables.ficus(RUNS).await, 0);
}
