//! Makes a campaign's letter of what legacy's tables say at the moment, or says why it cannot be sent.
//!
//! Its own file, because a send that is asked for and one whose time has come are checked alike, and only the first has somebody to tell.

use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::engine::address::{Address, Mailbox};
use crate::engine::legacy::{Legacy, Sender, Template};
use crate::engine::letter::{Letter, Party};
use crate::ids::TenantId;
use crate::modern::failed;
use crate::modern::problem::Problem;

/// Why a campaign cannot be sent.
#[derive(Debug)]
pub enum Refused {
    /// The tenant does not have it.
    Missing(String),
    Unfit(String),
    /// What was read, and why it could not be: it may be asked again.
    Unread(&'static str, sqlx::Error),
}

/// What a run's messages share, as it is stored. It does not print.
pub struct Content {
    pub digest: [u8; 32],
    pub body: String,
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Missing(why) => Self::not_found(why),
            Refused::Unfit(why) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, why),
            Refused::Unread(doing, error) => failed(doing)(error),
        }
    }
}

/// The template of a campaign by e-mail that the tenant has, as it has the template.
///
/// # Errors
///
/// If it has not, or legacy's tables cannot be read.
pub async fn find_campaign(
    legacy: &Legacy,
    tenant: TenantId,
    campaign: i64,
    template: i64,
) -> Result<Template, Refused> {
    let channel = legacy.channel(tenant, campaign).await;
    let channel = channel.map_err(|error| Refused::Unread("read the campaign", error))?;
    let found = legacy.template(tenant, template).await;
    let found = found.map_err(|error| Refused::Unread("read the template", error))?;
    let Some(channel) = channel else {
        return Err(Refused::Missing(format!("there is no campaign {campaign}")));
    };
    let Some(found) = found else {
        return Err(Refused::Missing(format!("there is no template {template}")));
    };
    if channel != "email" {
        return Err(Refused::Unfit(format!(
            "campaign {campaign} is not an e-mail campaign: send it through its own channel"
        )));
    }
    Ok(found)
}

/// Checked as a whole, before anybody is told that it will be sent. `has_links`: there is a URL at which links of ours are served. `traceparent`: of a request
/// that is recorded.
///
/// # Errors
///
/// If it cannot be sent, or legacy's tables cannot be read.
pub async fn make_letter(
    legacy: &Legacy,
    has_links: bool,
    tenant: TenantId,
    (campaign, template): (i64, i64),
    run: Uuid,
    traceparent: Option<String>,
) -> Result<Content, Refused> {
    let found = find_campaign(legacy, tenant, campaign, template).await?;
    let sender = legacy.sender(tenant).await;
    let sender = sender.map_err(|error| Refused::Unread("read the sender", error))?;
    let sender =
        sender.ok_or_else(|| Refused::Unfit("the tenant has no sender's address".to_owned()))?;
    let letter = Letter {
        traceparent,
        ..letter(run, found, sender)
    };
    check(&letter, has_links).map_err(Refused::Unfit)?;
    let body = serde_json::to_string(&letter)
        .map_err(|_| Refused::Unfit("the template cannot be stored".to_owned()))?;
    Ok(Content {
        digest: Sha256::digest(&body).into(),
        body,
    })
}

fn letter(run: Uuid, found: Template, sender: Sender) -> Letter {
    Letter {
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
        // Legacy counts by the two placeholders, and where a template has none, it counts nothing.
        tracked: None,
        traceparent: None,
    }
}

fn check(letter: &Letter, has_links: bool) -> Result<(), String> {
    let template = letter
        .compile()
        .map_err(|fault| format!("the template cannot be used: {fault}"))?;
    for name in template.names() {
        match name {
            "name" => {}
            "click_url" | "open_url" if has_links => {}
            "click_url" | "open_url" => {
                return Err(format!(
                    "the template has {{{name}}}, and engine.public_url is not set"
                ));
            }
            other => {
                return Err(format!(
                    "the template has {{{other}}}, for which no recipient has a value"
                ));
            }
        }
    }
    let from = Address::parse(&letter.from.email)
        .and_then(|address| Mailbox::new(address, letter.from.name.as_deref()));
    from.map_err(|fault| format!("the sender cannot be used: {fault}"))?;
    Ok(())
}
