//! `/api/v1/flags`: list, show, set, history.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use serde::Deserialize;

use super::extract::{Json as Body, Path, Query, tenant_named};
use super::write::write_body;
use super::{Caller, Page, Problem, State, Written, default_limit};
use crate::ids::{Revision, TenantId};
use crate::rollout::{self, Flag, FlagChange, FlagFilter};

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    tenant: Option<String>,
    capability: Option<String>,
    state: Option<crate::flags::State>,
    /// `TENANT,CAPABILITY` of the last flag seen.
    after: Option<String>,
    #[serde(default = "default_limit")]
    limit: u32,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    capability: Option<String>,
    before: Option<i64>,
    #[serde(default = "default_limit")]
    limit: u32,
}

write_body!(SetBody {
    state: crate::flags::State,
});

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Flag>>, Problem> {
    let filter = FlagFilter {
        tenant: query.tenant.as_deref().map(tenant_named).transpose()?,
        capability: query.capability,
        state: query.state,
        after: query.after.as_deref().map(cursor).transpose()?,
    };
    let flags = rollout::flags(&state.db, &filter, query.limit).await?;
    Ok(Json(Page::new(flags, query.limit, |flag| {
        format!("{},{}", flag.tenant, flag.capability)
    })))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path((tenant, capability)): Path<(String, String)>,
) -> Result<Json<Flag>, Problem> {
    Ok(Json(
        rollout::flag(&state.db, &tenant_named(&tenant)?, &capability).await?,
    ))
}

pub(super) async fn set(
    Shared(state): Shared<State>,
    caller: Caller,
    Path((tenant, capability)): Path<(String, String)>,
    Body(body): Body<SetBody>,
) -> Result<Json<Written>, Problem> {
    let how = body.conditions().check(caller)?;
    let tenant = tenant_named(&tenant)?;
    let change = rollout::set_flag(&state.db, &how.terms, &tenant, &capability, body.state).await?;
    Ok(Json(Written::after(&state.db, change, &how).await))
}

pub(super) async fn history(
    Shared(state): Shared<State>,
    Path(tenant): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Page<FlagChange>>, Problem> {
    let tenant = tenant_named(&tenant)?;
    let (capability, before) = (query.capability.as_deref(), query.before.map(Revision));
    let history =
        rollout::flag_history(&state.db, &tenant, capability, before, query.limit).await?;
    Ok(Json(Page::new(history, query.limit, |change| {
        change.revision.to_string()
    })))
}

fn cursor(text: &str) -> Result<(TenantId, String), Problem> {
    let parsed = text.split_once(',').and_then(|(tenant, capability)| {
        Some((TenantId(tenant.parse().ok()?), capability.to_owned()))
    });
    parsed.ok_or_else(|| {
        Problem::invalid("`after` is no cursor: expected the `next` of the page before")
    })
}
