//! `/api/v1/changes`: the audit, and undo.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use serde::Deserialize;

use super::extract::{Json as Body, Path, Query};
use super::write::write_body;
use super::{Caller, Page, Problem, State, Written, default_limit};
use crate::ids::Revision;
use crate::rollout::{self, ChangeDetail, ChangeRow};

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    before: Option<i64>,
    #[serde(default = "default_limit")]
    limit: u32,
}

write_body!(UndoBody {});

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<ChangeRow>>, Problem> {
    let changes = rollout::changes(&state.db, query.before.map(Revision), query.limit).await?;
    Ok(Json(Page::new(changes, query.limit, |change| {
        change.revision.to_string()
    })))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(revision): Path<i64>,
) -> Result<Json<ChangeDetail>, Problem> {
    Ok(Json(rollout::change(&state.db, Revision(revision)).await?))
}

pub(super) async fn undo(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(revision): Path<i64>,
    Body(body): Body<UndoBody>,
) -> Result<Json<Written>, Problem> {
    let how = body.conditions().check(caller)?;
    let change = rollout::undo(&state.db, &how.terms, Revision(revision)).await?;
    Ok(Json(Written::after(&state.db, change, &how).await))
}
