//! What the guard says, as the API and the command line show it.
//!
//! Its own file, because it only reads: it needs no leader, and tells when there is none.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgPool;

use super::verdict::{NewestVerdict, newest_verdict};
use crate::rollout::transaction::within;
use crate::rollout::{Error, capabilities, capability};

/// Tenants and rollbacks that are shown at most.
const MOST: i64 = 100;

/// One capability and the newest verdict on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Guarded {
    pub capability: String,
    #[serde(flatten)]
    pub newest: NewestVerdict,
}

/// The same, with what stands behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GuardedDetail {
    #[serde(flatten)]
    pub guarded: Guarded,
    /// Tenants that failed in the last day, the newest first.
    pub failing: Vec<FailedTenant>,
    /// What the guard took back of this capability, the newest first.
    pub rollbacks: Vec<GuardRollback>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct FailedTenant {
    pub tenant: i64,
    pub at: DateTime<Utc>,
    pub evidence: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct GuardRollback {
    pub revision: i64,
    pub at: DateTime<Utc>,
    pub reason: Option<String>,
    /// Rows that it changed.
    pub rows: i64,
}

/// Every capability, with the newest verdict on it.
pub async fn guarded(pool: &PgPool) -> Result<Vec<Guarded>, Error> {
    let mut all = Vec::new();
    for it in capabilities(pool).await? {
        let newest = within(newest_verdict(pool, &it.name)).await?;
        all.push(Guarded {
            capability: it.name,
            newest,
        });
    }
    Ok(all)
}

pub async fn guarded_detail(pool: &PgPool, name: &str) -> Result<GuardedDetail, Error> {
    let found = capability(pool, name).await?;
    let newest = within(newest_verdict(pool, name)).await?;
    let failing = sqlx::query_as(
        "select tenant_id as tenant, at, evidence from ficus.verdict
         where capability = $1 and tenant_id is not null order by at desc, tenant_id limit $2",
    )
    .bind(name)
    .bind(MOST);
    let rollbacks = sqlx::query_as(
        "select c.revision, c.at, c.reason, count(*) as rows
         from ficus.change as c join ficus.change_item as i on i.revision = c.revision
         where c.source = 'guard' and i.capability = $1
         group by c.revision, c.at, c.reason order by c.revision desc limit $2",
    )
    .bind(name)
    .bind(MOST);
    Ok(GuardedDetail {
        guarded: Guarded {
            capability: found.name,
            newest,
        },
        failing: within(failing.fetch_all(pool)).await?,
        rollbacks: within(rollbacks.fetch_all(pool)).await?,
    })
}
