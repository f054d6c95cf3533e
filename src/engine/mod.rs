//! The messaging engine's public face: takes messages and campaigns durably, sends them, and tells what became of each.
//!
//! Its own folder, because it stays when the proxy is gone. How its parts work together, and what it promises, is in docs/ENGINE.md.
//!
//! In the order of a message's way: [`api`], [`campaign`] and [`schedule`] take it, with [`quota`] and [`submit`]; the [`queue`] has it until the
//! [`worker`] attempts it, in the turn that [`lanes`] gives and when its tenant's [`breaker`] lets it; [`compose`] makes a mail of its [`letter`], and a [`provider`] hands it over;
//! texts go the same way, with what [`sms`] knows of them, and [`callbacks`] takes what their vendors report; [`retry`] says what follows, and [`status`] tells [`legacy`]; [`quota_check`] finds what of the quota was lost on the way. What they stand on is pure: [`template`], [`address`], [`mail`],
//! [`attachment`], [`tracking`], [`idempotency`], [`bounce`] and [`sealed`] know no database and take the time as a value.

pub mod address;
pub mod alarm;
mod api;
pub mod attachment;
pub mod bounce;
pub mod breaker;
mod callbacks;
mod campaign;
mod compose;
pub mod drift;
mod group;
pub mod html;
pub mod idempotency;
pub mod lanes;
pub mod legacy;
pub mod letter;
pub mod links;
pub mod mail;
pub mod message;
pub mod operations;
pub mod provider;
pub mod queue;
pub mod quota;
pub mod quota_check;
pub mod retry;
mod running;
mod schedule;
pub mod sealed;
pub mod sms;
mod spans;
mod status;
pub mod submit;
pub mod template;
pub mod tenancy;
pub mod tracking;
mod turn;
pub mod worker;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::routing::{get, post};
use sqlx::PgPool;
use tokio::sync::Notify;

use self::callbacks::Callbacks;
use self::legacy::{Legacy, Statements};
use self::links::Links;
use self::quota::Quotas;
use self::sealed::{BadKeyring, Keyring};
use self::submit::Submitter;
use self::worker::Hints;
use crate::laravel::envelope::Cipher;
use crate::modern::complete;
use crate::secret::Secret;

pub use api::MOST_MESSAGES;
pub use running::start;

pub use crate::modern::tenant::HEADER as TENANT_HEADER;

/// What `[engine]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
    pub email: Email,
    pub sms: provider::sms::Config,
    /// The platform's own relay: host and port.
    pub relay: Option<(String, u16)>,
    pub local_name: String,
    pub app_key: Secret,
    /// What our own credentials of tenants are sealed with. Empty: there are none.
    pub sealing_keys: Secret,
    pub cipher: Cipher,
    pub takes_quota: bool,
    /// E-mails by which a tenant's quota may differ from legacy's before people are told.
    pub quota_tolerance: i64,
    pub under_way: usize,
    pub tenant_under_way: usize,
    pub connections: usize,
    pub lease: Duration,
    /// How long a tenant whose server refuses us is left alone.
    pub account_wait: Duration,
    pub dedup_keep: Duration,
    pub keep_days: i32,
    pub statements: Statements,
    /// Who signs mails, by domain.
    pub dkim: BTreeMap<String, mail::dkim::Source>,
    pub links: links::Config,
    pub settling: worker::Settling,
    /// By whose flags tenants come and go.
    pub capability: String,
    pub on_rollback: OnRollback,
}

impl Config {
    /// `None`: no credential is sealed or opened.
    ///
    /// # Errors
    ///
    /// If the keys are none.
    pub fn keyring(&self) -> Result<Option<Keyring>, BadKeyring> {
        match self.sealing_keys.is_empty() {
            true => Ok(None),
            false => Keyring::parse(&self.sealing_keys).map(Some),
        }
    }
}

/// How e-mails leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Email {
    Smtp,
    Sandbox,
}

/// What becomes of a tenant's unsent messages when the tenant goes back to legacy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRollback {
    /// They are sent from here.
    Drain,
    /// They are held until somebody says what is to become of them.
    Hold,
    /// Those of campaigns are legacy's to send; the others are held.
    Return,
}

impl OnRollback {
    /// As the configuration and the database have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Hold => "hold",
            Self::Return => "return",
        }
    }
}

/// What the routes stand on. Clones are the same.
#[derive(Clone)]
struct Handle {
    pool: PgPool,
    legacy: Legacy,
    submitter: Submitter,
    quotas: Quotas,
    hints: Hints,
    /// Rung when a campaign was accepted.
    campaigns: Arc<Notify>,
    public_url: Option<String>,
}

fn router(handle: Handle, links: &Links, callbacks: &Callbacks) -> Router {
    let messages = Router::new()
        .route("/api/v1/messages", post(api::accept))
        .layer(DefaultBodyLimit::max(api::BODY_LIMIT))
        .layer(map_response(api::refuse_large));
    let routes = Router::new()
        .route("/api/v1/messages/{id}", get(api::show))
        // The router knows no prefix inside a segment: `send` takes "campaign-7" apart.
        .route(
            "/campaign/send-email/{campaign}/{template}",
            get(campaign::accept_campaign).head(campaign::refuse_head),
        )
        .route(
            "/campaign/send-sms/{campaign}/{template}/{gateway}",
            get(campaign::accept_texts).head(campaign::refuse_head),
        )
        .route("/campaign/schedule-sms", get(schedule::list_texts))
        .route("/campaign/schedule-emails", get(schedule::list_emails))
        .route(
            "/campaign/schedule-email/{campaign}/{template}/store",
            post(schedule::store_email),
        )
        .route(
            "/campaign/schedule-sms/{campaign}/{template}/{gateway}/store",
            post(schedule::store_text),
        )
        .merge(messages)
        .with_state(handle)
        .merge(links.router())
        .merge(callbacks.router());
    complete(routes)
}
