//! What handlers take from a request: JSON, query and path, whose faults are problem documents too.
//!
//! Its own file, because axum's own extractors answer faults in plain text.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Problem;
use crate::ids::{BadTenantRef, TenantRef};

pub(super) struct Json<T>(pub T);
pub(super) struct Query<T>(pub T);
pub(super) struct Path<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(fault) => Err(bad_json(&fault)),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(fault) => Err(bad_query(&fault)),
        }
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(fault) => Err(bad_path(&fault)),
        }
    }
}

/// A tenant as the path or the query names it.
pub(super) fn tenant_named(text: &str) -> Result<TenantRef, Problem> {
    text.parse()
        .map_err(|fault: BadTenantRef| Problem::invalid(fault.to_string()))
}

fn bad_json(fault: &JsonRejection) -> Problem {
    match fault.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "the body is larger than this route takes: 1 MiB, an import 64 MiB",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "expected a body of content-type application/json",
        ),
        status => Problem::new(status, "bad-body", fault.body_text()),
    }
}

fn bad_query(fault: &QueryRejection) -> Problem {
    Problem::new(fault.status(), "bad-query", fault.body_text())
}

fn bad_path(fault: &PathRejection) -> Problem {
    Problem::new(fault.status(), "bad-path", fault.body_text())
}
