//! `/api/v1/rollback`: the big red button, on the network and on a proxy's socket.
//!
//! Its own file, because both take the same body, and neither may ask for more than a scope and a reason.

use axum::Json;
use axum::extract::State as Shared;

use super::extract::Json as Body;
use super::write::write_body;
use super::{Caller, Problem, State, Written};
use crate::ids::TenantRef;
use crate::rollout::{self, Scope};

/// Tenants that one rollback names; more than that is a capability.
const MAX_TENANTS: usize = 1000;

write_body!(RollbackBody {
    #[serde(default)]
    tenants: Vec<TenantRef>,
    wave: Option<String>,
    capability: Option<String>,
    #[serde(default)]
    all: bool,
});

/// A scope as the body writes it.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct RollbackScope {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    pub all: bool,
}

impl RollbackBody {
    pub(super) fn scope(&self) -> Result<Scope, Problem> {
        match (
            self.tenants.as_slice(),
            &self.wave,
            &self.capability,
            self.all,
        ) {
            ([], Some(wave), None, false) => Ok(Scope::Wave(wave.clone())),
            ([], None, Some(capability), false) => Ok(Scope::Capability(capability.clone())),
            ([], None, None, true) => Ok(Scope::All),
            ([_, ..], None, None, false) if self.tenants.len() > MAX_TENANTS => Err(
                Problem::invalid(format!("a rollback names {MAX_TENANTS} tenants at most"))
                    .hint("roll back the capability"),
            ),
            (tenants @ [_, ..], None, None, false) => Ok(Scope::Tenants(tenants.to_vec())),
            _ => Err(Problem::invalid(
                "expected exactly one of `tenants`, `wave`, `capability` and `all`",
            )),
        }
    }

    /// Why, and whether only to look; checked as the network's rollback does.
    pub(super) fn checked(&self, caller: Caller) -> Result<super::write::Checked, Problem> {
        self.conditions().check(caller)
    }
}

pub(super) async fn roll_back(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<RollbackBody>,
) -> Result<Json<Written>, Problem> {
    let how = body.checked(caller)?;
    let scope = body.scope()?;
    let change = rollout::roll_back(&state.db, &how.terms, &scope).await?;
    if let (Some(process), true) = (&state.process, change.changed > 0 && !how.terms.dry_run) {
        let capability = if let Scope::Capability(name) = &scope {
            name
        } else {
            "all"
        };
        process.metrics.count_rollback(capability, "operator");
    }
    Ok(Json(Written::after(&state.db, change, &how).await))
}
