//! `GET /campaign/schedule-emails` and `/campaign/schedule-sms`: what a tenant has scheduled, from legacy's tables, in legacy's shape.
//!
//! Its own file, because it shows legacy's rows as they are, whoever fires them.

use std::fmt::Write;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDateTime;
use serde::Serialize;
use sqlx::FromRow;

use crate::engine::Handle;
use crate::ids::TenantId;
use crate::modern::accept::wants_page;
use crate::modern::failed;
use crate::modern::json::{LegacyJson, List, carbon};
use crate::modern::page::{Escaped, frame};
use crate::modern::problem::Problem;
use crate::modern::tenant::{Tenant, account_name};

#[derive(Debug, Serialize, FromRow)]
struct ScheduledEmail {
    id: i64,
    campaign_id: i64,
    template_builder_id: i64,
    status: String,
    #[serde(serialize_with = "carbon")]
    scheduled_at: Option<NaiveDateTime>,
    #[serde(serialize_with = "carbon")]
    created_at: Option<NaiveDateTime>,
}

#[derive(Debug, Serialize, FromRow)]
struct ScheduledText {
    id: i64,
    campaign_id: i64,
    sms_builder_id: i64,
    gateway: String,
    status: String,
    #[serde(serialize_with = "carbon")]
    scheduled_at: Option<NaiveDateTime>,
    #[serde(serialize_with = "carbon")]
    created_at: Option<NaiveDateTime>,
}

pub async fn list_emails(
    State(engine): State<Handle>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let scheduled: Vec<ScheduledEmail> =
        sqlx::query_as("select id, campaign_id, template_builder_id, status, scheduled_at, created_at from schedule_emails where owner_id = $1 order by id")
            .bind(tenant.0)
            .fetch_all(engine.legacy.pool())
            .await
            .map_err(failed("read the schedule"))?;
    if !wants_page(&headers) {
        return Ok(LegacyJson(StatusCode::OK, List::from(scheduled)).into_response());
    }
    let rows = scheduled.iter();
    let rows = rows.map(|it| (it.campaign_id, it.scheduled_at, it.status.as_str()));
    page(&engine, tenant, "Scheduled e-mails", &table(rows)).await
}

pub async fn list_texts(
    State(engine): State<Handle>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let scheduled: Vec<ScheduledText> =
        sqlx::query_as("select id, campaign_id, sms_builder_id, gateway, status, scheduled_at, created_at from schedule_sms where owner_id = $1 order by id")
            .bind(tenant.0)
            .fetch_all(engine.legacy.pool())
            .await
            .map_err(failed("read the schedule"))?;
    if !wants_page(&headers) {
        return Ok(LegacyJson(StatusCode::OK, List::from(scheduled)).into_response());
    }
    let rows = scheduled.iter();
    let rows = rows.map(|it| (it.campaign_id, it.scheduled_at, it.status.as_str()));
    page(&engine, tenant, "Scheduled SMS", &table(rows)).await
}

async fn page(
    engine: &Handle,
    tenant: TenantId,
    title: &str,
    table: &str,
) -> Result<Response, Problem> {
    let account = account_name(engine.legacy.pool(), tenant).await?;
    Ok(frame(tenant, account.as_deref(), title, table).into_response())
}

fn table<'a>(rows: impl Iterator<Item = (i64, Option<NaiveDateTime>, &'a str)>) -> String {
    let mut html =
        String::from("<table>\n<tr><th>Campaign</th><th>At (UTC)</th><th>Status</th></tr>\n");
    for (campaign, at, status) in rows {
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        // Writing to a string cannot fail, which its type does not say.
        let _ = writeln!(
            html,
            "<tr><td><a href=\"/dashboard/campaigns/{campaign}\">{campaign}</a></td><td>{at}</td><td>{}</td></tr>",
            Escaped(status)
        );
    }
    html.push_str("</table>\n");
    html
}
