//! `/api/v1/status`: the migration at a glance.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;

use super::{Problem, State};
use crate::rollout::{self, Status};

pub(super) async fn show(Shared(state): Shared<State>) -> Result<Json<Status>, Problem> {
    Ok(Json(rollout::status(&state.db).await?))
}
