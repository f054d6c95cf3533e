//! Alerts: what people are told of, by severity, over PagerDuty, Slack and e-mail.
//!
//! Its own folder, because whoever finds something wrong only raises it, in the transaction that acts on it; who is told,
//! how often and again after what failure is decided here. [`delivery`] is the leader's job, [`plan`] its decisions.

pub mod delivery;
mod email;
mod outcome;
mod pagerduty;
pub mod plan;
mod slack;
mod store;
pub mod watch;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::secret::Secret;

pub use delivery::{Senders, deliver};
pub use store::{Filter, Standing, forget, list};

/// How bad it is, and so who is told and when.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody gets up.
    Critical,
    /// Somebody looks within the hour.
    Warning,
    /// Somebody reads it tomorrow.
    Info,
}

/// A way to tell people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    PagerDuty,
    Slack,
    Email,
}

/// What `[alerts]` says. A channel without an endpoint is not there, whoever names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub critical: Vec<Channel>,
    pub warning: Vec<Channel>,
    pub info: Vec<Channel>,
    /// Messages a minute on each channel at most.
    pub per_minute: u32,
    /// A delivery that fails is tried again for so long.
    pub give_up: Duration,
    /// How often what is only informational is e-mailed, all of it together; zero: at once.
    pub digest: Duration,
    pub pagerduty: PagerDuty,
    pub slack: Slack,
    pub email: Email,
    /// Where people look: the console.
    pub link: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PagerDuty {
    /// The Events API v2.
    pub url: String,
    /// Of the service's integration. Empty: there is no PagerDuty.
    pub routing_key: Secret,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Slack {
    /// An incoming webhook: whoever knows it may write. Empty: there is no Slack.
    pub url: Secret,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Email {
    /// `smtp://user:password@host:587?tls=required`. Empty: there is no e-mail.
    pub url: Secret,
    pub from: String,
    pub to: Vec<String>,
}

/// Something that people should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert<'a> {
    pub severity: Severity,
    /// What it is about, such as `guard/dashboard`: while an alert of this key is open, another is the same, seen again.
    pub key: &'a str,
    pub capability: Option<&'a str>,
    /// One line, which a person understands at night.
    pub title: &'a str,
    pub body: &'a str,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Critical, Self::Warning, Self::Info];
        all.into_iter().find(|it| it.as_str() == word)
    }
}

impl Channel {
    pub const ALL: [Self; 3] = [Self::PagerDuty, Self::Slack, Self::Email];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::PagerDuty => "pagerduty",
            Self::Slack => "slack",
            Self::Email => "email",
        }
    }
}

impl Config {
    pub fn has(&self, channel: Channel) -> bool {
        match channel {
            Channel::PagerDuty => !self.pagerduty.routing_key.is_empty(),
            Channel::Slack => !self.slack.url.is_empty(),
            Channel::Email => !self.email.url.is_empty(),
        }
    }

    /// Who is told of this severity.
    pub fn told_of(&self, severity: Severity) -> impl Iterator<Item = Channel> {
        let named = match severity {
            Severity::Critical => &self.critical,
            Severity::Warning => &self.warning,
            Severity::Info => &self.info,
        };
        named.iter().copied().filter(|it| self.has(*it))
    }
}

/// Raises an alert, in the caller's transaction: it is told if that commits, and not if it does not.
pub async fn raise(db: &mut PgConnection, alert: &Alert<'_>) -> sqlx::Result<()> {
    sqlx::query("select ficus.raise_alert($1, $2, $3, $4, $5)")
        .bind(alert.severity.as_str())
        .bind(alert.key)
        .bind(alert.capability)
        .bind(alert.title)
        .bind(alert.body)
        .execute(db)
        .await
        .map(drop)
}

/// Ends the alert of this key, if one is open: those who were paged are told.
pub async fn resolve(db: &mut PgConnection, key: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update ficus.alert set resolved_at = clock_timestamp() where key = $1 and resolved_at is null",
    )
    .bind(key)
    .execute(db)
    .await
    .map(drop)
}
