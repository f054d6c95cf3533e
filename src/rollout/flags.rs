//! Flags: read, listed, set.
//!
//! Its own file, because it owns the reading and the single flip of `ficus.flag`; many at once is a rollback.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::transaction::{Write, within};
use super::{Change, Error, Terms, capabilities, page, tenants};
use crate::flags::State;
use crate::ids::{Revision, TenantId, TenantRef};

/// A row of `ficus.flag`, or what stands in its place where there is none: legacy, at revision 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Flag {
    #[sqlx(try_from = "i64")]
    pub tenant: TenantId,
    pub slug: Option<String>,
    pub capability: String,
    #[sqlx(try_from = "String")]
    pub state: StateText,
    #[sqlx(try_from = "i64")]
    pub revision: Revision,
    pub changed_at: Option<DateTime<Utc>>,
}

/// A [`State`] as the database and the API write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct StateText(pub State);

impl TryFrom<String> for StateText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let unknown = || format!("{text:?} is no state: expected legacy, shadow or modern");
        State::parse(&text).map(Self).ok_or_else(unknown)
    }
}

/// Which flags to list.
#[derive(Clone, Debug, Default)]
pub struct FlagFilter {
    pub tenant: Option<TenantRef>,
    pub capability: Option<String>,
    pub state: Option<State>,
    /// Flags after this one, in the order of tenant and capability.
    pub after: Option<(TenantId, String)>,
}

/// The flags that have a row, in the order of tenant and capability.
pub async fn flags(pool: &PgPool, filter: &FlagFilter, limit: u32) -> Result<Vec<Flag>, Error> {
    let tenant = match &filter.tenant {
        Some(tenant) => Some(tenants::resolve(pool, tenant).await?.0),
        None => None,
    };
    if let Some(capability) = &filter.capability {
        capabilities::require(pool, capability).await?;
    }
    let query = sqlx::query_as(
        "select f.tenant_id as tenant, t.slug, f.capability, f.state, f.revision, f.changed_at
         from ficus.flag as f join ficus.tenant as t on t.id = f.tenant_id
         where ($1::bigint is null or f.tenant_id = $1)
           and ($2::text is null or f.capability = $2)
           and ($3::text is null or f.state = $3)
           and ($4::bigint is null or (f.tenant_id, f.capability) > ($4, $5))
         order by f.tenant_id, f.capability limit $6",
    )
    .bind(tenant)
    .bind(&filter.capability)
    .bind(filter.state.map(State::as_str))
    .bind(filter.after.as_ref().map(|(tenant, _)| tenant.0))
    .bind(filter.after.as_ref().map(|(_, capability)| capability))
    .bind(page(limit));
    within(query.fetch_all(pool)).await
}

/// One flag. Without a row it is legacy, at revision 0.
pub async fn flag(pool: &PgPool, tenant: &TenantRef, capability: &str) -> Result<Flag, Error> {
    let id = tenants::resolve(pool, tenant).await?;
    capabilities::require(pool, capability).await?;
    let query = sqlx::query_as(
        "select t.id as tenant, t.slug, $2 as capability, coalesce(f.state, 'legacy') as state,
                coalesce(f.revision, 0) as revision, f.changed_at
         from ficus.tenant as t left join ficus.flag as f on f.tenant_id = t.id and f.capability = $2
         where t.id = $1",
    )
    .bind(id.0)
    .bind(capability);
    within(query.fetch_optional(pool))
        .await?
        .ok_or_else(|| Error::UnknownTenant(tenant.clone()))
}

/// Flips one tenant's capability.
pub async fn set_flag(
    pool: &PgPool,
    terms: &Terms,
    tenant: &TenantRef,
    capability: &str,
    state: State,
) -> Result<Change, Error> {
    let mut write = Write::begin(pool, terms).await?;
    let id = tenants::resolve(write.connection(), tenant).await?;
    capabilities::require(write.connection(), capability).await?;
    // Looks before it writes: an insert that meets its row takes a revision even when it then changes nothing.
    let set = sqlx::query(
        "insert into ficus.flag (tenant_id, capability, state)
         select $1, $2, $3
         where coalesce((select f.state from ficus.flag as f where f.tenant_id = $1 and f.capability = $2), 'legacy') <> $3
         on conflict on constraint flag_pkey do update set state = excluded.state",
    )
    .bind(id.0)
    .bind(capability)
    .bind(state.as_str());
    let changed = write.execute(set).await?;
    write.finish(changed).await
}
