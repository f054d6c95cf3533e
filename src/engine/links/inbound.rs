//! `POST /inbound/bounces`: takes the mails that come back, as relays hand them on.
//!
//! Its own file, because it reads bytes of strangers in the name of a relay that we trust: the relay shows a secret, and a report
//! changes something only for a message that was ours. The same report again changes nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::timeout;
use uuid::Uuid;

use super::Inner;
use super::lookup::Missing;
use super::verdict::judge;
use crate::engine::bounce::{self, Origin, REPORT_LIMIT, Report};
use crate::ids::TenantId;
use crate::modern::problem::Problem;

/// The envelope's recipient, where the relay tells it; else it is looked for in the mail's own headers.
const ENVELOPE_TO: &str = "x-envelope-to";
/// Bytes of a mail. What stands behind the front of it is the mail that is returned, and is not kept.
const MAIL_LIMIT: usize = 32 * 1024 * 1024;
/// For the relay to hand a mail over.
const UPLOAD: Duration = Duration::from_secs(30);
/// For the report to be written.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) async fn take_report(
    State(links): State<Arc<Inner>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match take(&links, &headers, body).await {
        Ok(status) => (StatusCode::ACCEPTED, Json(json!({ "status": status }))).into_response(),
        Err(problem) => {
            let status = problem.status();
            let mut response = problem.into_response();
            let told = match status {
                StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
                StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "10")),
                _ => None,
            };
            if let Some((name, value)) = told {
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            response
        }
    }
}

/// What became of a mail: `recorded`; `known`, when it had come before; `unmatched`, when no message of ours is meant; `ignored`, when
/// it is no report.
async fn take(links: &Inner, headers: &HeaderMap, body: Body) -> Result<&'static str, Problem> {
    authorize(links, headers)?;
    let kind = text(headers, "content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("message/rfc822") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a report is handed in as it came: send the mail with content-type: message/rfc822",
        ));
    }
    let mail = read_front(body).await?;
    let envelope_to = bounce::envelope_to(&mail);
    let delivered_to = text(headers, ENVELOPE_TO).or(envelope_to.as_deref());
    let report = match begins_with_a_header(&mail) {
        true => bounce::read(&mail, delivered_to),
        false => None,
    };
    let report = report.ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "the body is no mail: expected headers, an empty line and a body, as RFC 5322 has them",
        )
    })?;
    let became = record(links, &report, &Sha256::digest(&mail)).await?;
    tracing::info!(status = became, kind = kind_of(&report), "a mail came back");
    Ok(became)
}

fn authorize(links: &Inner, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(secret) = &links.inbound else {
        return Err(Problem::not_found("this service takes no reports"));
    };
    let shown = text(headers, "authorization").and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    // Digests are compared: they are of one length, whatever is shown.
    let shown = Sha256::digest(shown.unwrap_or_default());
    match bool::from(shown.as_slice().ct_eq(secret)) {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "show engine.inbound_secret as a bearer token",
        )),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The front of a mail, as far as reports are read. The rest is taken and dropped, so that its relay is rid of it.
async fn read_front(body: Body) -> Result<Vec<u8>, Problem> {
    let read = async {
        let (mut front, mut size) = (Vec::new(), 0);
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk =
                chunk.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body was cut off"))?;
            size += chunk.len();
            if size > MAIL_LIMIT {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("a report is a mail of at most {MAIL_LIMIT} bytes"),
                ));
            }
            let room = REPORT_LIMIT - front.len();
            front.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(front)
    };
    let late = Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        format!("the body did not come within {UPLOAD:?}"),
    );
    timeout(UPLOAD, read).await.unwrap_or(Err(late))
}

/// The parser takes any bytes for a mail, with whatever it finds in them. Some relays write an mbox's `From ` line first.
fn begins_with_a_header(mail: &[u8]) -> bool {
    let name = mail.split(|byte| *byte == b':').next().unwrap_or_default();
    let is_name = !name.is_empty() && name.len() < mail.len();
    mail.starts_with(b"From ") || is_name && name.iter().all(u8::is_ascii_graphic)
}

async fn record(links: &Inner, report: &Report, digest: &[u8]) -> Result<&'static str, Problem> {
    let (Report::Delivery { origin, .. } | Report::Complaint { origin, .. }) = report else {
        return Ok("ignored");
    };
    let found = match find(links, origin).await {
        Ok(found) => found,
        Err(Missing::Nowhere) => return Ok("unmatched"),
        Err(Missing::Away) => return Err(away()),
    };
    let (tenant, message, address) = found;
    let Some(verdict) = judge(report, &address) else {
        return Ok("ignored");
    };
    let written = sqlx::query_scalar("select ficus.record_bounce($1, $2, $3, $4, $5, $6, $7)")
        .bind(message)
        .bind(tenant.0)
        .bind(digest)
        .bind(verdict.kind)
        .bind(&verdict.status)
        .bind(verdict.suppress)
        .bind(&verdict.reason)
        .fetch_one(&links.ficus);
    let is_new = match timeout(DEADLINE, written).await {
        Ok(Ok(is_new)) => is_new,
        Ok(Err(error)) => {
            tracing::error!(%error, %message, "could not write a report down");
            return Err(away());
        }
        Err(_) => return Err(away()),
    };
    if let (true, Some(reason)) = (is_new, verdict.suppress) {
        tracing::info!(%tenant, %message, reason, "nothing more is sent to the message's recipient");
        links.waiting.tell();
    }
    Ok(if is_new { "recorded" } else { "known" })
}

/// The message that a report is about, with its tenant and recipient. The address to which it came is asked first: it is signed, and
/// what the report says in its own words is not.
async fn find(links: &Inner, origin: &Origin) -> Result<(TenantId, Uuid, String), Missing> {
    let mut found = None;
    if let (Some(returned), Some(keys)) = (&origin.returned, &links.keys) {
        match links.lookup.message(returned.message()).await {
            Ok(known) if returned.is_ours(keys, known.tenant) => {
                found = Some((known.tenant, returned.message()));
            }
            Ok(_) | Err(Missing::Nowhere) => {}
            Err(Missing::Away) => return Err(Missing::Away),
        }
    }
    for id in [origin.envelope_id, origin.message_id]
        .into_iter()
        .flatten()
    {
        if found.is_some() {
            break;
        }
        match links.lookup.message(id).await {
            Ok(known) => found = Some((known.tenant, id)),
            Err(Missing::Nowhere) => {}
            Err(Missing::Away) => return Err(Missing::Away),
        }
    }
    let (tenant, message) = found.ok_or(Missing::Nowhere)?;
    let address = links.lookup.recipient(message).await?;
    Ok((tenant, message, address))
}

fn kind_of(report: &Report) -> &'static str {
    match report {
        Report::Delivery { .. } => "delivery",
        Report::Complaint { .. } => "complaint",
        Report::Other { .. } => "other",
    }
}

fn away() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the database does not answer: hand the report in again",
    )
}
