//! `GET /campaign/send-sms/campaign-{id}/{template}/{gateway}`: accepts the send of a campaign by text, and answers 202 once it is stored.
//!
//! Its own file, because it is checked against other tables than e-mail's; from the run on the two are alike.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::prepare::{Content, Refused};
use super::send::{Accepted, id_after};
use crate::engine::Handle;
use crate::engine::legacy::Legacy;
use crate::engine::sms::segments::{self, MOST_SEGMENTS};
use crate::engine::sms::text::TEXT_LIMIT;
use crate::engine::sms::{Gateway, Text};
use crate::ids::TenantId;
use crate::modern::json::LegacyJson;
use crate::modern::problem::Problem;
use crate::modern::tenant::Tenant;
use crate::modern::{failed, id_in_path};

/// 404 for what the tenant does not have, a gateway that it has not set up included, as legacy has it; 422 for a campaign that cannot be sent.
pub async fn accept_texts(
    State(engine): State<Handle>,
    Tenant(tenant): Tenant,
    Path((campaign, template, gateway)): Path<(String, String, String)>,
) -> Result<LegacyJson<Accepted>, Problem> {
    let campaign = id_after("campaign-", &campaign)?;
    let template = id_in_path(&template)?;
    let run = Uuid::now_v7();
    let gateway = find_gateway(&engine.legacy, tenant, &gateway).await?;
    let content = make_text(&engine.legacy, tenant, (campaign, template), gateway, run).await?;
    sqlx::query("select ficus.begin_sms_run($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(run)
        .bind(tenant.0)
        .bind(campaign)
        .bind(template)
        .bind(gateway.as_str())
        .bind(Uuid::now_v7())
        .bind(content.digest.as_slice())
        .bind(&content.body)
        .execute(&engine.pool)
        .await
        .map_err(failed("store the send"))?;
    tracing::info!(%run, %tenant, campaign, template, %gateway, "a campaign's send by text was accepted");
    engine.campaigns.notify_one();
    Ok(LegacyJson(StatusCode::ACCEPTED, Accepted::of(run)))
}

/// One that the tenant has set up; whether its account is good is known when it is asked.
pub async fn find_gateway(
    legacy: &Legacy,
    tenant: TenantId,
    name: &str,
) -> Result<Gateway, Refused> {
    let missing = || Refused::Missing(format!("there is no SMS gateway {name:?}"));
    let gateway = Gateway::parse(name).ok_or_else(missing)?;
    let found = legacy.sms_service(tenant, Some(gateway)).await;
    let found = found.map_err(|error| Refused::Unread("read the SMS gateway", error))?;
    found.map(|_| gateway).ok_or_else(missing)
}

/// Checked as a whole, before anybody is told that it will be sent.
pub async fn make_text(
    legacy: &Legacy,
    tenant: TenantId,
    (campaign, template): (i64, i64),
    gateway: Gateway,
    run: Uuid,
) -> Result<Content, Refused> {
    let channel = legacy.channel(tenant, campaign).await;
    let channel = channel.map_err(|error| Refused::Unread("read the campaign", error))?;
    let found = legacy.sms_template(tenant, template).await;
    let found = found.map_err(|error| Refused::Unread("read the template", error))?;
    let Some(channel) = channel else {
        return Err(Refused::Missing(format!("there is no campaign {campaign}")));
    };
    let Some(found) = found else {
        return Err(Refused::Missing(format!("there is no template {template}")));
    };
    if channel != "sms" {
        return Err(Refused::Unfit(format!(
            "campaign {campaign} is not an SMS campaign: send it through its own channel"
        )));
    }
    let text = Text {
        text: found,
        from: None,
        gateway: Some(gateway.as_str().to_owned()),
        is_template: true,
        run: Some(run),
    };
    check(&text).map_err(Refused::Unfit)?;
    let body = serde_json::to_string(&text)
        .map_err(|_| Refused::Unfit("the template cannot be stored".to_owned()))?;
    Ok(Content {
        digest: Sha256::digest(&body).into(),
        body,
    })
}

fn check(text: &Text) -> Result<(), String> {
    let template = text
        .compile()
        .map_err(|fault| format!("the template cannot be used: {fault}"))?;
    let mut names = template.iter().flat_map(|it| it.names());
    if let Some(other) = names.find(|it| *it != "name") {
        return Err(format!(
            "the template has {{{other}}}, for which no recipient has a value"
        ));
    }
    let (characters, parts) = (text.text.chars().count(), segments::count(&text.text).count);
    match characters > TEXT_LIMIT || parts > MOST_SEGMENTS {
        true => Err(format!(
            "the template has {characters} characters in {parts} parts: a text has at most {TEXT_LIMIT} in {MOST_SEGMENTS}"
        )),
        false => Ok(()),
    }
}
