//! Sending again, settling, holding back, letting go: thin calls of the functions of `migrations/0010_message_operations.sql`.
//!
//! Its own file, because these write; each in its caller's transaction, which commits it with the key of the request, or takes it back.

use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::{By, Hold, Retried, Settled, UnderWay, Verdict};
use crate::ids::TenantId;

/// Messages of one retry: no attempt begins or ends while it runs.
pub const MAX_RETRIED: usize = 1000;
/// Of a tenant's queue so many are looked at for attempts that are under way.
pub(super) const LOOK: i32 = 100_000;

/// Makes these due again, if their last attempt is over; one answer for each, in their order.
pub async fn retry(
    connection: &mut PgConnection,
    ids: &[Uuid],
    by: By<'_>,
) -> Result<Vec<Retried>, sqlx::Error> {
    sqlx::query_as(
        "select id, became, state from ficus.retry_messages($1, $2, $3, $4) order by place",
    )
    .bind(ids)
    .bind(by.actor)
    .bind(by.source)
    .bind(by.reason)
    .fetch_all(connection)
    .await
}

/// Says how an uncertain message ended. `None`: there is no such message.
pub async fn settle(
    connection: &mut PgConnection,
    id: Uuid,
    verdict: Verdict,
    by: By<'_>,
) -> Result<Option<Settled>, sqlx::Error> {
    sqlx::query_as("select * from ficus.settle_message($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(verdict.as_str())
        .bind(by.actor)
        .bind(by.source)
        .bind(by.reason)
        .fetch_optional(connection)
        .await
}

/// Holds back a tenant, or one campaign of it; once this is committed nothing of it begins. Answers whether it was not held before,
/// and the hold that stands.
pub async fn hold(
    connection: &mut PgConnection,
    tenant: TenantId,
    campaign: Option<i64>,
    by: By<'_>,
) -> Result<(bool, Hold), sqlx::Error> {
    let (changed, reason, since) = sqlx::query_as(
        "select changed, because, since from ficus.hold_messages($1, $2, $3, $4, $5)",
    )
    .bind(tenant.0)
    .bind(campaign.unwrap_or(0))
    .bind(by.actor)
    .bind(by.source)
    .bind(by.reason)
    .fetch_one(connection)
    .await?;
    let hold = Hold {
        tenant_id: tenant.0,
        campaign_id: campaign,
        reason,
        since,
    };
    Ok((changed, hold))
}

/// Lets go of exactly this. False: it was not held.
pub async fn release(
    connection: &mut PgConnection,
    tenant: TenantId,
    campaign: Option<i64>,
    by: By<'_>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select ficus.release_messages($1, $2, $3, $4, $5)")
        .bind(tenant.0)
        .bind(campaign.unwrap_or(0))
        .bind(by.actor)
        .bind(by.source)
        .bind(by.reason)
        .fetch_one(connection)
        .await
}

/// What has begun of a tenant, or of one campaign of it, and has no end.
pub async fn under_way(
    pool: &PgPool,
    tenant: TenantId,
    campaign: Option<i64>,
) -> Result<UnderWay, sqlx::Error> {
    sqlx::query_as("select attempts, whole from ficus.under_way($1, $2, $3)")
        .bind(tenant.0)
        .bind(campaign.unwrap_or(0))
        .bind(LOOK)
        .fetch_one(pool)
        .await
}

/// What is held back, of one tenant or of all, at most `most`.
pub async fn holds(
    db: impl PgExecutor<'_>,
    tenant: Option<TenantId>,
    most: i64,
) -> Result<Vec<Hold>, sqlx::Error> {
    sqlx::query_as(
        "select h.tenant_id, nullif(h.campaign_id, 0) as campaign_id, h.reason, h.since from ficus.hold as h
         where $1::bigint is null or h.tenant_id = $1 order by h.tenant_id, h.campaign_id limit $2",
    )
    .bind(tenant.map(|it| it.0))
    .bind(most)
    .fetch_all(db)
    .await
}
