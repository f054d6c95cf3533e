//! What becomes of a tenant's uncertain messages when nobody settles them, where it is not what becomes of everybody's.
//!
//! Its own file, because it is a rule for later and touches no message now.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};

use super::By;
use crate::ids::TenantId;

/// A tenant's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Policy {
    pub tenant_id: i64,
    pub policy: SettlingPolicy,
    pub since: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum SettlingPolicy {
    /// It is unknown for ever.
    AtMostOnce,
    /// It is sent again, and may arrive twice.
    AtLeastOnce,
}

impl SettlingPolicy {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at_most_once",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

/// `None`: as everybody. False: it was so.
pub async fn set_policy(
    connection: &mut PgConnection,
    tenant: TenantId,
    policy: Option<SettlingPolicy>,
    by: By<'_>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select ficus.set_settling_policy($1, $2, $3, $4, $5)")
        .bind(tenant.0)
        .bind(policy.map(SettlingPolicy::as_str))
        .bind(by.actor)
        .bind(by.source)
        .bind(by.reason)
        .fetch_one(connection)
        .await
}

/// Tenants that have one, at most `most`.
pub async fn policies(db: impl PgExecutor<'_>, most: i64) -> Result<Vec<Policy>, sqlx::Error> {
    sqlx::query_as(
        "select p.tenant_id, p.policy, p.since from ficus.settling_policy as p order by p.tenant_id limit $1",
    )
    .bind(most)
    .fetch_all(db)
    .await
}
