//! One text message as a sender writes it, checked: what may be stored, or a precise fault.
//!
//! Its own file, and pure: it shares its outer members with an e-mail and nothing of its content; it is a message for the queue `sms.send`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Fault, due_at, fingerprint, own_key, without_values};
use crate::engine::address::NAME_LIMIT;
use crate::engine::idempotency::{Key, Purpose};
use crate::engine::message::{Channel, MessageId, NewMessage};
use crate::engine::sms::segments::{self, MOST_SEGMENTS};
use crate::engine::sms::text::TEXT_LIMIT;
use crate::engine::sms::{Gateway, Number, Sender, Text, TextBody};
use crate::ids::TenantId;

/// Bytes of a message as it is stored: its text, and the values of its variables.
const STORED_LIMIT: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    message_id: Option<Uuid>,
    tenant_id: Option<i64>,
    campaign_id: Option<i64>,
    #[allow(dead_code, reason = "looked at before the shape was chosen")]
    r#type: String,
    recipient: Recipient,
    content: Content,
    /// In place of the tenant's first gateway.
    gateway: Option<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    idempotency_key: Option<String>,
    step: Option<String>,
    send_at: Option<DateTime<Utc>>,
    #[allow(dead_code, reason = "part of the shape")]
    created_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipient {
    phone: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    text: String,
    /// One of the tenant's senders, in place of its gateway's.
    from: Option<String>,
}

pub fn read(
    item: Value,
    tenant: TenantId,
    now: DateTime<Utc>,
    traceparent: Option<&str>,
) -> Result<NewMessage, Fault> {
    let fingerprint = fingerprint(&item);
    let request: Request = serde_json::from_value(item)
        .map_err(|error| Fault::new("shape", without_values(&error.to_string())))?;
    if request.tenant_id.is_some_and(|id| id != tenant.0) {
        let detail = "tenant_id is not the tenant that asks";
        return Err(Fault::new("tenant", detail));
    }
    let to = Number::parse(&request.recipient.phone)
        .map_err(|fault| Fault::new("address", format!("recipient.phone: {fault}")))?;
    let name = request.recipient.name;
    if name.as_ref().is_some_and(|it| it.len() > NAME_LIMIT) {
        let detail = format!("recipient.name is longer than {NAME_LIMIT} bytes");
        return Err(Fault::new("address", detail));
    }
    if let Some(from) = &request.content.from {
        Sender::parse(from)
            .map_err(|fault| Fault::new("address", format!("content.from: {fault}")))?;
    }
    if let Some(gateway) = &request.gateway {
        Gateway::parse(gateway).ok_or_else(|| {
            let names = Gateway::ALL.map(Gateway::as_str).join(", ");
            Fault::new(
                "provider_config",
                format!("gateway: expected one of {names}"),
            )
        })?;
    }
    let due_at = due_at(request.send_at, now)?;
    let id = MessageId::new();
    let purpose = |campaign| Purpose {
        tenant,
        campaign,
        recipient: to.as_str(),
        step: request.step.as_deref().unwrap_or_default(),
    };
    let key = match (
        &request.idempotency_key,
        request.campaign_id,
        request.message_id,
    ) {
        (Some(key), _, _) => {
            Key::given(key).map_err(|fault| Fault::new("idempotency_key", fault.to_string()))?
        }
        (None, Some(campaign), _) => Key::of(&purpose(campaign)),
        (None, None, Some(message)) => own_key("message", message)?,
        (None, None, None) => own_key("once", id.0)?,
    };
    let text = Text {
        text: request.content.text,
        from: request.content.from,
        gateway: request.gateway,
        is_template: !request.variables.is_empty(),
        run: None,
    };
    let mut body = TextBody {
        name,
        variables: request.variables,
        text: None,
        traceparent: traceparent.map(str::to_owned),
    };
    check(&text, &body)?;
    body.text = Some(text);
    let body = serde_json::to_string(&body)
        .map_err(|_| Fault::new("shape", "the message cannot be written as JSON"))?;
    if body.len() > STORED_LIMIT {
        let detail = format!("the message is larger than {STORED_LIMIT} bytes");
        return Err(Fault::new("size", detail));
    }
    if body.contains("\\u0000") {
        return Err(Fault::new("shape", "the message has a U+0000 in it"));
    }
    Ok(NewMessage {
        id,
        tenant,
        key: key.digest(),
        fingerprint,
        channel: Channel::Sms,
        campaign: request.campaign_id,
        recipient: to.as_str().to_owned(),
        body,
        content: None,
        due_at,
    })
}

/// The text with its values in: how long it is by then is what counts.
fn check(text: &Text, body: &TextBody) -> Result<(), Fault> {
    let template = text
        .compile()
        .map_err(|fault| Fault::new("template", format!("content.text: {fault}")))?;
    let has_value = |name: &&String| body.variables.contains_key(*name) || *name == "name";
    let mut names = template.iter().flat_map(|it| it.names());
    if let Some(name) = names.find(|it| !has_value(it)) {
        let detail = format!("the recipient has no value for {{{name}}}");
        return Err(Fault::new("variable", detail));
    }
    let rendered = text
        .render(body)
        .ok_or_else(|| Fault::new("variable", "the values make the text too long"))?;
    if rendered.trim().is_empty() {
        return Err(Fault::new("content", "content.text is empty"));
    }
    let (characters, parts) = (rendered.chars().count(), segments::count(&rendered).count);
    match characters > TEXT_LIMIT || parts > MOST_SEGMENTS {
        true => Err(Fault::new(
            "size",
            format!(
                "the text has {characters} characters in {parts} parts: expected at most {TEXT_LIMIT} in {MOST_SEGMENTS}"
            ),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(change: impl FnOnce(&mut Value)) -> Result<NewMessage, Fault> {
        let mut item = json!({
            "type": "sms",
            "recipient": { "phone": "+1 555 000 0201", "name": "Ann" },
            "content": { "text": "Hello {who}", "from": "Acme" },
            "gateway": "twilio",
        });
        change(&mut item);
        super::super::read(item, TenantId(7), Utc::now(), None)
    }

    #[test]
    fn a_text_is_taken_with_its_number_as_vendors_have_it() {
        let message = asked(|_| {}).unwrap();
        assert_eq!(
            (message.channel, message.recipient.as_str()),
            (Channel::Sms, "+15550000201")
        );
        let body: TextBody = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body.text.unwrap().text, "Hello {who}", "braces are text");
    }

    #[test]
    fn each_fault_has_its_code() {
        type Change = fn(&mut Value);
        let table: [(&str, Change); 11] = [
            ("shape", |it| {
                it["recipient"] = json!({ "email": "ann@example.com" })
            }),
            ("shape", |it| it["content"]["subject"] = json!("x")),
            ("address", |it| {
                it["recipient"]["phone"] = json!("0171 2345678")
            }),
            ("address", |it| {
                it["content"]["from"] = json!("TwelveLetters")
            }),
            ("provider_config", |it| it["gateway"] = json!("pigeon")),
            ("tenant", |it| it["tenant_id"] = json!(8)),
            ("content", |it| it["content"]["text"] = json!(" \n")),
            ("size", |it| it["content"]["text"] = json!("a".repeat(1531))),
            ("size", |it| it["content"]["text"] = json!("я".repeat(671))),
            ("variable", |it| it["variables"] = json!({ "other": "x" })),
            ("template", |it| {
                it["variables"] = json!({ "who": "x" });
                it["content"]["text"] = json!("Hello {{who}}");
            }),
        ];
        for (code, change) in table {
            let fault = asked(change).unwrap_err();
            assert_eq!(fault.code, code, "{}", fault.detail);
            assert!(!fault.detail.contains("2345678"), "{}", fault.detail);
        }
    }

    #[test]
    fn values_count_for_the_length() {
        let filled = |length: usize| {
            asked(|it| it["variables"] = json!({ "who": "b".repeat(length) })).map(drop)
        };
        assert_eq!(filled(1500), Ok(()));
        assert_eq!(filled(1525).unwrap_err().code, "size");
    }
}
