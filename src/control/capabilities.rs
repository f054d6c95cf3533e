//! `/api/v1/capabilities`: list, show, and the split. They are registered from the configuration.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;

use super::extract::{Json as Body, Path};
use super::write::write_body;
use super::{Caller, Page, Problem, State, Written};
use crate::flags::split::Percent;
use crate::rollout::{self, Capability};

write_body!(SplitBody {
    /// A number or a text: `12.5`, `"12.5"`.
    percent: serde_json::Value,
});

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Page<Capability>>, Problem> {
    Ok(Json(Page::whole(rollout::capabilities(&state.db).await?)))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(name): Path<String>,
) -> Result<Json<Capability>, Problem> {
    Ok(Json(rollout::capability(&state.db, &name).await?))
}

pub(super) async fn split(
    Shared(state): Shared<State>,
    Path(name): Path<String>,
    caller: Caller,
    Body(body): Body<SplitBody>,
) -> Result<Json<Written>, Problem> {
    let text = match &body.percent {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let percent = Percent::parse(&text).map_err(Problem::invalid)?;
    let how = body.conditions().check(caller)?;
    let change = rollout::set_split(&state.db, &how.terms, &name, percent).await?;
    Ok(Json(Written::after(&state.db, change, &how).await))
}
