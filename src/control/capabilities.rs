//! `/api/v1/capabilities`: list and show. They are registered from the configuration.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;

use super::extract::Path;
use super::{Page, Problem, State};
use crate::rollout::{self, Capability};

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Page<Capability>>, Problem> {
    Ok(Json(Page::whole(rollout::capabilities(&state.db).await?)))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(name): Path<String>,
) -> Result<Json<Capability>, Problem> {
    Ok(Json(rollout::capability(&state.db, &name).await?))
}
