//! PagerDuty and Slack as they answer: what is well-formed is taken, the rest refused in their words, and what is told to
//! fail fails as they fail.
//!
//! Its own file, because a test of alerts is worth as much as the vendors that it is held against.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The one integration that exists.
pub const ROUTING_KEY: &str = "0123456789abcdef0123456789ABCDEF";

/// What a vendor does with the next message in place of taking it.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// 429: with the seconds of Retry-After.
    Throttled(u64),
    /// 500, as both have it on a bad day.
    Broken,
    /// The message is taken, and the answer is lost.
    TakenAndSilent,
    /// Slack: the webhook was revoked.
    Gone,
}

#[derive(Clone, Default)]
pub struct Vendors(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    events: Vec<Value>,
    texts: Vec<String>,
    /// Requests of both, taken or not.
    asked: usize,
    trouble: VecDeque<Trouble>,
}

impl Vendors {
    pub async fn start() -> (Self, SocketAddr) {
        let vendors = Self::default();
        let router = Router::new()
            .route("/v2/enqueue", post(enqueue))
            .route("/services/T0/B0/secret", post(webhook))
            .with_state(vendors.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (vendors, address)
    }

    pub fn will(&self, trouble: impl IntoIterator<Item = Trouble>) {
        self.seen().trouble.extend(trouble);
    }

    /// PagerDuty's events, as they were taken.
    pub fn events(&self) -> Vec<Value> {
        self.seen().events.clone()
    }

    /// Incidents that are open: one a key, whatever came twice.
    pub fn open_incidents(&self) -> Vec<String> {
        let mut open: Vec<String> = Vec::new();
        for event in &self.seen().events {
            let key = event["dedup_key"].as_str().expect("a key").to_owned();
            open.retain(|it| *it != key);
            if event["event_action"] == "trigger" {
                open.push(key);
            }
        }
        open
    }

    /// Slack's messages.
    pub fn texts(&self) -> Vec<String> {
        self.seen().texts.clone()
    }

    pub fn asked(&self) -> usize {
        self.seen().asked
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().expect("nobody panics under it")
    }

    /// The trouble that is due, if one is.
    fn next(&self) -> Option<Trouble> {
        let mut seen = self.seen();
        seen.asked += 1;
        seen.trouble.pop_front()
    }
}

async fn enqueue(State(vendors): State<Vendors>, body: Bytes) -> Response {
    let trouble = vendors.next();
    match trouble {
        Some(Trouble::Throttled(_)) => {
            // PagerDuty says no more than this.
            return (StatusCode::TOO_MANY_REQUESTS, "").into_response();
        }
        Some(Trouble::Broken | Trouble::Gone) => {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        Some(Trouble::TakenAndSilent) | None => {}
    }
    let refused = |why: &str| {
        let body = json!({ "status": "invalid event", "message": "Event object is invalid", "errors": [why] });
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    };
    let Ok(event) = serde_json::from_slice::<Value>(&body) else {
        return refused("JSON is malformed");
    };
    let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
    if text(&event["routing_key"]) != ROUTING_KEY {
        return refused("Length of 'routing_key' is incorrect (should be 32 characters)");
    }
    let key = text(&event["dedup_key"]);
    if key.is_empty() || key.len() > 255 {
        return refused("'dedup_key' is missing or blank");
    }
    let payload = &event["payload"];
    match text(&event["event_action"]).as_str() {
        "resolve" | "acknowledge" => {}
        "trigger" => {
            let summary = text(&payload["summary"]);
            if summary.is_empty() || summary.chars().count() > 1024 {
                return refused("'payload.summary' is missing or blank");
            }
            if text(&payload["source"]).is_empty() {
                return refused("'payload.source' is missing or blank");
            }
            let severity = text(&payload["severity"]);
            if !["critical", "error", "warning", "info"].contains(&severity.as_str()) {
                return refused(
                    "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')",
                );
            }
        }
        _ => return refused("'event_action' is invalid"),
    }
    vendors.seen().events.push(event);
    if let Some(Trouble::TakenAndSilent) = trouble {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let body = json!({ "status": "success", "message": "Event processed", "dedup_key": key });
    (StatusCode::ACCEPTED, axum::Json(body)).into_response()
}

async fn webhook(State(vendors): State<Vendors>, headers: HeaderMap, body: Bytes) -> Response {
    match vendors.next() {
        Some(Trouble::Throttled(seconds)) => {
            let wait = [("retry-after", seconds.to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, wait, "rate_limited").into_response();
        }
        Some(Trouble::Broken) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, "rollup_error").into_response();
        }
        Some(Trouble::Gone) => return (StatusCode::NOT_FOUND, "no_service").into_response(),
        Some(Trouble::TakenAndSilent) | None => {}
    }
    let is_json = headers
        .get("content-type")
        .is_some_and(|it| it.as_bytes().starts_with(b"application/json"));
    let Some(message) = serde_json::from_slice::<Value>(&body)
        .ok()
        .filter(|_| is_json)
    else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    match message["text"].as_str() {
        Some(text) if !text.is_empty() => {
            vendors.seen().texts.push(text.to_owned());
            "ok".into_response()
        }
        _ => (StatusCode::BAD_REQUEST, "no_text").into_response(),
    }
}
