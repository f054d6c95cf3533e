//! Campaigns by text at legacy's own address: everybody once, and legacy's tables as legacy would have left them.
//!
//! Its own file, because these are legacy's routes and tables; how one text fares is elsewhere.

use reqwest::Method;
use serde_json::Value;

use super::{Bed, LEFT, SENT, text};
use crate::support::modern::detail_of_problem;
use crate::support::sms::Trouble;

const LOGGED: &str =
    "select count(*) from campaign_logs where campaign_id = 23 and channel = 'sms'";

impl Bed {
    async fn send(&self, gateway: &str) -> String {
        let path = format!("/campaign/send-sms/campaign-23/21/{gateway}");
        let answer = self.engine.service.get(2, &path, "application/json").await;
        assert_eq!(answer.status(), 202);
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["status"], "accepted");
        body["id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn every_recipient_gets_one_text_and_legacys_tables_say_so() {
    let bed = Bed::start().await;
    let tables = &bed.engine.tables;
    tables
        .change_legacy("update email_contacts set phone = null where id = 202")
        .await;
    let (left, sent) = (tables.legacy(LEFT).await, tables.legacy(SENT).await);
    bed.send("twilio").await;
    tables.until_legacy(LOGGED, 1).await;
    let mut texts: Vec<_> = bed
        .vendors
        .taken()
        .iter()
        .map(|it| (it.to.clone(), it.text.clone()))
        .collect();
    texts.sort();
    let expected = [1, 3].map(|reader| {
        let text = format!("Reader {reader} of Bluebird Bakery: a reminder from Bluebird Bakery");
        (format!("+1555000020{reader}"), text)
    });
    assert_eq!(texts, expected);
    let row = "select count(*) from campaign_logs where campaign_id = 23 and (sent, failed, skipped) = (2, 0, 1) and channel = 'sms' and owner_id = 2";
    assert_eq!(tables.legacy(row).await, 1);
    let logs = "select count(*) from sms_logs where campaign_id = 23 and status = 'sent' and provider = 'twilio'";
    assert_eq!(tables.legacy(logs).await, 2);
    let status = "select count(*) from campaigns where id = 23 and status = 'sent'";
    assert_eq!(tables.legacy(status).await, 1);
    assert_eq!(tables.legacy(LEFT).await, left - 2);
    assert_eq!(tables.legacy(SENT).await, sent + 2);
}

#[tokio::test]
async fn a_second_send_reaches_nobody_again_whatever_its_gateway() {
    let bed = Bed::start().await;
    let left = bed.engine.tables.legacy(LEFT).await;
    bed.send("twilio").await;
    bed.engine.tables.until_legacy(LOGGED, 1).await;
    bed.send("plivo").await;
    bed.engine.tables.until_legacy(LOGGED, 2).await;
    assert_eq!(bed.vendors.taken().len(), 3);
    assert_eq!(bed.engine.tables.legacy(LEFT).await, left - 3);
}

#[tokio::test]
async fn a_number_that_is_refused_is_a_failure_of_its_own_and_is_not_paid_for() {
    let bed = Bed::start().await;
    let tables = &bed.engine.tables;
    let left = tables.legacy(LEFT).await;
    let refused = r#"{"code":21211,"message":"m","status":400}"#.to_owned();
    bed.vendors.will("202", [Trouble::Say(400, refused)]);
    bed.send("twilio").await;
    let row = "select count(*) from campaign_logs where campaign_id = 23 and (sent, failed, skipped) = (2, 1, 0)";
    tables.until_legacy(row, 1).await;
    let logs = "select count(*) from sms_logs where campaign_id = 23 and status = 'failed' and phone = '+15550000202'";
    assert_eq!(tables.legacy(logs).await, 1);
    tables.until_legacy(LEFT, left - 2).await;
}

#[tokio::test]
async fn what_the_tenant_does_not_have_gets_404_and_another_channels_campaign_422() {
    let bed = Bed::start().await;
    bed.engine
        .tables
        .change_legacy(
            "update sms_services set is_active = false where owner_id = 2 and provider = 'vonage'",
        )
        .await;
    for (path, status, named) in [
        ("campaign-23/21/pigeon", 404, "pigeon"),
        ("campaign-23/21/vonage", 404, "vonage"),
        ("campaign-33/21/twilio", 404, "campaign 33"),
        ("campaign-23/31/twilio", 404, "template 31"),
        ("campaign-21/21/twilio", 422, "campaign 21"),
    ] {
        let path = format!("/campaign/send-sms/{path}");
        let answer = bed.engine.service.get(2, &path, "application/json").await;
        let detail = detail_of_problem(answer, status).await;
        assert!(detail.contains(named), "{path}: {detail}");
    }
    let runs = "select count(*) from ficus.campaign_run";
    assert_eq!(bed.engine.tables.ficus(runs).await, 0);
}

#[tokio::test]
async fn the_schedule_of_texts_is_shown_as_legacy_shows_it() {
    let bed = Bed::start().await;
    let answer = bed
        .engine
        .service
        .get(2, "/campaign/schedule-sms", "application/json")
        .await;
    let body: Value = answer.json().await.expect("JSON");
    let row = &body["data"][0];
    assert_eq!(
        (&body["total"], &row["gateway"]),
        (&1.into(), &"twilio".into())
    );
    assert_eq!(
        (&row["campaign_id"], &row["sms_builder_id"]),
        (&23.into(), &21.into())
    );
    assert_eq!(row["status"], "pending");
}

#[tokio::test]
async fn a_campaign_and_a_text_of_it_by_hand_are_two() {
    let bed = Bed::start().await;
    bed.send("twilio").await;
    let mut own = text("+15550000201", "twilio");
    own["campaign_id"] = 23.into();
    let id = bed.accept(&own).await;
    bed.engine.until_status(&id, "accepted").await;
    bed.engine.tables.until_legacy(LOGGED, 1).await;
    assert_eq!(bed.vendors.taken().len(), 4);
}

#[tokio::test]
async fn a_schedule_of_texts_is_kept_sent_at_its_time_and_told_to_legacy() {
    let bed = Bed::start().await;
    let tables = &bed.engine.tables;
    let store = async |path: &str| {
        let path = format!("/campaign/schedule-sms/{path}/store");
        let headers = [
            ("x-ficus-tenant", "2".to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        let body = r#"{"scheduled_at":"2131-01-01 08:00:00"}"#.to_owned();
        let service = &bed.engine.service;
        service.send_body(Method::POST, &path, &headers, body).await
    };
    for (path, status) in [
        ("23/21/pigeon", 404),
        ("23/31/twilio", 404),
        ("21/21/twilio", 422),
    ] {
        detail_of_problem(store(path).await, status).await;
    }
    let stored = store("23/21/twilio").await;
    assert_eq!(stored.status(), 201);
    let body: Value = stored.json().await.expect("JSON");
    assert_eq!(body["status"], "scheduled");
    let row = "select count(*) from schedule_sms where owner_id = 2 and campaign_id = 23 and gateway = 'twilio' and scheduled_at = '2131-01-01 08:00:00' and status = 'queued'";
    assert_eq!(tables.legacy(row).await, 1, "legacy's cron leaves it alone");
    sqlx::query("update ficus.schedule set next_at = now() - interval '1 second'")
        .execute(tables.pool())
        .await
        .expect("its time has come");
    tables.until_legacy(LOGGED, 1).await;
    assert_eq!(bed.vendors.taken().len(), 3);
    let sent = "select count(*) from schedule_sms where owner_id = 2 and campaign_id = 23 and status = 'sent'";
    tables.until_legacy(sent, 1).await;
}
