//! (skeleton) Break-glass: rollbacks taken on this proxy alone, without the database.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::TenantRef;

/// What a local rollback covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalScope {
    Tenants(Vec<TenantRef>),
    Capability(String),
    All,
}

/// The answer to a local rollback: it is in force on this proxy, and on its disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LocalApplied {
    pub action_id: Uuid,
    pub instance: String,
    /// From the request to the swap.
    pub micros: u64,
}
