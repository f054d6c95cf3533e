//! `GET /campaign/send-email/campaign-{id}/template-{id}`: accepts a campaign's send, and answers 202 once it is stored.
//!
//! Its own file, because a legacy address that sends at a GET needs its own care.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::engine::Handle;
use crate::engine::address::{Address, Mailbox};
use crate::engine::legacy::{Sender, Template};
use crate::engine::letter::{Letter, Party};
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

/// 404 for what the tenant does not have, another tenant's included; 422 for a campaign that cannot be sent, with why.
pub async fn accept_campaign(
    State(engine): State<Handle>,
    Tenant(tenant): Tenant,
    Path((campaign, template)): Path<(String, String)>,
) -> Result<LegacyJson<Accepted>, Problem> {
    let campaign = id_after("campaign-", &campaign)?;
    let template = id_after("template-", &template)?;
    let legacy = &engine.legacy;
    let channel = legacy.channel(tenant, campaign).await;
    let channel = channel.map_err(failed("read the campaign"))?;
    let found = legacy.template(tenant, template).await;
    let found = found.map_err(failed("read the template"))?;
    let Some(channel) = channel else {
        return Err(Problem::not_found(format!(
            "there is no campaign {campaign}"
        )));
    };
    let Some(found) = found else {
        return Err(Problem::not_found(format!(
            "there is no template {template}"
        )));
    };
    if channel != "email" {
        return Err(unfit(format!(
            "campaign {campaign} is not an e-mail campaign: send it through its own channel"
        )));
    }
    let sender = legacy.sender(tenant).await;
    let sender = sender.map_err(failed("read the sender"))?;
    let sender = sender.ok_or_else(|| unfit("the tenant has no sender's address".to_owned()))?;
    let run = Uuid::now_v7();
    let letter = letter(&engine, run, found, sender)?;
    store(&engine, tenant, run, (campaign, template), &letter).await?;
    tracing::info!(%run, %tenant, campaign, template, "a campaign's send was accepted");
    engine.campaigns.notify_one();
    Ok(LegacyJson(
        StatusCode::ACCEPTED,
        Accepted {
            status: "accepted",
            id: run,
        },
    ))
}

/// Checked as a whole, before anybody is told that it will be sent.
fn letter(engine: &Handle, run: Uuid, found: Template, sender: Sender) -> Result<Letter, Problem> {
    let letter = Letter {
        subject: found.subject,
        html: Some(found.html),
        text: None,
        from: Party {
            email: sender.email.clone(),
            name: sender.name,
        },
        reply_to: Some(sender.reply_to.unwrap_or(sender.email)),
        files: Vec::new(),
        is_template: true,
        link: found.link,
        run: Some(run),
    };
    let template = letter
        .compile()
        .map_err(|fault| unfit(format!("the template cannot be used: {fault}")))?;
    for name in template.names() {
        match name {
            "name" => {}
            "click_url" | "open_url" if engine.public_url.is_some() => {}
            "click_url" | "open_url" => {
                return Err(unfit(format!(
                    "the template has {{{name}}}, and engine.public_url is not set"
                )));
            }
            other => {
                return Err(unfit(format!(
                    "the template has {{{other}}}, for which no recipient has a value"
                )));
            }
        }
    }
    let from = Address::parse(&letter.from.email)
        .and_then(|address| Mailbox::new(address, letter.from.name.as_deref()));
    from.map_err(|fault| unfit(format!("the sender cannot be used: {fault}")))?;
    Ok(letter)
}

async fn store(
    engine: &Handle,
    tenant: TenantId,
    run: Uuid,
    (campaign, template): (i64, i64),
    letter: &Letter,
) -> Result<(), Problem> {
    let body = serde_json::to_string(letter)
        .map_err(|_| unfit("the template cannot be stored".to_owned()))?;
    sqlx::query("select ficus.begin_run($1, $2, $3, $4, $5, $6, $7)")
        .bind(run)
        .bind(tenant.0)
        .bind(campaign)
        .bind(template)
        .bind(Uuid::now_v7())
        .bind(Sha256::digest(&body).as_slice())
        .bind(&body)
        .execute(&engine.pool)
        .await
        .map_err(failed("store the send"))?;
    Ok(())
}

fn unfit(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
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
