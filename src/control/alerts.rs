//! `/api/v1/alerts`: what people were told of, and are still to be.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::extract::Query;
use super::{Page, Problem, State, default_limit};
use crate::alerts::{self, Filter, Severity, Standing};
use crate::rollout::{Error, MAX_PAGE};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    severity: Option<Severity>,
    state: Option<AlertState>,
    /// The `next` of the page before: an alert's id.
    before: Option<Uuid>,
    #[serde(default = "default_limit")]
    limit: u32,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AlertState {
    Open,
    Closed,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Standing>>, Problem> {
    let filter = Filter {
        severity: query.severity,
        open: query.state.map(|it| matches!(it, AlertState::Open)),
        before: query.before,
    };
    let limit = i64::from(query.limit.clamp(1, MAX_PAGE));
    let found = alerts::list(&state.db, filter, limit).await;
    let found = found.map_err(Error::from)?;
    Ok(Json(Page::new(found, query.limit, |it| it.id.to_string())))
}
