//! `/health/live` and `/health/ready`: for load balancers, without a token.
//!
//! Its own file, because others depend on exactly these words: ready means that there is a snapshot to decide by,
//! and has nothing to do with the database being there.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Problem, State};

pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

pub(super) async fn ready(Shared(state): Shared<State>) -> Result<Json<Value>, Problem> {
    match state.process.as_ref().map(|process| &process.flags) {
        Some(flags) if flags.is_ready() => Ok(Json(
            json!({ "status": "ready", "revision": flags.revision() }),
        )),
        _ => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-ready",
            "there is no snapshot of the flags yet",
        )),
    }
}
