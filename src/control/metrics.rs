//! `/metrics`: for Prometheus, without a token.
//!
//! Its own file: one a resource.

use axum::extract::State as Shared;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::IntoResponse;

use super::State;

/// The media type of OpenMetrics 1.0.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Exemplars only for who asks for OpenMetrics: other readers of the text take them for a fault.
pub(super) async fn show(Shared(state): Shared<State>, headers: HeaderMap) -> impl IntoResponse {
    let mut accepts = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok());
    let openmetrics = accepts.any(|accept| accept.contains("application/openmetrics-text"));
    let text = state
        .process
        .map(|process| {
            let (metrics, flags) = (&process.metrics, &process.flags);
            let in_force = flags.load().as_ref().map_or(0, |snapshot| {
                snapshot.frozen().in_force(flags.server_time()).count()
            });
            metrics.freezes.set(in_force as i64);
            metrics.writes_in_flight.set(flags.writes().count() as i64);
            match openmetrics {
                true => metrics.encode_with_exemplars(flags.age()),
                false => metrics.encode(flags.age()),
            }
        })
        .unwrap_or_default();
    ([(CONTENT_TYPE, OPENMETRICS)], text)
}
