//! `/ofrep/v1`: the OpenFeature Remote Evaluation Protocol, by which applications ask which side a tenant is on.
//!
//! Its own file, because its words are the protocol's and not ours: its errors are no problem documents, and each
//! answer comes from this process's snapshot, without the database. The proxy's own routing never asks it.
//!
//! A flag is a capability; its value is true where modern answers, so an application whose question fails and that
//! falls back on false is on legacy, as the proxy would have it. The variant names the side.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response, Sse};
use futures_util::{Stream, stream};
use moka::sync::Cache;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

use super::auth::Tenants;
use super::events::{Waiting, Woken, last_event};
use super::extract::{Path, Query};
use super::{Caller, Problem, State};
use crate::flags::{Caller as Asker, Reason, Side, Snapshot, decide};
use crate::ids::{Revision, TenantRef};

/// Evaluations a second of one token on one process, and as many at once.
const RATE: f64 = 1000.0;
/// Tokens whose rate is kept.
const MAX_TOKENS: u64 = 10_000;
/// How long a question waits for a snapshot that it knows to exist.
const CATCH_UP: Duration = Duration::from_secs(2);
/// A reader asks again by itself after so long without an event.
const INACTIVITY_SECONDS: u32 = 120;

/// The body of an evaluation.
#[derive(Deserialize, JsonSchema)]
#[expect(
    dead_code,
    reason = "it describes the body; the body is read by hand, since its faults have the protocol's words"
)]
pub(super) struct Evaluation {
    context: Context,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "as above")]
#[serde(rename_all = "camelCase")]
struct Context {
    /// The tenant: its id or its slug.
    targeting_key: String,
    /// Anything else: it takes part in the validator and in nothing else.
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refetch {
    /// The `etag` of the event that caused this: an answer is never older.
    flag_config_etag: Option<String>,
}

/// What an evaluation can fail with.
#[derive(Debug)]
struct Fault {
    status: StatusCode,
    code: &'static str,
    details: String,
}

impl Fault {
    fn bad(code: &'static str, details: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            details: details.into(),
        }
    }

    fn body(&self, key: Option<&str>) -> Value {
        let mut body = json!({ "errorCode": self.code, "errorDetails": self.details });
        if let Some(key) = key {
            body["key"] = json!(key);
        }
        body
    }

    fn answer(&self, key: Option<&str>) -> Response {
        match self.status {
            // The protocol gives these no body.
            StatusCode::FORBIDDEN => self.status.into_response(),
            status => (status, [(CACHE_CONTROL, "no-store")], Json(self.body(key))).into_response(),
        }
    }
}

/// One capability.
pub(super) async fn single(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(key): Path<String>,
    body: Bytes,
) -> Response {
    if let Some(later) = state.rates.refuse(&caller.actor, Instant::now()) {
        return later;
    }
    let evaluate = || {
        let (tenant, _) = question(&body, &caller.tenants)?;
        let snapshot = snapshot(&state)?;
        allowed(&snapshot, &tenant, &caller.tenants)?;
        if snapshot.capability(&key).is_none() {
            return Err(Fault {
                status: StatusCode::NOT_FOUND,
                code: "FLAG_NOT_FOUND",
                details: "there is no such capability".to_owned(),
            });
        }
        Ok(evaluation(&snapshot, &key, &tenant))
    };
    match evaluate() {
        Ok(answer) => ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(fault) => fault.answer(Some(&key)),
    }
}

/// Every capability of one tenant.
pub(super) async fn bulk(
    Shared(state): Shared<State>,
    caller: Caller,
    Query(refetch): Query<Refetch>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(later) = state.rates.refuse(&caller.actor, Instant::now()) {
        return later;
    }
    if let Some(wanted) = refetch.flag_config_etag.as_deref().and_then(revision_in)
        && !caught_up(&state, wanted).await
    {
        let details = format!("this process has not applied revision {wanted} yet");
        let mut answer = (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "errorDetails": details })),
        )
            .into_response();
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return answer;
    }
    let evaluate = || {
        let (tenant, context) = question(&body, &caller.tenants)?;
        let snapshot = snapshot(&state)?;
        allowed(&snapshot, &tenant, &caller.tenants)?;
        let flags: Vec<Value> = snapshot
            .capabilities()
            .keys()
            .map(|key| evaluation(&snapshot, key, &tenant))
            .collect();
        let answer = json!({
            "flags": flags,
            "metadata": { "version": snapshot.revision.0 },
            "eventStreams": [{
                "type": "sse",
                "endpoint": { "requestUri": "/ofrep/v1/events" },
                "inactivityDelaySec": INACTIVITY_SECONDS,
            }],
        });
        Ok::<_, Fault>((answer, context))
    };
    let (answer, context) = match evaluate() {
        Ok(answer) => answer,
        Err(fault) => return fault.answer(None),
    };
    let etag = validator(&answer, &context);
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .any(|list| names(list, &etag));
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Json(answer).into_response(),
    };
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Says when to ask again: at once where the reader has missed something, and at each newer snapshot.
pub(super) async fn events(
    Shared(state): Shared<State>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let waiting = Waiting::new(&state)?;
    let told = last_event(&headers)?.unwrap_or_else(|| current(&state));
    Ok(Sse::new(stream::unfold(
        (state, waiting, told),
        |(state, mut waiting, told)| async move {
            loop {
                let now = current(&state);
                if now > told {
                    let data = json!({ "type": "refetchEvaluation", "etag": format!("r{now}") });
                    let event = Event::default()
                        .event("message")
                        .id(now.to_string())
                        .json_data(data)
                        .ok()?;
                    return Some((Ok(event), (state, waiting, now)));
                }
                match waiting.wait().await {
                    Woken::End => return None,
                    Woken::Look => {}
                    // A comment: readers of the protocol know no beat.
                    Woken::Beat => {
                        return Some((
                            Ok(Event::default().comment("beat")),
                            (state, waiting, told),
                        ));
                    }
                }
            }
        },
    )))
}

fn current(state: &State) -> Revision {
    state
        .process
        .as_ref()
        .map_or(Revision(0), |process| process.flags.revision())
}

async fn caught_up(state: &State, wanted: Revision) -> bool {
    let Some(process) = &state.process else {
        return false;
    };
    let mut revision = process.flags.watch();
    let caught = async { revision.wait_for(|it| *it >= wanted).await.is_ok() };
    tokio::time::timeout(CATCH_UP, caught)
        .await
        .unwrap_or(false)
}

/// `r42`, as our events write it; another server's etag tells us nothing.
fn revision_in(etag: &str) -> Option<Revision> {
    etag.trim_matches('"')
        .strip_prefix('r')?
        .parse()
        .ok()
        .map(Revision)
}

fn snapshot(state: &State) -> Result<Arc<Snapshot>, Fault> {
    let loaded = state
        .process
        .as_ref()
        .and_then(|process| process.flags.load_full());
    loaded.ok_or_else(|| Fault {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "GENERAL",
        details: "there is no snapshot of the flags yet".to_owned(),
    })
}

/// Whom the body asks for, and its context.
fn question(body: &[u8], tenants: &Tenants) -> Result<(TenantRef, Value), Fault> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|fault| Fault::bad("PARSE_ERROR", fault.to_string()))?;
    let context = body
        .get("context")
        .filter(|it| it.is_object())
        .ok_or_else(|| Fault::bad("INVALID_CONTEXT", "expected an object `context`"))?;
    let key = match context.get("targetingKey") {
        None | Some(Value::Null) => {
            return Err(Fault::bad(
                "TARGETING_KEY_MISSING",
                "targetingKey names the tenant: its id or its slug",
            ));
        }
        Some(Value::String(key)) if key.is_empty() => {
            return Err(Fault::bad("TARGETING_KEY_MISSING", "targetingKey is empty"));
        }
        Some(Value::String(key)) => key,
        Some(_) => {
            return Err(Fault::bad(
                "INVALID_CONTEXT",
                "targetingKey must be a string",
            ));
        }
    };
    let tenant = key.parse().map_err(|_| match tenants {
        // Whoever may ask for some alone is not told which words could be names.
        Tenants::These(_) => Fault {
            status: StatusCode::FORBIDDEN,
            code: "GENERAL",
            details: String::new(),
        },
        Tenants::All => Fault::bad(
            "INVALID_CONTEXT",
            "targetingKey names no tenant: expected an id or a slug",
        ),
    })?;
    Ok((tenant, context.clone()))
}

/// A token of one tenant learns nothing of another: not even whether it exists.
fn allowed(snapshot: &Snapshot, tenant: &TenantRef, tenants: &Tenants) -> Result<(), Fault> {
    let Tenants::These(ids) = tenants else {
        return Ok(());
    };
    let id = match tenant {
        TenantRef::Id(id) => Some(*id),
        TenantRef::Slug(_) => snapshot.find(tenant).map(|tenant| tenant.id),
    };
    match id.is_some_and(|id| ids.contains(&id)) {
        true => Ok(()),
        false => Err(Fault {
            status: StatusCode::FORBIDDEN,
            code: "GENERAL",
            details: String::new(),
        }),
    }
}

fn evaluation(snapshot: &Snapshot, capability: &str, tenant: &TenantRef) -> Value {
    let asker = snapshot.find(tenant).map_or(Asker::Stranger, Asker::Tenant);
    let decision = decide(snapshot, capability, asker);
    json!({
        "key": capability,
        "value": decision.side == Side::Modern,
        "variant": decision.side.as_str(),
        "reason": reason(decision.reason),
        "metadata": { "version": snapshot.revision.0, "decision": decision.reason.as_str() },
    })
}

/// Our reasons in the protocol's words.
fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Flag => "TARGETING_MATCH",
        Reason::UnknownTenant | Reason::UnknownCapability | Reason::ColdStart => "UNKNOWN",
        Reason::Local | Reason::ForcedAll | Reason::Forced => "DISABLED",
        _ => "STATIC",
    }
}

/// Strong, over everything that the answer says and everything that it was asked with: the same flags for another
/// context are another answer.
fn validator(answer: &Value, context: &Value) -> String {
    let digest = Sha256::new()
        .chain_update(answer.to_string())
        .chain_update([0])
        .chain_update(context.to_string())
        .finalize();
    let digits: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{digits}\"")
}

/// Whether an `If-None-Match` (RFC 9110) names this validator; compared weakly, as it says.
fn names(list: &str, etag: &str) -> bool {
    list.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

/// How much each token has left.
#[derive(Clone)]
pub(super) struct Rates(Cache<String, Arc<Mutex<Bucket>>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Default for Rates {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MAX_TOKENS)
                .time_to_idle(Duration::from_secs(60))
                .build(),
        )
    }
}

impl Rates {
    /// `None`: go on. Otherwise 429 and when to come again.
    fn refuse(&self, token: &str, now: Instant) -> Option<Response> {
        let bucket = self.0.get_with_by_ref(token, || {
            Arc::new(Mutex::new(Bucket {
                left: RATE,
                at: now,
            }))
        });
        let wait = bucket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(now)?;
        let mut answer = StatusCode::TOO_MANY_REQUESTS.into_response();
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        Some(answer)
    }
}

impl Bucket {
    /// `None`: one was taken. Otherwise how long there is none.
    fn take(&mut self, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left, self.at) = ((self.left + since * RATE).min(RATE), now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64((1.0 - self.left) / RATE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_is_found_in_a_list_weak_or_strong_and_by_a_star() {
        assert!(names("\"a\", W/\"b\"", "\"b\""));
        assert!(names("*", "\"b\""));
        assert!(!names("\"a\"", "\"b\""));
    }

    #[test]
    fn another_context_is_another_validator() {
        let answer = json!({ "flags": [] });
        let one = validator(&answer, &json!({ "targetingKey": "1" }));
        assert_eq!(one, validator(&answer, &json!({ "targetingKey": "1" })));
        assert_ne!(
            one,
            validator(&answer, &json!({ "targetingKey": "1", "plan": "gold" }))
        );
        assert_ne!(
            one,
            validator(&json!({ "flags": [1] }), &json!({ "targetingKey": "1" }))
        );
    }

    #[test]
    fn a_token_that_asks_too_often_is_told_when_to_come_again() {
        let (rates, start) = (Rates::default(), Instant::now());
        let refused = (0..1001).filter_map(|_| rates.refuse("app", start)).count();
        assert_eq!(refused, 1);
        assert_eq!(
            rates.refuse("app", start).unwrap().headers()[RETRY_AFTER],
            "1"
        );
        assert!(
            rates.refuse("other", start).is_none(),
            "each token has a rate of its own"
        );
        assert!(
            rates
                .refuse("app", start + Duration::from_millis(2))
                .is_none()
        );
    }

    #[test]
    fn what_a_question_lacks_is_told_in_the_protocols_words() {
        let code = |body: &str| question(body.as_bytes(), &Tenants::All).unwrap_err().code;
        assert_eq!(code("{"), "PARSE_ERROR");
        assert_eq!(code("{}"), "INVALID_CONTEXT");
        assert_eq!(code(r#"{"context":[]}"#), "INVALID_CONTEXT");
        assert_eq!(code(r#"{"context":{}}"#), "TARGETING_KEY_MISSING");
        assert_eq!(
            code(r#"{"context":{"targetingKey":""}}"#),
            "TARGETING_KEY_MISSING"
        );
        assert_eq!(code(r#"{"context":{"targetingKey":7}}"#), "INVALID_CONTEXT");
        assert_eq!(
            code(r#"{"context":{"targetingKey":"A b"}}"#),
            "INVALID_CONTEXT"
        );
    }
}
