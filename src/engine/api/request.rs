//! One message as a sender writes it, checked: what may be stored, or a precise fault.
//!
//! Its own file, and pure: the shape is legacy's (a message for the queue `email.send`), and every fault is one message's alone.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::engine::address::{Address, Mailbox};
use crate::engine::idempotency::{Fingerprint, Key, Purpose};
use crate::engine::letter::{Body, Letter, NamedServer, Party, StoredFile};
use crate::engine::mail::header::Subject;
use crate::engine::message::{Channel, MessageId, NewMessage};
use crate::engine::template::BODY_LIMIT;
use crate::ids::TenantId;

/// Nothing is accepted that is due later.
const MOST_AHEAD: TimeDelta = TimeDelta::days(366);
const MOST_FILES: usize = crate::engine::mail::ATTACHMENT_LIMIT;
/// Bytes of a message as it is stored.
const STORED_LIMIT: usize = 8 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    message_id: Option<Uuid>,
    tenant_id: Option<i64>,
    campaign_id: Option<i64>,
    r#type: Kind,
    recipient: Recipient,
    content: Content,
    provider_config: Option<ProviderConfig>,
    #[allow(dead_code, reason = "part of the shape")]
    tracking: Option<Tracking>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    idempotency_key: Option<String>,
    /// What the same recipient of the same campaign may get beside this.
    step: Option<String>,
    send_at: Option<DateTime<Utc>>,
    /// Taken, and not asked: the time of a message is ours.
    #[allow(dead_code, reason = "part of the shape")]
    created_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Email,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipient {
    email: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    subject: String,
    body_html: Option<String>,
    body_text: Option<String>,
    from_email: String,
    from_name: Option<String>,
    reply_to: Option<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attachment {
    filename: String,
    content_type: Option<String>,
    url: Option<String>,
    base64: Option<String>,
    content_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderConfig {
    smtp_host: String,
    smtp_port: u16,
    smtp_username: Option<String>,
    smtp_password: Option<String>,
    smtp_encryption: Option<String>,
}

/// Part of the shape; links are ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "part of the shape")]
struct Tracking {
    tracker_uuid: Option<Uuid>,
    open_tracking: Option<bool>,
    click_tracking: Option<bool>,
}

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

/// The message of one of a request's items, for `tenant`.
pub fn read(item: Value, tenant: TenantId, now: DateTime<Utc>) -> Result<NewMessage, Fault> {
    let fingerprint = fingerprint(&item);
    let request: Request = serde_json::from_value(item).map_err(|error| {
        // serde's words name fields and types; a value stands in them only where it is of the wrong type, so the position is all that is lost.
        Fault::new("shape", without_values(&error.to_string()))
    })?;
    let Kind::Email = request.r#type;
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
    let letter = letter(request.content, !request.variables.is_empty())?;
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

/// Of what the message says: its ids and times may differ when the same one is handed in again.
fn fingerprint(item: &Value) -> [u8; 32] {
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
    })
}

fn file(place: usize, it: Attachment) -> Result<StoredFile, Fault> {
    if it.url.is_some() == it.base64.is_some() {
        let detail = format!("content.attachments[{place}] needs either url or base64");
        return Err(Fault::new("attachments", detail));
    }
    crate::engine::mail::header::FileName::new(&it.filename).map_err(|fault| {
        Fault::new(
            "attachments",
            format!("content.attachments[{place}].filename: {fault}"),
        )
    })?;
    if it
        .url
        .as_deref()
        .is_some_and(|url| !url.starts_with("https://"))
    {
        let detail = format!("content.attachments[{place}].url: expected https");
        return Err(Fault::new("attachments", detail));
    }
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
mod tests {
    use serde_json::json;

    use super::*;

    const TENANT: TenantId = TenantId(7);

    fn item() -> Value {
        json!({
            "type": "email",
            "recipient": { "email": "Ann@example.com", "name": "Ann" },
            "content": { "subject": "News", "body_html": "<p>Hello</p>", "from_email": "shop@example.com" },
        })
    }

    fn with(place: &str, value: Value) -> Value {
        let mut item = item();
        *item
            .pointer_mut(place.rsplit_once('/').unwrap().0)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .entry(place.rsplit_once('/').unwrap().1)
            .or_insert(Value::Null) = value;
        item
    }

    fn code(item: Value) -> &'static str {
        read(item, TENANT, Utc::now()).unwrap_err().code
    }

    #[test]
    fn a_message_is_for_whom_it_names() {
        let message = read(item(), TENANT, Utc::now()).unwrap();
        assert_eq!(
            (message.recipient.as_str(), message.due_at),
            ("Ann@example.com", None)
        );
        assert!(!message.body.contains("Ann@"), "the address stands once");
    }

    #[test]
    fn each_fault_is_precise() {
        for (place, value, expected) in [
            ("/recipient/email", json!("nobody"), "address"),
            (
                "/recipient/email",
                json!("a@b.test\r\nBcc: c@d.test"),
                "address",
            ),
            ("/recipient/name", json!("Ann\r\nBcc: c@d.test"), "address"),
            ("/content/from_email", json!("@"), "address"),
            ("/content/reply_to", json!(""), "address"),
            (
                "/content/subject",
                json!("News\r\nBcc: c@d.test"),
                "subject",
            ),
            (
                "/content/body_html",
                json!("x".repeat(BODY_LIMIT + 1)),
                "size",
            ),
            ("/content/body_html", Value::Null, "content"),
            (
                "/content/attachments",
                json!([{ "filename": "a.pdf" }]),
                "attachments",
            ),
            (
                "/content/attachments",
                json!([{ "filename": "a.pdf", "url": "http://a.test/" }]),
                "attachments",
            ),
            ("/tenant_id", json!(8), "tenant"),
            ("/type", json!("fax"), "shape"),
            ("/sent_at", json!("x"), "shape"),
            ("/send_at", json!("2999-01-01T00:00:00Z"), "send_at"),
            ("/idempotency_key", json!("two words"), "idempotency_key"),
            ("/variables", json!({ "x": "1" }), "none"),
            (
                "/provider_config",
                json!({ "smtp_host": "a.test", "smtp_port": 25, "smtp_password": "hunter2" }),
                "provider_config",
            ),
        ] {
            match read(with(place, value.clone()), TENANT, Utc::now()) {
                Err(fault) => assert_eq!(fault.code, expected, "{place}: {}", fault.detail),
                Ok(_) => assert_eq!("none", expected, "{place} = {value}"),
            }
        }
    }

    #[test]
    fn a_variable_without_a_value_is_told_by_name() {
        let mut item = with("/content/body_html", json!("<p>{first} {last}</p>"));
        item["variables"] = json!({ "first": "Ann" });
        let fault = read(item, TENANT, Utc::now()).unwrap_err();
        assert_eq!(
            (fault.code, fault.detail.as_str()),
            ("variable", "the recipient has no value for {last}")
        );
        // Without variables braces are text, such as a style's.
        assert!(
            read(
                with("/content/body_html", json!("<style>p{color:red}</style>")),
                TENANT,
                Utc::now()
            )
            .is_ok()
        );
    }

    #[test]
    fn a_fault_repeats_no_value() {
        let fault = read(
            with("/campaign_id", json!("ann@example.com")),
            TENANT,
            Utc::now(),
        )
        .unwrap_err();
        assert_eq!(fault.code, "shape");
        assert!(!fault.detail.contains("ann"), "{}", fault.detail);
    }

    #[test]
    fn the_same_message_has_the_same_key_and_print_whatever_its_ids() {
        let of = |item| {
            let message = read(item, TENANT, Utc::now()).unwrap();
            (message.key, message.fingerprint)
        };
        let keyed = with("/idempotency_key", json!("order-7"));
        let mut again = keyed.clone();
        again["message_id"] = json!(Uuid::now_v7());
        again["created_at"] = json!("2026-02-07T01:00:00Z");
        assert_eq!(of(keyed.clone()), of(again));
        let mut other = keyed.clone();
        other["content"]["subject"] = json!("Other news");
        assert_eq!(of(keyed.clone()).0, of(other.clone()).0);
        assert_ne!(of(keyed).1, of(other).1);
        // Without any key each is its own.
        assert_ne!(of(item()).0, of(item()).0);
        // A campaign's recipient is one, however the address is spelt.
        let campaign = with("/campaign_id", json!(3));
        let mut shouted = campaign.clone();
        shouted["recipient"]["email"] = json!("ANN@EXAMPLE.COM");
        assert_eq!(of(campaign).0, of(shouted).0);
    }

    #[test]
    fn what_is_no_message_at_all_is_told() {
        for item in [json!(null), json!([]), json!("x"), json!({})] {
            assert_eq!(code(item), "shape");
        }
    }
}
