//! Giving a tenant's unsent messages back to legacy, and how far that has come.
//!
//! Its own file, because the writing is one word in `ficus.owner` and the rest is the engine's work: who asks here sees what is left of it.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};

use super::By;
use super::act::LOOK;
use crate::ids::TenantId;

/// A tenant whose messages are legacy's, and what has become of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Return {
    pub tenant_id: i64,
    /// One more with each change of hands.
    pub epoch: i64,
    /// `hold` or `return`.
    pub wish: String,
    pub reason: String,
    pub since: DateTime<Utc>,
    /// Recipients that were given to legacy, or are about to be.
    pub returned: i64,
    /// Campaigns that have something here still.
    pub open: i64,
    /// Campaigns that are held or paused by themselves, and stay here.
    pub kept: i64,
    /// Messages that may have been accepted: to be settled.
    pub uncertain: i64,
    /// What is returned is legacy's, all of it.
    pub is_done: bool,
}

/// A campaign's unsent recipients, and the campaign of legacy's that has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Handback {
    pub campaign_id: i64,
    /// `None`: not reserved yet.
    pub legacy_campaign: Option<i64>,
    pub recipients: i32,
    /// `open`: there may be more; `closed`: legacy is being given them; `told`: legacy sends.
    pub state: String,
    pub told_at: Option<DateTime<Utc>>,
}

/// What a tenant has queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Unsent {
    pub of_campaigns: i64,
    /// Handed in by themselves: legacy has no place for them, and they stay held here.
    pub alone: i64,
    /// The queue was looked at to its end. Otherwise there may be more.
    pub whole: bool,
}

/// Makes a tenant's unsent messages legacy's: from the commit on nothing of the tenant begins. False: it was asked for before.
pub async fn return_tenant(
    connection: &mut PgConnection,
    tenant: TenantId,
    by: By<'_>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select changed from ficus.return_tenant($1, $2, $3, $4)")
        .bind(tenant.0)
        .bind(by.actor)
        .bind(by.source)
        .bind(by.reason)
        .fetch_one(connection)
        .await
}

/// What of a tenant is queued now.
pub async fn unsent(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Unsent, sqlx::Error> {
    sqlx::query_as("select of_campaigns, alone, whole from ficus.unsent($1, $2)")
        .bind(tenant.0)
        .bind(LOOK)
        .fetch_one(connection)
        .await
}

/// Tenants whose messages are legacy's, those that went last first.
pub async fn returns(
    pool: &PgPool,
    tenant: Option<TenantId>,
    most: i64,
) -> Result<Vec<Return>, sqlx::Error> {
    sqlx::query_as(
        "select o.tenant_id, o.epoch, o.wish, o.reason, o.since, coalesce(h.recipients, 0) as returned, coalesce(r.open, 0) as open,
                coalesce(r.kept, 0) as kept, coalesce(u.uncertain, 0) as uncertain,
                o.wish = 'return' and coalesce(r.open, 0) = 0 and coalesce(h.untold, 0) = 0 and not exists (
                    select from ficus.schedule as s where s.tenant_id = o.tenant_id and s.state = 'returned' and not s.is_told
                ) as is_done
         from (
             select * from ficus.owner as o where o.side = 'legacy' and ($1::bigint is null or o.tenant_id = $1)
             order by o.since desc, o.tenant_id limit $2
         ) as o
         left join lateral (
             select sum(b.recipients)::bigint as recipients, count(*) filter (where b.state <> 'told') as untold
             from ficus.handback as b where b.tenant_id = o.tenant_id and b.epoch = o.epoch
         ) as h on true
         left join lateral (
             select count(*) filter (where not w.is_kept) as open, count(*) filter (where w.is_kept) as kept from (
                 select c.is_paused or exists (
                     select from ficus.hold as k where k.tenant_id = c.tenant_id and k.campaign_id = c.campaign_id
                 ) as is_kept
                 from ficus.campaign_run as c
                 where c.tenant_id = o.tenant_id and c.state in ('expanding', 'sending', 'returning') and c.state <> 'done'
             ) as w
         ) as r on true
         left join lateral (
             select count(*) as uncertain from ficus.attempt_end as e where e.tenant_id = o.tenant_id and e.state = 'uncertain'
         ) as u on true
         order by o.since desc, o.tenant_id",
    )
    .bind(tenant.map(|it| it.0))
    .bind(most)
    .fetch_all(pool)
    .await
}

/// What of a tenant has gone back since it left last, campaign by campaign.
pub async fn handbacks(pool: &PgPool, tenant: TenantId) -> Result<Vec<Handback>, sqlx::Error> {
    sqlx::query_as(
        "select h.campaign_id, h.legacy_campaign, h.recipients, h.state, h.told_at from ficus.handback as h
         join ficus.owner as o on o.tenant_id = h.tenant_id and o.epoch = h.epoch
         where h.tenant_id = $1 order by h.since, h.id limit 1000",
    )
    .bind(tenant.0)
    .fetch_all(pool)
    .await
}
