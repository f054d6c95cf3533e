//! The shape of a message as a sender writes it: legacy's, for the queue `email.send`, and some members more.
//!
//! Its own file, because what is not in it is refused: a name that is misspelt must not be a message that lacks something.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub message_id: Option<Uuid>,
    pub tenant_id: Option<i64>,
    pub campaign_id: Option<i64>,
    #[allow(dead_code, reason = "there is one that has this shape")]
    pub r#type: Kind,
    pub recipient: Recipient,
    pub content: Content,
    pub provider_config: Option<ProviderConfig>,
    pub tracking: Option<Tracking>,
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    pub idempotency_key: Option<String>,
    /// What the same recipient of the same campaign may get beside this.
    pub step: Option<String>,
    pub send_at: Option<DateTime<Utc>>,
    /// Taken, and not asked: the time of a message is ours.
    #[allow(dead_code, reason = "part of the shape")]
    pub created_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Email,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    pub email: String,
    pub name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub subject: String,
    pub body_html: Option<String>,
    pub body_text: Option<String>,
    pub from_email: String,
    pub from_name: Option<String>,
    pub reply_to: Option<String>,
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    pub filename: String,
    pub content_type: Option<String>,
    pub url: Option<String>,
    pub base64: Option<String>,
    pub content_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    pub smtp_host: String,
    pub smtp_port: u16,
    pub smtp_username: Option<String>,
    pub smtp_password: Option<String>,
    pub smtp_encryption: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracking {
    /// Legacy's: our links have the message's id.
    #[allow(dead_code, reason = "part of the shape")]
    pub tracker_uuid: Option<Uuid>,
    pub open_tracking: Option<bool>,
    pub click_tracking: Option<bool>,
}
