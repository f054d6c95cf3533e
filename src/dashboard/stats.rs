//! `/dashboard/stats`: a tenant's figures, from legacy's tables, in legacy's shape and order of members.
//!
//! Its own file, because the shape is a promise to legacy's clients.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

use crate::ids::TenantId;

#[derive(Debug, Serialize)]
pub struct Stats {
    pub owner_id: i64,
    pub campaigns: Campaigns,
    pub email: Channel,
    pub sms: Channel,
    pub engagement: Engagement,
    pub plan: Option<Plan>,
}

#[derive(Debug, Serialize, FromRow)]
pub struct Campaigns {
    pub total: i64,
    pub sent: i64,
}

#[derive(Debug, Serialize, FromRow)]
pub struct Channel {
    pub sent: i64,
    /// Since midnight UTC, whatever the session's time zone is: legacy's own clock.
    pub sent_today: i64,
    /// Messages that the tenant may still send.
    pub left: i32,
}

#[derive(Debug, Serialize, FromRow)]
pub struct Engagement {
    pub opens: i64,
    pub clicks: i64,
    pub bounces: i64,
}

#[derive(Debug, Serialize, FromRow)]
pub struct Plan {
    pub name: String,
    pub email_limit: i32,
    pub sms_limit: i32,
}

/// A tenant that legacy has never heard of has zeros and no plan, as there.
pub async fn of(legacy: &PgPool, tenant: TenantId) -> sqlx::Result<Stats> {
    Ok(Stats {
        owner_id: tenant.0,
        campaigns: sqlx::query_as("select count(*) as total, count(*) filter (where status = 'sent') as sent from campaigns where owner_id = $1")
            .bind(tenant.0)
            .fetch_one(legacy)
            .await?,
        email: channel(legacy, tenant, "email").await?,
        sms: channel(legacy, tenant, "sms").await?,
        engagement: sqlx::query_as(
            "select coalesce(sum(opens), 0) as opens, coalesce(sum(clicks), 0) as clicks,
                    (select count(*) from bounced_emails where owner_id = $1) as bounces
             from email_trackers where owner_id = $1",
        )
        .bind(tenant.0)
        .fetch_one(legacy)
        .await?,
        plan: sqlx::query_as(
            "select s.name, s.email_limit, s.sms_limit
             from plan_purchaseds as p join subscription_plans as s on s.id = p.subscription_plan_id
             where p.owner_id = $1 and p.status = 'active' order by p.id desc limit 1",
        )
        .bind(tenant.0)
        .fetch_optional(legacy)
        .await?,
    })
}

async fn channel(legacy: &PgPool, tenant: TenantId, kind: &str) -> sqlx::Result<Channel> {
    sqlx::query_as(
        "select count(*) as sent,
                count(*) filter (where created_at >= date_trunc('day', now() at time zone 'utc')) as sent_today,
                coalesce((select case $2 when 'email' then email else sms end from email_s_m_s_limit_rates where owner_id = $1), 0) as \"left\"
         from user_sent_records where owner_id = $1 and type = $2",
    )
    .bind(tenant.0)
    .bind(kind)
    .fetch_one(legacy)
    .await
}
