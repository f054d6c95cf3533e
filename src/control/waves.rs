//! `/api/v1/waves`: plan, list, show, and each transition.
//!
//! Its own file: one a resource. Going past a gate is a route of its own, so that the table of routes says who may.

use axum::Json;
use axum::extract::State as Shared;
use serde::{Deserialize, Serialize};

use super::extract::{Json as Body, Path, Query};
use super::write::{Checked, write_body};
use super::{Caller, Page, Problem, State, Written, default_limit};
use crate::rollout::wave::{
    self, Defaults, Draft, GateResult, Plan, PlannedWave, Transition, Wave, WaveDetail,
};

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    capability: Option<String>,
    #[serde(default = "default_limit")]
    limit: u32,
}

write_body!(PlanBody {
    capability: String,
    /// None: a wave for each class that has tenants left.
    #[serde(default)]
    waves: Vec<Draft>,
    #[serde(default)]
    defaults: Defaults,
    salt: Option<String>,
});

write_body!(StepBody {});

write_body!(SkipBody {
    /// Names as `ficus wave show` has them.
    gates: Vec<String>,
});

/// The answer to a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlanWritten {
    #[serde(flatten)]
    pub written: Written,
    pub waves: Vec<PlannedWave>,
}

/// The answer to a transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WaveWritten {
    #[serde(flatten)]
    pub written: Written,
    /// As it stands now, or after a dry run as it would stand.
    pub wave: Wave,
    /// What the gates said that it went through.
    pub gates: Vec<GateResult>,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Wave>>, Problem> {
    let waves = wave::waves(&state.db, query.capability.as_deref(), query.limit).await?;
    Ok(Json(Page::whole(waves)))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(name): Path<String>,
) -> Result<Json<WaveDetail>, Problem> {
    Ok(Json(wave::wave(&state.db, &name).await?))
}

pub(super) async fn plan(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<PlanBody>,
) -> Result<Json<PlanWritten>, Problem> {
    let how = body.conditions().check(caller)?;
    let plan = Plan {
        capability: body.capability,
        waves: body.waves,
        defaults: body.defaults,
        salt: body.salt,
    };
    let (change, waves) =
        wave::plan(&state.db, &how.terms, &plan, state.queries.as_deref()).await?;
    Ok(Json(PlanWritten {
        written: Written::after(&state.db, change, &how).await,
        waves,
    }))
}

pub(super) async fn start(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<StepBody>,
) -> Result<Json<WaveWritten>, Problem> {
    let how = body.conditions().check(caller)?;
    let done = wave::start(&state.db, &how.terms, &name).await?;
    answer(&state, done, &how).await
}

pub(super) async fn pause(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<StepBody>,
) -> Result<Json<WaveWritten>, Problem> {
    let how = body.conditions().check(caller)?;
    let done = wave::pause(&state.db, &how.terms, &name).await?;
    answer(&state, done, &how).await
}

pub(super) async fn resume(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<StepBody>,
) -> Result<Json<WaveWritten>, Problem> {
    let how = body.conditions().check(caller)?;
    let done = wave::resume(&state.db, &how.terms, &name).await?;
    answer(&state, done, &how).await
}

pub(super) async fn go(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<StepBody>,
) -> Result<Json<WaveWritten>, Problem> {
    let how = body.conditions().check(caller)?;
    let done = wave::go(&state.db, &how.terms, &name).await?;
    answer(&state, done, &how).await
}

pub(super) async fn advance(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<StepBody>,
) -> Result<Json<WaveWritten>, Problem> {
    let how = body.conditions().check(caller)?;
    let queries = state.queries.as_deref();
    let done = wave::advance(&state.db, &how.terms, &name, queries, &[]).await?;
    answer(&state, done, &how).await
}

pub(super) async fn skip_gates(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<SkipBody>,
) -> Result<Json<WaveWritten>, Problem> {
    let how = body.conditions().check(caller)?;
    let queries = state.queries.as_deref();
    let done = wave::advance(&state.db, &how.terms, &name, queries, &body.gates).await?;
    answer(&state, done, &how).await
}

pub(super) async fn abort(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<StepBody>,
) -> Result<Json<WaveWritten>, Problem> {
    let how = body.conditions().check(caller)?;
    let done = wave::abort(&state.db, &how.terms, &name).await?;
    answer(&state, done, &how).await
}

async fn answer(
    state: &State,
    done: Transition,
    how: &Checked,
) -> Result<Json<WaveWritten>, Problem> {
    Ok(Json(WaveWritten {
        written: Written::after(&state.db, done.change, how).await,
        wave: done.wave,
        gates: done.gates,
    }))
}
