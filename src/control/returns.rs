//! `/api/v1/returns`: give a tenant's unsent messages back to legacy, and see how far that has come.
//!
//! Its own file: one a resource. The answer to a write says what was queued; the engine's task does the rest, and the list tells of it.

use axum::Json;
use axum::extract::State as Shared;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::{Json as Body, Path, Query, tenant_named};
use super::messages::{author, by, note};
use super::{Caller, Page, Problem, State};
use crate::engine::operations::{self, Handback, Return, UnderWay, Unsent};
use crate::ids::TenantRef;
use crate::rollout::{self, Beside, Error, MAX_PAGE};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// An id or a slug.
    tenant: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReturnBody {
    tenant: TenantRef,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// The answer to a return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnWritten {
    /// False: it was asked for before.
    pub changed: bool,
    pub tenant_id: i64,
    /// What was queued when it was asked for.
    pub unsent: Unsent,
    /// What has begun and has no end: it ends here. `None`: it could not be counted.
    pub under_way: Option<UnderWay>,
    pub dry_run: bool,
}

/// A tenant's return, campaign by campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnDetail {
    #[serde(flatten)]
    pub standing: Return,
    pub handbacks: Vec<Handback>,
    pub unsent: Unsent,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Return>>, Problem> {
    let tenant = match &query.tenant {
        Some(text) => Some(rollout::tenant(&state.db, &tenant_named(text)?).await?.id),
        None => None,
    };
    let found = operations::returns(&state.db, tenant, i64::from(MAX_PAGE)).await;
    Ok(Json(Page::whole(found.map_err(Error::from)?)))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(tenant): Path<String>,
) -> Result<Json<ReturnDetail>, Problem> {
    let tenant = rollout::tenant(&state.db, &tenant_named(&tenant)?)
        .await?
        .id;
    let found = operations::returns(&state.db, Some(tenant), 1).await;
    let Some(standing) = found.map_err(Error::from)?.pop() else {
        let detail = format!("tenant {tenant}'s messages are the engine's");
        return Err(
            Problem::new(axum::http::StatusCode::NOT_FOUND, "not-returned", detail)
                .hint("`ficus message return T` gives them back to legacy"),
        );
    };
    let handbacks = operations::handbacks(&state.db, tenant).await;
    let handbacks = handbacks.map_err(Error::from)?;
    let mut connection = state.db.acquire().await.map_err(Error::from)?;
    let unsent = operations::unsent(&mut connection, tenant).await;
    Ok(Json(ReturnDetail {
        standing,
        handbacks,
        unsent: unsent.map_err(Error::from)?,
    }))
}

pub(super) async fn give_back(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<ReturnBody>,
) -> Result<Json<ReturnWritten>, Problem> {
    // A mistyped tenant would be returned, and nothing of it: it must be one that is known.
    let tenant = rollout::tenant(&state.db, &body.tenant).await?.id;
    let author = author(caller, body.reason, body.dry_run)?;
    let mut write = Beside::begin(&state.db, &author).await?;
    // Before the fence is asked for, so that nobody waits while the queue is counted.
    let unsent = operations::unsent(write.connection(), tenant).await;
    let unsent = unsent.map_err(Error::from)?;
    let changed = operations::return_tenant(write.connection(), tenant, by(&author)).await;
    let changed = changed.map_err(Error::from)?;
    write.finish(body.dry_run).await?;
    note(&author, "return", body.dry_run || !changed);
    let under_way = operations::under_way(&state.db, tenant, None).await;
    let under_way = under_way.inspect_err(|fault| {
        tracing::warn!(%fault, %tenant, "returned, and what is under way could not be counted");
    });
    Ok(Json(ReturnWritten {
        changed,
        tenant_id: tenant.0,
        unsent,
        under_way: under_way.ok(),
        dry_run: body.dry_run,
    }))
}
