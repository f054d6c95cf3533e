//! Overrides: what stands above every flag.
//!
//! Its own file, because it owns `ficus.override`; a rollback of a capability or of all is an override set here.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::transaction::{Write, within};
use super::{Change, Error, Terms, capabilities};
use crate::ids::Revision;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Override {
    /// `None`: every capability.
    pub capability: Option<String>,
    pub action: String,
    #[sqlx(try_from = "i64")]
    pub revision: Revision,
    pub changed_at: DateTime<Utc>,
    /// Why it was set, as its author said.
    pub reason: Option<String>,
    pub actor: Option<String>,
}

/// All of them: two a capability at most.
pub async fn overrides(pool: &PgPool) -> Result<Vec<Override>, Error> {
    let query = sqlx::query_as(
        "select o.capability, o.action, o.revision, o.changed_at, c.reason, c.actor
         from ficus.override as o left join ficus.change as c on c.revision = o.revision
         order by o.capability nulls first, o.action",
    );
    within(query.fetch_all(pool)).await
}

/// Sets force-legacy on one capability, or with `None` on all.
pub async fn set_override(
    pool: &PgPool,
    terms: &Terms,
    capability: Option<&str>,
) -> Result<Change, Error> {
    let mut write = Write::begin(pool, terms).await?;
    let changed = force_legacy(&mut write, capability).await?;
    write.finish(changed).await
}

/// The same within a write.
pub(super) async fn force_legacy(
    write: &mut Write,
    capability: Option<&str>,
) -> Result<u64, Error> {
    if let Some(capability) = capability {
        capabilities::require(write.connection(), capability).await?;
    }
    let set = sqlx::query(
        "insert into ficus.override (capability, action)
         select $1, 'force-legacy'
         where not exists (select from ficus.override as o where o.capability is not distinct from $1 and o.action = 'force-legacy')",
    )
    .bind(capability);
    write.execute(set).await
}

/// Takes force-legacy off one capability, or with `None` the one that is on all. The others stay.
pub async fn clear_override(
    pool: &PgPool,
    terms: &Terms,
    capability: Option<&str>,
) -> Result<Change, Error> {
    let mut write = Write::begin(pool, terms).await?;
    if let Some(capability) = capability {
        capabilities::require(write.connection(), capability).await?;
    }
    let clear =
        sqlx::query("delete from ficus.override as o where o.capability is not distinct from $1 and o.action = 'force-legacy'")
            .bind(capability);
    let changed = write.execute(clear).await?;
    write.finish(changed).await
}
