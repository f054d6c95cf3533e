//! `/dashboard/campaigns` and `/dashboard/campaigns/{id}`: campaigns from legacy's tables, in legacy's shape.
//!
//! Its own file, because the shapes are a promise to legacy's clients.

use chrono::NaiveDateTime;
use serde::Serialize;
use sqlx::{FromRow, PgPool};

use crate::ids::TenantId;
use crate::modern::json::carbon;

#[derive(Debug, Serialize, FromRow)]
pub struct Campaign {
    pub id: i64,
    pub owner_id: i64,
    pub name: String,
    pub r#type: String,
    pub status: String,
    #[serde(serialize_with = "carbon")]
    pub created_at: Option<NaiveDateTime>,
    #[serde(serialize_with = "carbon")]
    pub updated_at: Option<NaiveDateTime>,
    pub recipients_count: i64,
}

/// A campaign with what its own page shows.
#[derive(Debug, Serialize)]
pub struct Detail {
    #[serde(flatten)]
    pub campaign: Campaign,
    pub recipients: Vec<Recipient>,
    pub templates: Vec<Template>,
    pub logs: Vec<Run>,
}

#[derive(Debug, Serialize, FromRow)]
pub struct Recipient {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub is_unsubscribed: bool,
}

#[derive(Debug, Serialize, FromRow)]
pub struct Template {
    pub id: i64,
    pub name: String,
}

#[derive(Debug, Serialize, FromRow)]
pub struct Run {
    pub id: i64,
    pub channel: String,
    pub sent: i32,
    pub failed: i32,
    pub skipped: i32,
    #[serde(serialize_with = "carbon")]
    pub created_at: Option<NaiveDateTime>,
}

/// All of a tenant's campaigns, oldest first: legacy does not page them either.
pub async fn list(legacy: &PgPool, tenant: TenantId) -> sqlx::Result<Vec<Campaign>> {
    sqlx::query_as(
        "select c.id, c.owner_id, c.name, c.type, c.status, c.created_at, c.updated_at,
                (select count(*) from campaign_emails as r where r.campaign_id = c.id) as recipients_count
         from campaigns as c where c.owner_id = $1 order by c.id",
    )
    .bind(tenant.0)
    .fetch_all(legacy)
    .await
}

/// One of a tenant's campaigns; `None` too when it is another tenant's.
pub async fn find(
    legacy: &PgPool,
    tenant: TenantId,
    campaign: i64,
) -> sqlx::Result<Option<Detail>> {
    let found: Option<Campaign> = sqlx::query_as(
        "select c.id, c.owner_id, c.name, c.type, c.status, c.created_at, c.updated_at,
                (select count(*) from campaign_emails as r where r.campaign_id = c.id) as recipients_count
         from campaigns as c where c.owner_id = $1 and c.id = $2",
    )
    .bind(tenant.0)
    .bind(campaign)
    .fetch_optional(legacy)
    .await?;
    let Some(found) = found else { return Ok(None) };

    let recipients = sqlx::query_as(
        "select p.id, p.name, p.email, p.is_unsubscribed
         from campaign_emails as r join email_contacts as p on p.id = r.email_contact_id
         where r.campaign_id = $1 order by r.id",
    )
    .bind(found.id)
    .fetch_all(legacy)
    .await?;
    let templates = if found.r#type == "sms" {
        "select id, name from sms_builders where owner_id = $1 order by id"
    } else {
        "select id, name from template_builders where owner_id = $1 order by id"
    };
    let templates = sqlx::query_as(templates)
        .bind(tenant.0)
        .fetch_all(legacy)
        .await?;
    let logs = sqlx::query_as("select id, channel, sent, failed, skipped, created_at from campaign_logs where campaign_id = $1 order by id")
        .bind(found.id)
        .fetch_all(legacy)
        .await?;
    Ok(Some(Detail {
        campaign: found,
        recipients,
        templates,
        logs,
    }))
}
