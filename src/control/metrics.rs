//! `/metrics`: for Prometheus, without a token.
//!
//! Its own file: one a resource.

use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::State;

/// The media type of OpenMetrics 1.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn show(Shared(state): Shared<State>) -> impl IntoResponse {
    let text = state
        .process
        .map(|process| process.metrics.encode(process.flags.age()))
        .unwrap_or_default();
    ([(CONTENT_TYPE, OPENMETRICS)], text)
}
