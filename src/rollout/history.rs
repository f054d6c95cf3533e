//! The audit, read: changes, one change with its rows, one flag's history.
//!
//! Its own file, because it owns the reading of `ficus.change` and `ficus.change_item`, which nobody writes but triggers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::transaction::within;
use super::{Error, capabilities, page, tenants};
use crate::ids::{Revision, TenantRef};

/// Rows that a preview shows.
pub(super) const PREVIEW: i64 = 100;
/// What the transaction has done since a revision: $1 the revision, $2 the rows at most.
pub(super) const ITEMS_SINCE: &str =
    "select entity, tenant_id as tenant, capability, before, after from ficus.change_item
     where revision > $1 order by revision, tenant_id, capability limit $2";

/// One change: who, when, why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct ChangeRow {
    #[sqlx(try_from = "i64")]
    pub revision: Revision,
    pub at: DateTime<Utc>,
    pub entity: String,
    pub actor: String,
    pub source: String,
    pub reason: Option<String>,
    /// Who PostgreSQL says it was.
    pub db_user: String,
    pub application: String,
    /// Of a local action: when it was taken.
    pub acted_at: Option<DateTime<Utc>>,
    pub rows: i64,
}

/// One row of a change. `before` null: there was no row; `after` null: there is none any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct ChangeItem {
    pub entity: String,
    pub tenant: Option<i64>,
    pub capability: Option<String>,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// When a change was in force, as its writer saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Confirmed {
    pub committed_at: DateTime<Utc>,
    /// When the first and the last live proxy had applied it.
    pub first_ack_at: Option<DateTime<Utc>>,
    pub last_ack_at: Option<DateTime<Utc>>,
    pub confirmed: bool,
    /// Each proxy that was looked at.
    pub proxies: serde_json::Value,
}

/// A change and its rows, the first thousand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ChangeDetail {
    #[serde(flatten)]
    pub change: ChangeRow,
    /// What was measured, where an automaton decided.
    #[serde(default)]
    pub evidence: Option<serde_json::Value>,
    #[serde(default)]
    pub requested_at: Option<DateTime<Utc>>,
    /// `None`: nobody waited for the proxies.
    #[serde(default)]
    pub confirmation: Option<Confirmed>,
    pub items: Vec<ChangeItem>,
}

/// What happened to a flag once. `None` stands for "no row".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct FlagChange {
    #[sqlx(try_from = "i64")]
    pub revision: Revision,
    pub at: DateTime<Utc>,
    /// `None`: a local rollback of all the tenant's capabilities.
    pub capability: Option<String>,
    pub before: Option<String>,
    pub after: Option<String>,
    pub entity: String,
    pub actor: String,
    pub source: String,
    pub reason: Option<String>,
}

/// Changes, newest first, from the one before `before`.
pub async fn changes(
    pool: &PgPool,
    before: Option<Revision>,
    limit: u32,
) -> Result<Vec<ChangeRow>, Error> {
    let query = sqlx::query_as(
        "select c.revision, c.at, c.entity, c.actor, c.source, c.reason, c.db_user, c.application, c.acted_at,
                (select count(*) from ficus.change_item as i where i.revision = c.revision) as rows
         from ficus.change as c where c.revision < $1 order by c.revision desc limit $2",
    )
    .bind(before.map_or(i64::MAX, |revision| revision.0))
    .bind(page(limit));
    within(query.fetch_all(pool)).await
}

/// The newest revision.
pub async fn newest(pool: &PgPool) -> Result<Revision, Error> {
    let query = sqlx::query_scalar("select revision from ficus.clock");
    Ok(Revision(within(query.fetch_one(pool)).await?))
}

/// Changes after a revision, oldest first.
pub async fn changes_after(
    pool: &PgPool,
    after: Revision,
    limit: u32,
) -> Result<Vec<ChangeRow>, Error> {
    let query = sqlx::query_as(
        "select c.revision, c.at, c.entity, c.actor, c.source, c.reason, c.db_user, c.application, c.acted_at,
                (select count(*) from ficus.change_item as i where i.revision = c.revision) as rows
         from ficus.change as c where c.revision > $1 order by c.revision limit $2",
    )
    .bind(after.0)
    .bind(page(limit));
    within(query.fetch_all(pool)).await
}

pub async fn change(pool: &PgPool, revision: Revision) -> Result<ChangeDetail, Error> {
    let change = sqlx::query_as(
        "select c.revision, c.at, c.entity, c.actor, c.source, c.reason, c.db_user, c.application, c.acted_at,
                (select count(*) from ficus.change_item as i where i.revision = c.revision) as rows
         from ficus.change as c where c.revision = $1",
    )
    .bind(revision.0);
    let change = within(change.fetch_optional(pool))
        .await?
        .ok_or(Error::UnknownChange(revision))?;
    let grounds =
        sqlx::query_as("select evidence, requested_at from ficus.change where revision = $1")
            .bind(revision.0);
    let (evidence, requested_at) = within(grounds.fetch_one(pool)).await?;
    let confirmation = sqlx::query_as(
        "select committed_at, first_ack_at, last_ack_at, confirmed, proxies from ficus.confirmation where revision = $1",
    )
    .bind(revision.0);
    let confirmation = within(confirmation.fetch_optional(pool)).await?;
    let items = sqlx::query_as(
        "select entity, tenant_id as tenant, capability, before, after from ficus.change_item
         where revision = $1 order by entity, tenant_id, capability limit $2",
    )
    .bind(revision.0)
    .bind(page(u32::MAX));
    Ok(ChangeDetail {
        change,
        evidence,
        requested_at,
        confirmation,
        items: within(items.fetch_all(pool)).await?,
    })
}

/// What happened to a tenant's flags, newest first; of one capability, or with `None` of all.
pub async fn flag_history(
    pool: &PgPool,
    tenant: &TenantRef,
    capability: Option<&str>,
    before: Option<Revision>,
    limit: u32,
) -> Result<Vec<FlagChange>, Error> {
    let id = tenants::resolve(pool, tenant).await?;
    if let Some(capability) = capability {
        capabilities::require(pool, capability).await?;
    }
    let query = sqlx::query_as(
        "select i.revision, c.at, i.capability, i.before ->> 'state' as before, i.after ->> 'state' as after,
                i.entity, c.actor, c.source, c.reason
         from ficus.change_item as i join ficus.change as c on c.revision = i.revision
         where i.tenant_id = $1 and i.entity in ('flag', 'local-rollback')
           and ($2::text is null or i.capability is null or i.capability = $2) and i.revision < $3
         order by i.revision desc, i.capability limit $4",
    )
    .bind(id.0)
    .bind(capability)
    .bind(before.map_or(i64::MAX, |revision| revision.0))
    .bind(page(limit));
    within(query.fetch_all(pool)).await
}
