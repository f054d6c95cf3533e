//! `/api/v1/status`: the migration at a glance.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use serde::{Deserialize, Serialize};

use super::{Problem, State};
use crate::proxy::upstream::Standing;
use crate::rollout::{self, Status};

/// What the database says of all, and what the process that answers sees by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Overview {
    #[serde(flatten)]
    pub status: Status,
    /// `None`: there is no proxy in the process that answered.
    #[serde(default)]
    pub upstreams: Option<Vec<Standing>>,
}

pub(super) async fn show(Shared(state): Shared<State>) -> Result<Json<Overview>, Problem> {
    let process = state.process.as_ref();
    let explainer = process.and_then(|process| process.explainer.as_ref());
    Ok(Json(Overview {
        status: rollout::status(&state.db).await?,
        upstreams: explainer.map(|explainer| explainer.upstreams()),
    }))
}
