//! PagerDuty's Events API v2.
//!
//! Its own file: one a vendor. The format: developer.pagerduty.com, "Send an alert event".

use serde_json::{Value, json};

use super::outcome::Outcome;
use super::store::Delivery;
use super::{Config, Severity};

/// What the API takes of a summary.
const MAX_SUMMARY: usize = 1024;

/// Sends one event. Sent twice it is one incident: the alert's id is its key.
pub async fn send(client: &reqwest::Client, config: &Config, delivery: &Delivery) -> Outcome {
    let request = client
        .post(&config.pagerduty.url)
        .json(&event(config, delivery));
    Outcome::of(request.send().await).await
}

fn event(config: &Config, delivery: &Delivery) -> Value {
    let key = config.pagerduty.routing_key.reveal();
    let id = delivery.alert_id.to_string();
    if delivery.is_end() {
        return json!({ "routing_key": key, "event_action": "resolve", "dedup_key": id });
    }
    let severity = match delivery.severity() {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let summary: String = delivery.title.chars().take(MAX_SUMMARY).collect();
    let mut event = json!({
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": id,
        "client": "ficus",
        "payload": {
            "summary": summary,
            "source": delivery.capability.as_deref().unwrap_or("ficus"),
            "component": delivery.capability,
            "severity": severity,
            "timestamp": delivery.raised_at.to_rfc3339(),
            "custom_details": { "text": delivery.body },
        },
    });
    if let Some(link) = &config.link {
        event["client_url"] = json!(link);
        event["links"] = json!([{ "href": link, "text": "the console" }]);
    }
    event
}
