//! `/api/v1/holds`: list, hold, release.
//!
//! Its own file, because a hold is answered with what was under way when it began: nothing new begins, and that is still out.

use axum::Json;
use axum::extract::State as Shared;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::{Json as Body, Query, tenant_named};
use super::messages::{author, by, note};
use super::{Caller, Page, Problem, State};
use crate::engine::operations::{self, Hold, UnderWay};
use crate::ids::{TenantId, TenantRef};
use crate::rollout::{self, Beside, Error, MAX_PAGE};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// An id or a slug.
    tenant: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldBody {
    tenant: TenantRef,
    /// Without it: all of the tenant.
    campaign: Option<i64>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// The answer to a hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HoldWritten {
    /// False: it was held already.
    pub changed: bool,
    /// What holds it now; of a dry run, what would.
    pub hold: Hold,
    /// What has begun and has no end. `None`: it could not be counted; the hold stands.
    pub under_way: Option<UnderWay>,
    pub dry_run: bool,
}

/// The answer to a release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseWritten {
    /// False: it was not held.
    pub changed: bool,
    /// What of the tenant is held still.
    pub still: Vec<Hold>,
    pub dry_run: bool,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Hold>>, Problem> {
    let tenant = match &query.tenant {
        Some(text) => Some(rollout::tenant(&state.db, &tenant_named(text)?).await?.id),
        None => None,
    };
    let holds = operations::holds(&state.db, tenant, i64::from(MAX_PAGE)).await;
    Ok(Json(Page::whole(holds.map_err(Error::from)?)))
}

pub(super) async fn hold(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<HoldBody>,
) -> Result<Json<HoldWritten>, Problem> {
    let (tenant, campaign) = scope(&state, &body).await?;
    let author = author(caller, body.reason, body.dry_run)?;
    let mut write = Beside::begin(&state.db, &author).await?;
    let held = operations::hold(write.connection(), tenant, campaign, by(&author)).await;
    let (changed, hold) = held.map_err(Error::from)?;
    write.finish(body.dry_run).await?;
    note(&author, "hold", body.dry_run || !changed);
    // After the commit: from there on it only becomes less.
    let under_way = operations::under_way(&state.db, tenant, campaign).await;
    let under_way = under_way.inspect_err(|fault| {
        tracing::warn!(%fault, %tenant, "held, and what is under way could not be counted");
    });
    Ok(Json(HoldWritten {
        changed,
        hold,
        under_way: under_way.ok(),
        dry_run: body.dry_run,
    }))
}

pub(super) async fn release(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<HoldBody>,
) -> Result<Json<ReleaseWritten>, Problem> {
    let (tenant, campaign) = scope(&state, &body).await?;
    let author = author(caller, body.reason, body.dry_run)?;
    let mut write = Beside::begin(&state.db, &author).await?;
    let released = operations::release(write.connection(), tenant, campaign, by(&author)).await;
    let changed = released.map_err(Error::from)?;
    let still = operations::holds(write.connection(), Some(tenant), i64::from(MAX_PAGE)).await;
    let still = still.map_err(Error::from)?;
    write.finish(body.dry_run).await?;
    note(&author, "release", body.dry_run || !changed);
    Ok(Json(ReleaseWritten {
        changed,
        still,
        dry_run: body.dry_run,
    }))
}

/// A mistyped tenant would be held, and nothing of it: it must be one that is known.
async fn scope(state: &State, body: &HoldBody) -> Result<(TenantId, Option<i64>), Problem> {
    if body.campaign.is_some_and(|it| it < 1) {
        return Err(Problem::invalid("a campaign is a positive number"));
    }
    let tenant = rollout::tenant(&state.db, &body.tenant).await?;
    Ok((tenant.id, body.campaign))
}
