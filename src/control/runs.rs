//! `/api/v1/runs`: campaigns that were sent, each time: list, pause, resume, cancel.
//!
//! Its own file: one a resource. A run is one send of a campaign; holding the campaign itself back is `/api/v1/holds`.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::extract::{Json as Body, Path, Query, tenant_named};
use super::messages::{author, by, note};
use super::{Caller, Page, Problem, State, default_limit};
use crate::engine::operations::{self, Run, RunOperation};
use crate::rollout::{self, Beside, Error};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// An id or a slug.
    tenant: Option<String>,
    /// Also those that are over.
    #[serde(default)]
    all: bool,
    /// The `next` of the page before: a run's id.
    before: Option<Uuid>,
    #[serde(default = "default_limit")]
    limit: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunBody {
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// The answer to a pause, a resumption or a cancelling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunWritten {
    /// False: it stood so.
    pub changed: bool,
    /// As it stands now; of a dry run, as it would.
    pub run: Run,
    pub dry_run: bool,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Run>>, Problem> {
    let tenant = match &query.tenant {
        Some(text) => Some(rollout::tenant(&state.db, &tenant_named(text)?).await?.id),
        None => None,
    };
    let most = i64::from(query.limit.clamp(1, rollout::MAX_PAGE));
    let found = operations::runs(&state.db, tenant, query.all, query.before, most).await;
    let found = found.map_err(Error::from)?;
    Ok(Json(Page::new(found, query.limit, |it| it.id.to_string())))
}

pub(super) async fn pause(
    state: Shared<State>,
    caller: Caller,
    run: Path<Uuid>,
    body: Body<RunBody>,
) -> Result<Json<RunWritten>, Problem> {
    operate(state, caller, run, body, RunOperation::Pause).await
}

pub(super) async fn resume(
    state: Shared<State>,
    caller: Caller,
    run: Path<Uuid>,
    body: Body<RunBody>,
) -> Result<Json<RunWritten>, Problem> {
    operate(state, caller, run, body, RunOperation::Resume).await
}

pub(super) async fn cancel(
    state: Shared<State>,
    caller: Caller,
    run: Path<Uuid>,
    body: Body<RunBody>,
) -> Result<Json<RunWritten>, Problem> {
    operate(state, caller, run, body, RunOperation::Cancel).await
}

async fn operate(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(body): Body<RunBody>,
    operation: RunOperation,
) -> Result<Json<RunWritten>, Problem> {
    let author = author(caller, body.reason, body.dry_run)?;
    let mut write = Beside::begin(&state.db, &author).await?;
    let done = operations::operate(write.connection(), id, operation, by(&author)).await;
    let (changed, run) = done.map_err(Error::from)?.ok_or_else(|| unknown(id))?;
    if !changed && !stands(&run, operation) {
        return Err(over(&run, operation));
    }
    write.finish(body.dry_run).await?;
    note(&author, operation.as_str(), body.dry_run || !changed);
    Ok(Json(RunWritten {
        changed,
        run,
        dry_run: body.dry_run,
    }))
}

/// It is as it was to become, whoever did it.
fn stands(run: &Run, operation: RunOperation) -> bool {
    let lasts = matches!(run.state.as_str(), "expanding" | "sending");
    match operation {
        RunOperation::Pause => lasts && run.is_paused,
        RunOperation::Resume => lasts && !run.is_paused,
        RunOperation::Cancel => matches!(run.state.as_str(), "cancelling" | "cancelled"),
    }
}

fn unknown(run: Uuid) -> Problem {
    let detail = format!("there is no run {run}");
    Problem::new(StatusCode::NOT_FOUND, "unknown-run", detail)
        .hint("`ficus message runs --all` shows them")
}

fn over(run: &Run, operation: RunOperation) -> Problem {
    let (id, state, wanted) = (run.id, &run.state, operation.as_str());
    let detail = format!("run {id} is {state}: it is too late to {wanted} it");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "run-over", detail).with("state", json!(state))
}
