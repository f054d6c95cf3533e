//! `GET /campaign/schedule-emails`: what a tenant has scheduled, from legacy's table, in legacy's shape.
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
    let account = account_name(engine.legacy.pool(), tenant).await?;
    Ok(frame(
        tenant,
        account.as_deref(),
        "Scheduled e-mails",
        &table(&scheduled),
    )
    .into_response())
}

fn table(scheduled: &[ScheduledEmail]) -> String {
    let mut html =
        String::from("<table>\n<tr><th>Campaign</th><th>At (UTC)</th><th>Status</th></tr>\n");
    for row in scheduled {
        let at = row
            .scheduled_at
            .map(|at| at.to_string())
            .unwrap_or_default();
        // Writing to a string cannot fail, which its type does not say.
        let _ = writeln!(
            html,
            "<tr><td><a href=\"/dashboard/campaigns/{0}\">{0}</a></td><td>{at}</td><td>{1}</td></tr>",
            row.campaign_id,
            Escaped(&row.status)
        );
    }
    html.push_str("</table>\n");
    html
}
