//! Problem documents (RFC 9457): the one shape of every answer that is no success.
//!
//! Its own file, because programs branch on `code` and people read `detail` and `hint`; both are promises.

use std::ops::Deref;

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::rollout;

/// A problem document. Serialized, it is the body. Boxed, so that the `Result`s that carry it stay small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problem(Box<Document>);

/// Marks the answer to a write whose key is taken: what was done under it is answered instead.
#[derive(Clone, Copy)]
pub(super) struct Repeated;

const REPEATED: &str = "repeated";

/// What a [`Problem`] says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Document {
    /// `urn:ficus:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// A word that programs branch on.
    pub code: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What belongs to the code: `expected` and `actual`, `blockers`, `errors`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Document {
            kind: format!("urn:ficus:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            hint: None,
            more: Map::new(),
        }))
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.0.more.insert(name.to_owned(), value);
        self
    }

    /// The request's values are well-formed and not acceptable.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }
}

impl Deref for Problem {
    type Target = Document;

    fn deref(&self) -> &Document {
        &self.0
    }
}

impl From<rollout::Error> for Problem {
    fn from(error: rollout::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&rollout::Error> for Problem {
    fn from(error: &rollout::Error) -> Self {
        use rollout::Error as E;
        let new = |status, code| Self::new(status, code, error.to_string());
        match error {
            E::UnknownTenant(_) => new(StatusCode::NOT_FOUND, "unknown-tenant")
                .hint("`ficus tenant list` shows the tenants; `ficus tenant import` brings them in"),
            E::UnknownCapability(_) => new(StatusCode::NOT_FOUND, "unknown-capability")
                .hint("`ficus capability list` shows them; a new one is named in the configuration"),
            E::UnknownChange(_) => new(StatusCode::NOT_FOUND, "unknown-change").hint("`ficus audit list` shows the changes"),
            E::UnknownApiKey(_) => new(StatusCode::NOT_FOUND, "unknown-api-key").hint("`ficus apikey list` shows the keys"),
            E::UnknownWave(_) => new(StatusCode::NOT_FOUND, "unknown-wave").hint("`ficus wave list` shows the waves"),
            E::WaveRefused { .. } => new(StatusCode::UNPROCESSABLE_ENTITY, "wave-state"),
            E::Gates { wave, results } => new(StatusCode::UNPROCESSABLE_ENTITY, "gate")
                .with("gates", json!(results))
                .hint(format!("watch it with `ficus wave show {wave}`; an administrator goes past a gate with --skip-gate NAME")),
            E::WaveMoved { expected, actual, .. } => new(StatusCode::CONFLICT, "revision-conflict")
                .with("expected", json!(expected))
                .with("actual", json!(actual))
                .hint("somebody was faster: look at the wave, then repeat"),
            E::BadPlan(faults) => new(StatusCode::UNPROCESSABLE_ENTITY, "bad-plan").with("faults", json!(faults)),
            E::UnknownToken(_) => new(StatusCode::NOT_FOUND, "unknown-token").hint("`ficus token list` shows the tokens"),
            E::Conflict { expected, actual } => new(StatusCode::CONFLICT, "revision-conflict")
                .with("expected", json!(expected))
                .with("actual", json!(actual))
                .hint("look at what changed with `ficus audit list`, then repeat with the newest revision"),
            E::Superseded { rows, .. } => new(StatusCode::CONFLICT, "superseded")
                .with("rows", json!(rows))
                .hint("undo the later changes first, newest first, or set the flags as they should be"),
            E::NotUndoable { .. } => new(StatusCode::UNPROCESSABLE_ENTITY, "not-undoable"),
            E::Repeated => new(StatusCode::CONFLICT, REPEATED),
            E::Locked(blockers) => new(StatusCode::SERVICE_UNAVAILABLE, "locked")
                .with("blockers", json!(blockers))
                .hint("end that transaction, or in psql: select pg_terminate_backend(PID)"),
            E::Invalid(_) => new(StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            E::BadRows(faults) => new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-rows").with("errors", json!(faults)),
            E::Unavailable(_) => new(StatusCode::SERVICE_UNAVAILABLE, "database-unavailable").hint(
                "traffic goes on as it was; a rollback without the database: `ficus rollback --local SOCKET` on each proxy",
            ),
            E::Unsure => new(StatusCode::INTERNAL_SERVER_ERROR, "unsure")
                .hint("look with `ficus audit list`; repeating the command is safe"),
            E::Database(cause) => Self::refused(cause),
        }
    }
}

impl Problem {
    /// PostgreSQL said no for a reason that is not the caller's.
    fn refused(cause: &sqlx::Error) -> Self {
        tracing::error!(error = %cause, "the database refused a statement of the control plane");
        let detail = match cause {
            sqlx::Error::Database(e) => format!("the database refused: {}", e.message()),
            other => format!("the database refused: {other}"),
        };
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "database", detail);
        match cause.as_database_error().and_then(|e| e.code()).as_deref() {
            Some("3F000" | "42P01" | "42703" | "42883") => {
                problem.hint("apply the schema with `ficus migrate`")
            }
            Some("42501") => {
                problem.hint("the role needs the rights of ficus_app: grant ficus_app to ROLE")
            }
            Some("28000" | "28P01" | "3D000") => {
                problem.hint("check [database] url, or DATABASE_URL")
            }
            _ => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let repeated = self.code == REPEATED;
        let mut response = (status, Json(self)).into_response();
        if repeated {
            response.extensions_mut().insert(Repeated);
        }
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"ficus\""),
            );
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Revision;

    #[test]
    fn a_conflict_says_what_was_expected_and_what_is() {
        let problem = Problem::from(rollout::Error::Conflict {
            expected: Revision(3),
            actual: Revision(5),
        });
        let body = serde_json::to_value(&problem).unwrap();
        assert_eq!(body["status"], 409);
        assert_eq!(body["type"], "urn:ficus:problem:revision-conflict");
        assert_eq!((&body["expected"], &body["actual"]), (&json!(3), &json!(5)));
    }
}
