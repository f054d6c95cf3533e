//! The hourly check of the counters: what both sides agree on is quiet, and what is lost is told when it is lost still.
//!
//! Its own file, because it compares two databases that nobody changes together.

use ficus::config::Config;
use ficus::engine::legacy::Legacy;
use ficus::engine::quota_check::QuotaCheck;
use ficus::telemetry::Metrics;
use serde_json::json;

use super::bed::{Engine, message};

const SENT: &str = "select count(*) from user_sent_records where owner_id = 2 and type = 'email' and created_at > now() at time zone 'UTC' - interval '1 hour'";
const ALERTS: &str = "select count(*) from ficus.alert";
const OPEN: &str =
    "select count(*) from ficus.alert where key = 'quota-drift/2' and resolved_at is null";

#[tokio::test]
async fn quota_that_is_lost_is_an_alert_after_two_looks_until_it_is_given_back() {
    let engine = Engine::start().await;
    let tables = &engine.tables;
    // Legacy's own numbers agree: a plan of 5,000 e-mails.
    tables
        .change_legacy(
            "update email_s_m_s_limit_rates set email = 5000 - (
                 select count(*) from user_sent_records where owner_id = 2 and type = 'email' and created_at >= '2024-03-01 09:05:00'
             ) where owner_id = 2",
        )
        .await;
    let sent = tables.legacy(SENT).await;
    let mut scheduled = message("later@example.com");
    scheduled["send_at"] = json!(chrono::Utc::now() + chrono::TimeDelta::hours(3));
    let list = json!([
        message("ann@example.com"),
        message("bea@example.com"),
        scheduled
    ]);
    engine.accept(&list).await;
    tables.until_legacy(SENT, sent + 2).await;
    let config = Config::parse("", std::iter::empty()).expect("a configuration");
    let legacy = Legacy::new(tables.legacy.pool().clone(), config.engine.statements);
    let metrics = Metrics::new();
    let mut check = QuotaCheck::new(
        tables.pool().clone(),
        legacy,
        metrics.engine.clone(),
        config.engine.quota_tolerance,
    );
    let drift = |drift: i64| {
        let line = format!("ficus_quota_drift{{channel=\"email\"}} {drift}\n");
        let text = metrics.encode(None);
        assert!(text.contains(&line), "{line} is not in\n{text}");
    };

    for _ in 0..2 {
        check.check().await.expect("a look");
        drift(0);
    }
    assert_eq!(tables.ficus(ALERTS).await, 0, "one is held, two were sent");

    tables
        .change_legacy("update email_s_m_s_limit_rates set email = email - 11 where owner_id = 2")
        .await;
    check.check().await.expect("a look");
    drift(11);
    assert_eq!(tables.ficus(ALERTS).await, 0, "it may be on its way");
    check.check().await.expect("a look");
    check.check().await.expect("a look");
    let alerts: Vec<(String, String)> = sqlx::query_as("select title, body from ficus.alert")
        .fetch_all(tables.pool())
        .await
        .expect("alerts");
    let [(title, body)] = &alerts[..] else {
        panic!("one alert: {alerts:?}");
    };
    assert_eq!(title, "tenant 2: the quota of e-mails differs by 11");
    for part in ["12 are neither sent nor left", "holds 1 messages"] {
        assert!(body.contains(part), "{body}");
    }

    tables
        .change_legacy("update email_s_m_s_limit_rates set email = email + 11 where owner_id = 2")
        .await;
    check.check().await.expect("a look");
    drift(0);
    assert_eq!(tables.ficus(OPEN).await, 0);
}
