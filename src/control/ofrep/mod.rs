//! `/ofrep/v1`: the OpenFeature Remote Evaluation Protocol, by which applications ask which side a tenant is on.
//!
//! Its own file, because its words are the protocol's and not ours: its errors are no problem documents, and each
//! answer comes from this process's snapshot, without the database. The proxy's own routing never asks it.
//!
//! A flag is a capability; its value is true where modern answers, so an application whose question fails and that
//! falls back on false is on legacy, as the proxy would have it. The variant names the side.

mod question;
mod rate;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response, Sse};
use futures_util::{Stream, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use question::{Fault, allowed, question};
pub(super) use rate::Rates;

use super::events::{Waiting, Woken, last_event};
use super::extract::{Path, Query};
use super::{Caller, Problem, State};
use crate::flags::{Caller as Asker, Reason, Side, Snapshot, decide};
use crate::ids::{Revision, TenantRef};

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
        let mut answer = evaluation(&snapshot, &key, &tenant);
        answer["metadata"]["version"] = json!(snapshot.revision.0);
        Ok(answer)
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

/// Without the revision, which in a list stands once: a flag that is as it was must look as it did, or providers tell their
/// application that it has changed.
fn evaluation(snapshot: &Snapshot, capability: &str, tenant: &TenantRef) -> Value {
    let asker = snapshot.find(tenant).map_or(Asker::Stranger, Asker::Tenant);
    let decision = decide(snapshot, capability, asker);
    json!({
        "key": capability,
        "value": decision.side == Side::Modern,
        "variant": decision.side.as_str(),
        "reason": reason(decision.reason),
        "metadata": { "decision": decision.reason.as_str() },
    })
}

/// Our reasons in the protocol's words.
fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Flag => "TARGETING_MATCH",
        Reason::Split => "SPLIT",
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
}
