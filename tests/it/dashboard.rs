//! The modern dashboard against the answers that the Laravel application gave over the same rows.
//!
//! Its own file, because these are the promises to legacy's clients. How the answers came about is in
//! `tests/fixtures/legacy/activity.sql`.

use reqwest::Method;

use crate::support::Database;
use crate::support::modern::{Service, detail_of_problem, legacy_database};

const JSON: &str = "application/json";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The pool behind a service lives as long as its database does, so both are kept.
async fn dashboard() -> (Service, Database) {
    let legacy = legacy_database().await;
    let service = Service::start(ficus::dashboard::router(legacy.pool().clone())).await;
    (service, legacy)
}

#[tokio::test]
async fn every_json_answer_is_byte_for_byte_the_one_of_laravel() {
    let (service, _legacy) = dashboard().await;
    let recorded: [(i64, &str, &str); 6] = [
        (
            8,
            "/dashboard/stats",
            include_str!("../fixtures/legacy/stats-8.json"),
        ),
        (
            8,
            "/dashboard/campaigns",
            include_str!("../fixtures/legacy/campaigns-8.json"),
        ),
        (
            8,
            "/dashboard/campaigns/82",
            include_str!("../fixtures/legacy/campaign-82.json"),
        ),
        (
            8,
            "/dashboard/campaigns/83",
            include_str!("../fixtures/legacy/campaign-83.json"),
        ),
        (
            7,
            "/dashboard/stats",
            include_str!("../fixtures/legacy/stats-7.json"),
        ),
        (
            7,
            "/dashboard/campaigns",
            include_str!("../fixtures/legacy/campaigns-7.json"),
        ),
    ];
    for (tenant, path, expected) in recorded {
        let response = service.get(tenant, path, JSON).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["cache-control"], "no-cache, private");
        assert_eq!(response.text().await.unwrap(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_tenant_without_plan_or_quota_has_zeros_and_null() {
    let (service, _legacy) = dashboard().await;
    let stats = service
        .get(999, "/dashboard/stats", JSON)
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(
        stats,
        r#"{"owner_id":999,"campaigns":{"total":0,"sent":0},"email":{"sent":0,"sent_today":0,"left":0},"sms":{"sent":0,"sent_today":0,"left":0},"engagement":{"opens":0,"clicks":0,"bounces":0},"plan":null}"#
    );
}

#[tokio::test]
async fn a_request_that_names_no_tenant_gets_401() {
    let (service, _legacy) = dashboard().await;
    let faulty: [&[(&str, String)]; 4] = [
        &[],
        &[("x-ficus-tenant", "acme".to_owned())],
        &[("x-ficus-tenant", "0".to_owned())],
        &[
            ("x-ficus-tenant", "2".to_owned()),
            ("x-ficus-tenant", "3".to_owned()),
        ],
    ];
    for headers in faulty {
        for path in [
            "/dashboard",
            "/dashboard/stats",
            "/dashboard/campaigns",
            "/dashboard/campaigns/21",
        ] {
            let response = service.send(Method::GET, path, headers).await;
            let detail = detail_of_problem(response, 401).await;
            assert!(detail.contains("x-ficus-tenant"), "{detail}");
        }
    }
}

#[tokio::test]
async fn another_tenants_campaign_is_as_absent_as_none() {
    let (service, _legacy) = dashboard().await;
    for path in [
        "/dashboard/campaigns/31",
        "/dashboard/campaigns/777777",
        "/dashboard/campaigns/abc",
    ] {
        detail_of_problem(service.get(2, path, JSON).await, 404).await;
    }
}

#[tokio::test]
async fn a_browser_gets_pages_that_say_who_serves_them_and_for_whom() {
    let (service, _legacy) = dashboard().await;
    for path in [
        "/dashboard",
        "/dashboard/campaigns",
        "/dashboard/campaigns/71",
    ] {
        let response = service.get(7, path, BROWSER).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "text/html; charset=utf-8"
        );
        let page = response.text().await.unwrap();
        assert!(page.contains(r#""served_by":"modern""#), "{page}");
        assert!(
            page.contains("Fern &amp; Moss &quot;Florists&quot;, account 7"),
            "{page}"
        );
        assert!(page.contains("Spring news / Fern &amp; Moss"), "{page}");
    }
}

#[tokio::test]
async fn a_write_to_a_read_route_gets_405() {
    let (service, _legacy) = dashboard().await;
    let tenant = [("x-ficus-tenant", "2".to_owned())];
    let response = service
        .send(Method::POST, "/dashboard/campaigns", &tenant)
        .await;
    detail_of_problem(response, 405).await;
}

#[tokio::test]
async fn a_database_that_is_gone_is_503_and_the_service_still_lives() {
    let (service, legacy) = dashboard().await;
    legacy.pool().close().await;
    detail_of_problem(service.get(2, "/dashboard/stats", JSON).await, 503).await;
    let health = service.send(Method::GET, "/health/live", &[]).await;
    assert_eq!(health.status(), 200);
}
