//! `/api/v1/audit`: the chain of hashes and what it is over, in pages, for who checks or keeps it elsewhere.
//!
//! Its own file, because it shows the rows as they were hashed; `/api/v1/changes` shows them as people read them.

use axum::Json;
use axum::extract::State as Shared;
use schemars::JsonSchema;
use serde::Deserialize;

use super::extract::Query;
use super::{Page, Problem, State, default_limit};
use crate::rollout::audit::{self, Head, Link, SealedChange, SealedItem};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AfterQuery {
    /// The `next` of the page before.
    #[serde(default)]
    after: i64,
    #[serde(default = "default_limit")]
    limit: u32,
}

pub(super) async fn head(Shared(state): Shared<State>) -> Result<Json<Head>, Problem> {
    Ok(Json(audit::head(&state.db).await?))
}

pub(super) async fn links(
    Shared(state): Shared<State>,
    Query(query): Query<AfterQuery>,
) -> Result<Json<Page<Link>>, Problem> {
    let links = audit::links(&state.db, query.after, query.limit).await?;
    Ok(Json(Page::new(links, query.limit, |link| {
        link.seq.to_string()
    })))
}

pub(super) async fn changes(
    Shared(state): Shared<State>,
    Query(query): Query<AfterQuery>,
) -> Result<Json<Page<SealedChange>>, Problem> {
    let changes = audit::sealed_changes(&state.db, query.after, query.limit).await?;
    Ok(Json(Page::new(changes, query.limit, |it| {
        it.revision.to_string()
    })))
}

pub(super) async fn items(
    Shared(state): Shared<State>,
    Query(query): Query<AfterQuery>,
) -> Result<Json<Page<SealedItem>>, Problem> {
    let items = audit::sealed_items(&state.db, query.after, query.limit).await?;
    Ok(Json(Page::new(items, query.limit, |it| {
        it.place.to_string()
    })))
}
