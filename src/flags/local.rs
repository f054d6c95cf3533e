//! Break-glass: rollbacks taken on this proxy alone, when PostgreSQL is out of reach.
//!
//! Its own file, because such an action outlives the process: it is in force from memory, kept on disk
//! until the database has it, and only ever moves towards legacy.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decide::Caller;
use super::model::Snapshot;
use crate::ids::{Revision, TenantId, TenantRef};

/// What a local rollback covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalScope {
    Tenants(Vec<TenantRef>),
    Capability(String),
    All,
}

/// The answer to a local rollback: it is in force on this proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LocalApplied {
    pub action_id: Uuid,
    pub instance: String,
    /// From the request to the swap.
    pub micros: u64,
    /// Why the disk does not keep it: a restart before the database is back forgets it. `None`: it is kept.
    pub not_kept: Option<String>,
}

/// Why a local rollback was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error(
        "tenant {0} is not in this proxy's snapshot: give its numeric id if you are sure of it"
    )]
    UnknownTenant(TenantRef),
    #[error("no tenant was named")]
    NoTenant,
}

/// One action, as the disk keeps it and the database will be told it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub reason: String,
    /// What the proxy knew when the action was taken: flags that changed later are somebody's later word.
    pub base_revision: Revision,
    pub scope: Pinned,
}

/// A scope with its tenants resolved, so that a later rename cannot move it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pinned {
    Tenants(BTreeSet<TenantId>),
    Capability(String),
    All,
}

/// The actions in force, and the questions that the hot path asks of them.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    actions: Vec<Action>,
    all: bool,
    capabilities: Vec<String>,
    tenants: BTreeSet<TenantId>,
}

impl Pins {
    pub fn new(actions: Vec<Action>) -> Self {
        let mut pins = Self {
            actions,
            ..Self::default()
        };
        for action in &pins.actions {
            match &action.scope {
                Pinned::All => pins.all = true,
                Pinned::Capability(name) => pins.capabilities.push(name.clone()),
                Pinned::Tenants(ids) => pins.tenants.extend(ids),
            }
        }
        pins
    }

    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    pub fn with(&self, action: Action) -> Self {
        let mut actions = self.actions.clone();
        actions.push(action);
        Self::new(actions)
    }

    /// Without the actions that the database has and this proxy's snapshot shows.
    pub fn without(&self, ids: &[Uuid]) -> Self {
        Self::new(
            self.actions
                .iter()
                .filter(|a| !ids.contains(&a.id))
                .cloned()
                .collect(),
        )
    }

    /// Whether a local rollback covers this request. Empty, which is nearly always, costs one comparison.
    pub fn covers(&self, capability: &str, caller: Caller<'_>) -> bool {
        if self.actions.is_empty() {
            return false;
        }
        let tenant_is_pinned = matches!(caller, Caller::Tenant(t) if self.tenants.contains(&t.id));
        self.all || tenant_is_pinned || self.capabilities.iter().any(|c| c == capability)
    }

    #[cfg(test)]
    pub(super) fn add_for_test(&mut self, snapshot: &Snapshot, scope: LocalScope) {
        let scope = resolve(Some(snapshot), scope).expect("a scope that resolves");
        let action = Action {
            id: Uuid::new_v4(),
            at: Utc::now(),
            actor: "test".into(),
            reason: "test".into(),
            base_revision: snapshot.revision,
            scope,
        };
        *self = self.with(action);
    }
}

/// Turns the tenants that a person named into ids. A slug needs the snapshot; an id does not.
pub fn resolve(snapshot: Option<&Snapshot>, scope: LocalScope) -> Result<Pinned, LocalError> {
    let named = match scope {
        LocalScope::All => return Ok(Pinned::All),
        LocalScope::Capability(name) => return Ok(Pinned::Capability(name)),
        LocalScope::Tenants(named) => named,
    };
    if named.is_empty() {
        return Err(LocalError::NoTenant);
    }
    let id_of = |tenant: TenantRef| match (&tenant, snapshot.and_then(|s| s.find(&tenant))) {
        (_, Some(row)) => Ok(row.id),
        (TenantRef::Id(id), None) => Ok(*id),
        (TenantRef::Slug(_), None) => Err(LocalError::UnknownTenant(tenant)),
    };
    named
        .into_iter()
        .map(id_of)
        .collect::<Result<_, _>>()
        .map(Pinned::Tenants)
}
