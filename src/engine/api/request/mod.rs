//! One message as a sender writes it, checked: what may be stored, or a precise fault.
//!
//! Its own file, and pure: the shape is legacy's (a message for the queue `email.send`), and every fault is one message's alone.

mod shape;
mod text;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::engine::address::{Address, Mailbox};
use crate::engine::attachment::{self, Source};
use crate::engine::idempotency::{Fingerprint, Key, Purpose};
use crate::engine::letter::{Body, Letter, NamedServer, Party, StoredFile, Tracked};
use crate::engine::mail::header::{FileName, Subject};
use crate::engine::message::{Channel, MessageId, NewMessage};
use crate::engine::template::BODY_LIMIT;
use crate::ids::TenantId;
use shape::{Attachment, Content, ProviderConfig, Request, Tracking};

/// Nothing is accepted that is due later.
const MOST_AHEAD: TimeDelta = TimeDelta::days(366);
const MOST_FILES: usize = crate::engine::mail::ATTACHMENT_LIMIT;
/// Bytes of a message as it is stored.
const STORED_LIMIT: usize = 8 * 1024 * 1024;

/// Why a message is not accepted. It repeats no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Fault {
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// The message of one of a request's items, for `tenant`. `traceparent`: of a request that is recorded.
pub fn read(
    item: Value,
    tenant: TenantId,
    now: DateTime<Utc>,
    traceparent: Option<&str>,
) -> Result<NewMessage, Fault> {
    if item["type"] == "sms" {
        return text::read(item, tenant, now, traceparent);
    }
    let fingerprint = fingerprint(&item);
    let request: Request = serde_json::from_value(item).map_err(|error| {
        // serde's words name fields and types; a value stands in them only where it is of the wrong type, so the position is all that is lost.
        Fault::new("shape", without_values(&error.to_string()))
    })?;
    if request.tenant_id.is_some_and(|id| id != tenant.0) {
        return Err(Fault::new(
            "tenant",
            "tenant_id is not the tenant that asks",
        ));
    }
    let to = mailbox(
        "recipient.email",
        &request.recipient.email,
        request.recipient.name.as_deref(),
    )?;
    let due_at = due_at(request.send_at, now)?;
    let mut letter = letter(request.content, !request.variables.is_empty())?;
    letter.tracked = request.tracking.and_then(tracked);
    check_variables(&letter, &request.variables)?;
    let id = MessageId::new();
    let key = match (
        &request.idempotency_key,
        request.campaign_id,
        request.message_id,
    ) {
        (Some(key), _, _) => {
            Key::given(key).map_err(|fault| Fault::new("idempotency_key", fault.to_string()))?
        }
        (None, Some(campaign), _) => Key::of(&Purpose {
            tenant,
            campaign,
            recipient: &to.address().folded(),
            step: request.step.as_deref().unwrap_or_default(),
        }),
        (None, None, Some(message)) => own_key("message", message)?,
        (None, None, None) => own_key("once", id.0)?,
    };
    let body = Body {
        name: request.recipient.name,
        variables: request.variables,
        letter: Some(letter),
        server: request.provider_config.map(server).transpose()?,
        contact: None,
        traceparent: traceparent.map(str::to_owned),
    };
    let body = serde_json::to_string(&body)
        .map_err(|_| Fault::new("shape", "the message cannot be written as JSON"))?;
    if body.len() > STORED_LIMIT {
        return Err(Fault::new(
            "size",
            format!("the message is larger than {STORED_LIMIT} bytes"),
        ));
    }
    if body.contains("\\u0000") {
        return Err(Fault::new("shape", "the message has a U+0000 in it"));
    }
    Ok(NewMessage {
        id,
        tenant,
        key: key.digest(),
        fingerprint,
        channel: Channel::Email,
        campaign: request.campaign_id,
        recipient: to.address().as_str().to_owned(),
        body,
        content: None,
        due_at,
    })
}

/// `None`: nothing is asked for.
fn tracked(asked: Tracking) -> Option<Tracked> {
    let (opens, clicks) = (asked.open_tracking, asked.click_tracking);
    let tracked = Tracked {
        opens: opens.unwrap_or_default(),
        clicks: clicks.unwrap_or_default(),
    };
    (tracked != Tracked::default()).then_some(tracked)
}

/// Of what the message says: its ids and times may differ when the same one is handed in again.
fn fingerprint(item: &Value) -> [u8; 16] {
    let mut item = item.clone();
    if let Some(members) = item.as_object_mut() {
        for name in ["message_id", "created_at", "idempotency_key", "tracking"] {
            members.remove(name);
        }
    }
    Fingerprint::of(&item).0
}

fn mailbox(place: &str, email: &str, name: Option<&str>) -> Result<Mailbox, Fault> {
    Address::parse(email)
        .and_then(|address| Mailbox::new(address, name))
        .map_err(|fault| Fault::new("address", format!("{place}: {fault}")))
}

fn due_at(
    asked: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Fault> {
    match asked {
        Some(at) if at > now + MOST_AHEAD => {
            Err(Fault::new("send_at", "send_at is more than a year ahead"))
        }
        asked => Ok(asked.filter(|at| *at > now)),
    }
}

fn letter(content: Content, is_template: bool) -> Result<Letter, Fault> {
    mailbox(
        "content.from_email",
        &content.from_email,
        content.from_name.as_deref(),
    )?;
    if let Some(reply_to) = &content.reply_to {
        mailbox("content.reply_to", reply_to, None)?;
    }
    Subject::new(&content.subject)
        .map_err(|fault| Fault::new("subject", format!("content.subject: {fault}")))?;
    for (place, text) in [
        ("body_html", &content.body_html),
        ("body_text", &content.body_text),
    ] {
        if text.as_ref().is_some_and(|text| text.len() > BODY_LIMIT) {
            return Err(Fault::new(
                "size",
                format!("content.{place} is larger than {BODY_LIMIT} bytes"),
            ));
        }
    }
    if content.body_html.is_none() && content.body_text.is_none() {
        return Err(Fault::new(
            "content",
            "content needs body_html, body_text or both",
        ));
    }
    if content.attachments.len() > MOST_FILES {
        return Err(Fault::new(
            "attachments",
            format!("there are more than {MOST_FILES} attachments"),
        ));
    }
    let files = content
        .attachments
        .into_iter()
        .enumerate()
        .map(|(place, it)| file(place, it));
    Ok(Letter {
        subject: content.subject,
        html: content.body_html,
        text: content.body_text,
        from: Party {
            email: content.from_email,
            name: content.from_name,
        },
        reply_to: content.reply_to,
        files: files.collect::<Result<_, _>>()?,
        is_template,
        link: None,
        run: None,
        tracked: None,
        traceparent: None,
    })
}

fn file(place: usize, it: Attachment) -> Result<StoredFile, Fault> {
    let fault = |what: &str, why: &dyn std::fmt::Display| {
        let detail = format!("content.attachments[{place}]{what}{why}");
        Fault::new("attachments", detail)
    };
    let (source, what) = match (&it.url, &it.base64) {
        (Some(url), None) => (Source::Url(url), ".url: "),
        (None, Some(text)) => (Source::Base64(text), ".base64: "),
        _ => return Err(fault("", &" needs either url or base64")),
    };
    FileName::new(&it.filename).map_err(|it| fault(".filename: ", &it))?;
    attachment::check(&source).map_err(|it| fault(what, &it))?;
    Ok(StoredFile {
        name: it.filename,
        kind: it.content_type,
        url: it.url,
        base64: it.base64,
        inline: it.content_id,
    })
}

/// A variable without a value is this recipient's fault, and is told before anything is stored.
fn check_variables(letter: &Letter, variables: &BTreeMap<String, String>) -> Result<(), Fault> {
    if !letter.is_template {
        return Ok(());
    }
    let template = letter
        .compile()
        .map_err(|fault| Fault::new("template", fault.to_string()))?;
    let known = |name: &str| {
        variables.contains_key(name) || matches!(name, "name" | "click_url" | "open_url")
    };
    match template.names().into_iter().find(|name| !known(name)) {
        Some(name) => Err(Fault::new(
            "variable",
            format!("the recipient has no value for {{{name}}}"),
        )),
        None => Ok(()),
    }
}

/// A password in plain text is refused: it would stand in the queue.
fn server(config: ProviderConfig) -> Result<NamedServer, Fault> {
    let encryption = config.smtp_encryption.as_deref().unwrap_or_default();
    if !matches!(encryption, "" | "tls" | "ssl") {
        return Err(Fault::new(
            "provider_config",
            "smtp_encryption: expected \"tls\", \"ssl\" or \"\"",
        ));
    }
    let is_sealed = |text: &String| text.is_empty() || text.starts_with("eyJ");
    if !config.smtp_password.as_ref().is_none_or(is_sealed) {
        return Err(Fault::new(
            "provider_config",
            "smtp_password: expected what Laravel's encrypt() writes",
        ));
    }
    Ok(NamedServer {
        host: config.smtp_host,
        port: config.smtp_port,
        username: config.smtp_username,
        password: config.smtp_password,
        encryption: config.smtp_encryption,
    })
}

fn own_key(kind: &str, id: Uuid) -> Result<Key, Fault> {
    Key::given(&format!("{kind}:{id}")).map_err(|fault| Fault::new("shape", fault.to_string()))
}

/// serde quotes a value of the wrong type: `invalid type: string "ann@example.com", expected …`.
fn without_values(text: &str) -> String {
    match (text.find(['"']), text.rfind("\", ")) {
        (Some(from), Some(until)) if from < until => {
            format!("{}…{}", &text[..from], &text[until + 1..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
