//! `POST /api/v1/messages` and `GET /api/v1/messages/{id}`: hands messages in, and says what became of one.
//!
//! Its own folder, because this is the engine's own face; legacy's routes stand beside it.

mod request;
mod shown;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::Handle;
use super::group::Fault as Fallen;
use super::message::{Accepted, Channel, NewMessage};
use super::spans;
use super::submit::StoreFault;
use crate::ids::TenantId;
use crate::modern::problem::Problem;
use crate::modern::tenant::Tenant;
use request::Fault;

pub use shown::show;

/// Messages in one request.
pub const MOST_MESSAGES: usize = 1_000;
/// Bytes of one request.
pub const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// What became of a request's messages, each by its place in the request.
#[derive(Debug, Default, Serialize)]
struct Answer {
    accepted: Vec<Known>,
    duplicate: Vec<Known>,
    rejected: Vec<Rejected>,
}

#[derive(Debug, Serialize)]
struct Known {
    index: usize,
    id: Uuid,
}

#[derive(Debug, Serialize)]
struct Rejected {
    index: usize,
    #[serde(flatten)]
    fault: Fault,
}

/// 202 once everything that is told as accepted is on the disk. A request of one message that is not accepted is a fault of its own:
/// 409 for a key that stands for another message, 422 for anything else.
pub async fn accept(
    State(engine): State<Handle>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (items, is_one) = items(&body)?;
    let mut answer = Answer::default();
    let mut messages: Vec<(usize, NewMessage)> = Vec::with_capacity(items.len());
    let now = Utc::now();
    let traceparent = spans::recorded(&headers);
    for (index, item) in items.into_iter().enumerate() {
        match request::read(item, tenant, now, traceparent.as_deref()) {
            Ok(message) => messages.push((index, message)),
            Err(fault) => answer.rejected.push(Rejected { index, fault }),
        }
    }
    // Each channel has a quota of its own.
    let (texts, mails): (Vec<_>, Vec<_>) = messages
        .into_iter()
        .partition(|(_, message)| message.channel == Channel::Sms);
    hand_in(&engine, tenant, Channel::Email, mails, &mut answer).await?;
    hand_in(&engine, tenant, Channel::Sms, texts, &mut answer).await?;
    answer.accepted.sort_by_key(|it| it.index);
    answer.duplicate.sort_by_key(|it| it.index);
    answer.rejected.sort_by_key(|it| it.index);
    match answer.rejected.first() {
        Some(only) if is_one => {
            let status = match only.fault.code {
                "conflict" => StatusCode::CONFLICT,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            Err(Problem::new(status, only.fault.detail.clone()))
        }
        _ => Ok((StatusCode::ACCEPTED, Json(answer)).into_response()),
    }
}

/// Takes quota for them, and stores what there is quota for.
async fn hand_in(
    engine: &Handle,
    tenant: TenantId,
    channel: Channel,
    mut messages: Vec<(usize, NewMessage)>,
    answer: &mut Answer,
) -> Result<(), Problem> {
    let quota = engine.quotas.of(channel);
    let wanted = u32::try_from(messages.len()).unwrap_or(u32::MAX);
    let granted = quota.take(tenant, wanted).await.map_err(away)?;
    for (index, _) in messages.split_off(messages.len().min(granted as usize)) {
        let fault = Fault::new("quota", "the tenant's quota is used up");
        answer.rejected.push(Rejected { index, fault });
    }
    let (places, messages): (Vec<usize>, Vec<NewMessage>) = messages.into_iter().unzip();
    if messages.is_empty() {
        return Ok(());
    }
    let became = match engine.submitter.submit(messages).await {
        Ok(became) => became,
        Err(fault) => {
            // Whether they were stored is not known when the connection was lost: then what was taken stays taken, which is the safe side.
            if let Fallen::Statement(error) = &fault
                && error.as_database_error().is_some()
            {
                quota.give(tenant, granted).await;
            }
            return Err(away(fault));
        }
    };
    let mut unused = 0;
    for (index, became) in places.into_iter().zip(became) {
        let reject = |code, detail: &str| Rejected {
            index,
            fault: Fault::new(code, detail),
        };
        unused += u32::from(!matches!(became, Accepted::New(_)));
        match became {
            Accepted::New(id) => answer.accepted.push(Known { index, id: id.0 }),
            Accepted::Duplicate(id) => answer.duplicate.push(Known { index, id: id.0 }),
            Accepted::Conflict(id) => answer.rejected.push(reject(
                "conflict",
                &format!("the idempotency key stands for another message, {id}"),
            )),
            Accepted::Suppressed => answer.rejected.push(reject(
                "suppressed",
                "the tenant sends to this recipient no more: it has unsubscribed, bounced or complained",
            )),
        }
    }
    quota.give(tenant, unused).await;
    if !answer.accepted.is_empty() {
        engine.hints.due(tenant);
    }
    Ok(())
}

/// The request's messages, and whether it is a single one that is no list.
fn items(body: &[u8]) -> Result<(Vec<Value>, bool), Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let value = serde_json::from_slice(body).map_err(|error| {
        bad(format!(
            "the body is no JSON: line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    match value {
        Value::Array(items) if items.is_empty() => {
            Err(bad("the list of messages is empty".to_owned()))
        }
        Value::Array(items) if items.len() > MOST_MESSAGES => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "a request has at most {MOST_MESSAGES} messages, and this one {}",
                items.len()
            ),
        )),
        Value::Array(items) => Ok((items, false)),
        item @ Value::Object(_) => Ok((vec![item], true)),
        _ => Err(bad("expected a message or a list of messages".to_owned())),
    }
}

fn away(fault: Fallen<StoreFault>) -> Problem {
    tracing::error!(%fault, "could not accept messages");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the messages could not be stored: hand the same in again, each with its idempotency key",
    )
}

/// A body that is larger than it may be.
pub async fn refuse_large(answer: Response) -> Response {
    match answer.status() {
        StatusCode::PAYLOAD_TOO_LARGE
            if answer
                .headers()
                .get(header::CONTENT_TYPE)
                .is_none_or(|it| it != "application/problem+json") =>
        {
            let detail = format!("a request has at most {BODY_LIMIT} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response()
        }
        _ => answer,
    }
}
