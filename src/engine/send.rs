//! `GET /campaign/send-email/campaign-{id}/template-{id}`: accepts a campaign's send, and answers 202 once it is stored.
//!
//! Its own file, because this is where an acknowledgement becomes a promise. That a GET sends is legacy's own contract.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::Databases;
use crate::modern::json::LegacyJson;
use crate::modern::problem::Problem;
use crate::modern::tenant::Tenant;
use crate::modern::{failed, id_in_path};

#[derive(Serialize)]
pub struct Accepted {
    status: &'static str,
    id: Uuid,
}

/// 404 for what the tenant does not have, another tenant's included; 422 for a campaign of another channel.
pub async fn accept_campaign(
    State(databases): State<Databases>,
    Tenant(tenant): Tenant,
    Path((campaign, template)): Path<(String, String)>,
) -> Result<LegacyJson<Accepted>, Problem> {
    let campaign = id_after("campaign-", &campaign)?;
    let template = id_after("template-", &template)?;

    let (channel, has_template): (Option<String>, bool) = sqlx::query_as(
        "select (select type from campaigns where id = $2 and owner_id = $1),
                exists (select from template_builders where id = $3 and owner_id = $1)",
    )
    .bind(tenant.0)
    .bind(campaign)
    .bind(template)
    .fetch_one(&databases.legacy)
    .await
    .map_err(failed("read the campaign and the template"))?;
    let Some(channel) = channel else {
        return Err(Problem::not_found(format!(
            "there is no campaign {campaign}"
        )));
    };
    if !has_template {
        return Err(Problem::not_found(format!(
            "there is no template {template}"
        )));
    }
    if channel != "email" {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!(
                "campaign {campaign} is not an e-mail campaign: send it through its own channel"
            ),
        ));
    }

    let id = Uuid::now_v7();
    sqlx::query("insert into ficus.send_request (id, tenant_id, campaign_id, template_id) values ($1, $2, $3, $4)")
        .bind(id)
        .bind(tenant.0)
        .bind(campaign)
        .bind(template)
        .execute(&databases.ficus)
        .await
        .map_err(failed("store the send"))?;
    tracing::info!(%id, %tenant, campaign, template, "a campaign's send was accepted");
    Ok(LegacyJson(
        StatusCode::ACCEPTED,
        Accepted {
            status: "accepted",
            id,
        },
    ))
}

/// A GET that sends is what legacy's clients rely on; nobody relies on a HEAD that does, and link checkers ask with it.
pub async fn refuse_head() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "a send is asked for with GET",
    )
}

fn id_after(prefix: &str, segment: &str) -> Result<i64, Problem> {
    match segment.strip_prefix(prefix) {
        Some(id) => id_in_path(id),
        None => Err(Problem::not_found(format!(
            "the path needs {prefix} and a number in place of {segment:?}"
        ))),
    }
}
