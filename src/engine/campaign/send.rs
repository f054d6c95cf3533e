//! `GET /campaign/send-email/campaign-{id}/template-{id}`: accepts a campaign's send, and answers 202 once it is stored.
//!
//! Its own file, because a legacy address that sends at a GET needs its own care.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use super::prepare::{Content, make_letter};
use crate::engine::{Handle, spans};
use crate::ids::TenantId;
use crate::modern::json::LegacyJson;
use crate::modern::problem::Problem;
use crate::modern::tenant::Tenant;
use crate::modern::{failed, id_in_path};

#[derive(Serialize)]
pub struct Accepted {
    status: &'static str,
    id: Uuid,
}

impl Accepted {
    /// Of the run that was stored.
    pub fn of(id: Uuid) -> Self {
        let status = "accepted";
        Self { status, id }
    }
}

/// 404 for what the tenant does not have, another tenant's included; 422 for a campaign that cannot be sent, with why.
pub async fn accept_campaign(
    State(engine): State<Handle>,
    Tenant(tenant): Tenant,
    Path((campaign, template)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<LegacyJson<Accepted>, Problem> {
    let campaign = id_after("campaign-", &campaign)?;
    let template = id_after("template-", &template)?;
    let run = Uuid::now_v7();
    let has_links = engine.public_url.is_some();
    let content = make_letter(
        &engine.legacy,
        has_links,
        tenant,
        (campaign, template),
        run,
        spans::recorded(&headers),
    );
    let content = content.await?;
    store(&engine, tenant, run, (campaign, template), &content).await?;
    tracing::info!(%run, %tenant, campaign, template, "a campaign's send was accepted");
    engine.campaigns.notify_one();
    Ok(LegacyJson(StatusCode::ACCEPTED, Accepted::of(run)))
}

async fn store(
    engine: &Handle,
    tenant: TenantId,
    run: Uuid,
    (campaign, template): (i64, i64),
    content: &Content,
) -> Result<(), Problem> {
    sqlx::query("select ficus.begin_run($1, $2, $3, $4, $5, $6, $7)")
        .bind(run)
        .bind(tenant.0)
        .bind(campaign)
        .bind(template)
        .bind(Uuid::now_v7())
        .bind(content.digest.as_slice())
        .bind(&content.body)
        .execute(&engine.pool)
        .await
        .map_err(failed("store the send"))?;
    Ok(())
}

/// A GET that sends is what legacy's clients rely on; nobody relies on a HEAD that does, and link checkers ask with it.
pub async fn refuse_head() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "a send is asked for with GET",
    )
}

pub fn id_after(prefix: &str, segment: &str) -> Result<i64, Problem> {
    match segment.strip_prefix(prefix) {
        Some(id) => id_in_path(id),
        None => Err(Problem::not_found(format!(
            "the path needs {prefix} and a number in place of {segment:?}"
        ))),
    }
}
