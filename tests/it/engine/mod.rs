//! The engine's acceptance of sends, and the schedule it shows.
//!
//! Its own folder, because what is acknowledged here must be in the database.

mod bed;
mod breaker;
mod campaigns;
mod dkim;
mod handback;
mod kills;
mod links;
mod messages;
mod own_server;
mod quota_check;
mod rollback;
mod schedules;
mod sending;
mod sms;
mod smtp;
mod traces;
mod tracking;

use reqwest::Method;
use sqlx::types::Uuid;

use self::bed::Engine;
use crate::support::modern::detail_of_problem;

const JSON: &str = "application/json";

impl Engine {
    async fn accepted(&self) -> Vec<(Uuid, i64, i64, i64)> {
        sqlx::query_as("select id, tenant_id, campaign_id, template_id from ficus.campaign_run order by requested_at")
            .fetch_all(self.tables.pool())
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_send_is_stored_before_it_is_acknowledged() {
    let engine = Engine::start().await;
    let response = engine
        .service
        .get(2, "/campaign/send-email/campaign-21/template-22", JSON)
        .await;
    assert_eq!(response.status(), 202);
    let body: serde_json::Value = response.json().await.unwrap();
    let id = body["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        body,
        serde_json::json!({ "status": "accepted", "id": body["id"] })
    );
    assert_eq!(engine.accepted().await, [(id, 2, 21, 22)]);
}

#[tokio::test]
async fn what_the_tenant_does_not_have_gets_404_and_is_not_stored() {
    let engine = Engine::start().await;
    for (path, named) in [
        (
            "/campaign/send-email/campaign-31/template-21",
            "campaign 31",
        ),
        (
            "/campaign/send-email/campaign-21/template-31",
            "template 31",
        ),
        ("/campaign/send-email/campaign-9/template-21", "campaign 9"),
        ("/campaign/send-email/21/template-21", "campaign-"),
        ("/campaign/send-email/campaign-21/template-x", "number"),
    ] {
        let detail = detail_of_problem(engine.service.get(2, path, JSON).await, 404).await;
        assert!(detail.contains(named), "{path}: {detail}");
    }
    assert!(engine.accepted().await.is_empty());
}

#[tokio::test]
async fn an_sms_campaign_sent_as_email_gets_422_and_is_not_stored() {
    let engine = Engine::start().await;
    let response = engine
        .service
        .get(2, "/campaign/send-email/campaign-23/template-21", JSON)
        .await;
    let detail = detail_of_problem(response, 422).await;
    assert!(detail.contains("campaign 23"), "{detail}");
    assert!(engine.accepted().await.is_empty());
}

#[tokio::test]
async fn a_send_that_names_no_tenant_gets_401_and_is_not_stored() {
    let engine = Engine::start().await;
    let path = "/campaign/send-email/campaign-21/template-21";
    detail_of_problem(engine.service.send(Method::GET, path, &[]).await, 401).await;
    assert!(engine.accepted().await.is_empty());
}

#[tokio::test]
async fn a_send_that_cannot_be_stored_is_not_acknowledged() {
    let engine = Engine::start().await;
    engine.tables.pool().close().await;
    let response = engine
        .service
        .get(2, "/campaign/send-email/campaign-21/template-21", JSON)
        .await;
    detail_of_problem(response, 503).await;
}

#[tokio::test]
async fn a_head_request_sends_nothing() {
    let engine = Engine::start().await;
    let path = "/campaign/send-email/campaign-21/template-21";
    let tenant = [("x-ficus-tenant", "2".to_owned())];
    let response = engine.service.send(Method::HEAD, path, &tenant).await;
    assert_eq!(response.status(), 405);
    assert!(engine.accepted().await.is_empty());
}

#[tokio::test]
async fn the_schedule_is_byte_for_byte_the_one_of_laravel() {
    let engine = Engine::start().await;
    let response = engine
        .service
        .get(8, "/campaign/schedule-emails", JSON)
        .await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.text().await.unwrap(),
        include_str!("../../fixtures/legacy/schedule-emails-8.json")
    );
}

#[tokio::test]
async fn a_browser_gets_the_schedule_as_a_page() {
    let engine = Engine::start().await;
    let response = engine
        .service
        .get(8, "/campaign/schedule-emails", "text/html,*/*;q=0.8")
        .await;
    let page = response.text().await.unwrap();
    assert!(page.contains(r#""served_by":"modern""#), "{page}");
    assert!(page.contains("2031-01-01 08:00:00"), "{page}");
}
