//! `/api/v1/settling`: what becomes of a tenant's uncertain messages when nobody settles them.
//!
//! Its own file: one a resource. It changes no message: those that are uncertain long enough are settled by it in the next half minute.

use axum::Json;
use axum::extract::State as Shared;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Json as Body;
use super::messages::{author, by, note};
use super::{Caller, Page, Problem, State};
use crate::engine::operations::{self, Policy, SettlingPolicy};
use crate::ids::TenantRef;
use crate::rollout::{self, Beside, Error, MAX_PAGE};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyBody {
    tenant: TenantRef,
    /// Null, or left out: as everybody.
    policy: Option<SettlingPolicy>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// The answer to a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyWritten {
    /// False: it was so.
    pub changed: bool,
    pub tenant_id: i64,
    /// `None`: as everybody.
    pub policy: Option<SettlingPolicy>,
    pub dry_run: bool,
}

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Page<Policy>>, Problem> {
    let found = operations::policies(&state.db, i64::from(MAX_PAGE)).await;
    Ok(Json(Page::whole(found.map_err(Error::from)?)))
}

pub(super) async fn set(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<PolicyBody>,
) -> Result<Json<PolicyWritten>, Problem> {
    let tenant = rollout::tenant(&state.db, &body.tenant).await?.id;
    let author = author(caller, body.reason, body.dry_run)?;
    let mut write = Beside::begin(&state.db, &author).await?;
    let set = operations::set_policy(write.connection(), tenant, body.policy, by(&author)).await;
    let changed = set.map_err(Error::from)?;
    write.finish(body.dry_run).await?;
    note(&author, "policy", body.dry_run || !changed);
    Ok(Json(PolicyWritten {
        changed,
        tenant_id: tenant.0,
        policy: body.policy,
        dry_run: body.dry_run,
    }))
}
