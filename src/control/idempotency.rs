//! `Idempotency-Key`: the same request with the same key is done once, and answered alike.
//!
//! Its own file, because it stands around every write and none of them knows of it: the key travels in the author,
//! and the write's own transaction takes it (rollout::idempotency).

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::error::Repeated;
use super::{Caller, MAX_BODY, MAX_IMPORT_BODY, Problem, State, Written};
use crate::rollout::{self, Kept, RequestKey};

const HEADER: &str = "idempotency-key";
/// Says that the answer is that of an earlier request.
const REPLAYED: &str = "idempotency-replayed";
const MAX_KEY: usize = 200;
/// How long a repetition waits for the first to be answered.
const PATIENCE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(50);
/// Bytes of an answer that is kept.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// What a repetition gets when the first one's answer is not kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The change as it stands.
    Change,
    /// Nothing: it is kept nowhere, since it holds a secret.
    Secret,
    /// Nothing: it is no change of the control state, so nobody else knows it.
    Beside,
}

impl Answer {
    fn of(method: &Method, path: &str) -> Self {
        let is_post = *method == Method::POST;
        if is_post && (path.ends_with("/tokens") || path.ends_with("/api-keys")) {
            return Self::Secret;
        }
        if path.starts_with("/api/v1/messages") || path == "/api/v1/holds" {
            return Self::Beside;
        }
        Self::Change
    }
}

/// Runs a write with a key once. Requests without a key pass.
pub(super) async fn once(
    axum::extract::State((state, path)): axum::extract::State<(State, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(key) = request.headers().get(HEADER) else {
        return next.run(request).await;
    };
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let Some(key) = key
        .to_str()
        .ok()
        .filter(|it| (1..=MAX_KEY).contains(&it.len()))
    else {
        return Problem::invalid(format!(
            "an Idempotency-Key has 1 to {MAX_KEY} visible ASCII characters"
        ))
        .into_response();
    };
    let key = key.to_owned();
    let answer = Answer::of(request.method(), path);
    match keyed(&state, path, answer, key, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn keyed(
    state: &State,
    path: &str,
    answer: Answer,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let limit = if path.ends_with("/import") {
        MAX_IMPORT_BODY
    } else {
        MAX_BODY
    };
    let body = to_bytes(body, limit).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "the body is larger than this route takes",
        )
    })?;
    let Some(caller) = parts.extensions.get_mut::<Caller>() else {
        return Ok(next.run(Request::from_parts(parts, Body::from(body))).await);
    };
    let digest = Sha256::new()
        .chain_update(format!("{} {}\n", parts.method, parts.uri))
        .chain_update(&body)
        .finalize();
    let key = RequestKey {
        key,
        request: digest.into(),
    };
    let actor = caller.actor.clone();
    if let Some(kept) = rollout::kept(&state.db, &actor, &key).await? {
        return repeat(state, &actor, &key, kept, answer).await;
    }
    caller.key = Some(key.clone());
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if response.extensions().get::<Repeated>().is_some()
        && let Some(kept) = rollout::kept(&state.db, &actor, &key).await?
    {
        return repeat(state, &actor, &key, kept, answer).await;
    }
    if !response.status().is_success() || answer == Answer::Secret {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_ANSWER).await.map_err(|fault| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "answer",
            fault.to_string(),
        )
    })?;
    // It was done: an answer that cannot be kept is worked out again for who repeats it.
    if let Err(fault) = rollout::keep_answer(
        &state.db,
        &actor,
        &key,
        parts.status.as_u16(),
        &String::from_utf8_lossy(&body),
    )
    .await
    {
        tracing::warn!(error = %fault, "the answer to a keyed write is not kept");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Answers as the first request was answered, and waits for that if it is still under way.
async fn repeat(
    state: &State,
    actor: &str,
    key: &RequestKey,
    mut kept: Kept,
    answer: Answer,
) -> Result<Response, Problem> {
    if !kept.same {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "key-reused",
            "this Idempotency-Key was used with another request",
        )
        .hint("take a fresh key for each write, and the same one only to repeat it"));
    }
    if answer == Answer::Secret {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "done-once",
            "this was done already, and its secret is shown once",
        )
        .hint("revoke what was made and make another, if the answer was lost"));
    }
    let start = Instant::now();
    while kept.answer.is_none() && start.elapsed() < PATIENCE {
        sleep(POLL).await;
        match rollout::kept(&state.db, actor, key).await? {
            Some(newer) => kept = newer,
            None => break,
        }
    }
    let (status, body) = match kept.answer {
        Some(answer) => answer,
        None if answer == Answer::Beside => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "done-once",
                "this was done already, and its answer was lost",
            )
            .hint("look with `ficus message show`; the same command without the key is safe to repeat"));
        }
        // Whoever did it went away before the answer was known: what it did stands.
        None => {
            let written = Written::resumed(&state.db, kept.change).await;
            let body = serde_json::to_string(&written)
                .map_err(|fault| Problem::invalid(fault.to_string()))?;
            rollout::keep_answer(&state.db, actor, key, 200, &body).await?;
            (200, body)
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = (status, body).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
