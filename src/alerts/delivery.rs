//! The leader's job: tells people what is due, and writes down who was told.
//!
//! Its own file, because of its promise: what was raised is told at least once, whoever crashes when. The note that somebody
//! was told comes after the telling, so a crash between the two tells again, under the same key.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::redirect::Policy;
use sqlx::PgPool;

use super::outcome::Outcome;
use super::store::{self, Delivery, Note};
use super::{Channel, Config, Severity, email, pagerduty, plan, slack};

/// For one request to a vendor.
const DEADLINE: Duration = Duration::from_secs(10);

/// The connections to those who tell people.
pub struct Senders {
    config: Config,
    client: reqwest::Client,
    mail: Option<email::Transport>,
}

impl Senders {
    pub fn new(config: Config) -> anyhow::Result<Self> {
        // The process installs one when it begins; whoever uses the library alone has not.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("ficus/", env!("CARGO_PKG_VERSION")))
            // The addresses carry secrets.
            .redirect(Policy::none())
            .timeout(DEADLINE)
            .build()
            .context("the client of alerts")?;
        let mail = match config.has(Channel::Email) {
            true => Some(email::transport(&config.email)?),
            false => None,
        };
        Ok(Self {
            config,
            client,
            mail,
        })
    }

    async fn send(&self, channel: Channel, told: &[Delivery]) -> Outcome {
        let (Some(first), config) = (told.first(), &self.config) else {
            return Outcome::Delivered;
        };
        match (channel, &self.mail) {
            (Channel::PagerDuty, _) => pagerduty::send(&self.client, config, first).await,
            (Channel::Slack, _) => slack::send(&self.client, config, first).await,
            (Channel::Email, Some(mail)) => email::send(mail, config, told).await,
            (Channel::Email, None) => Outcome::failed("there is no mail server"),
        }
    }

    /// What of the configured channels does not answer, under its key. Nobody is told anything: of the vendors the bare
    /// host is asked, without path and secret, and the mail server is greeted and left.
    pub async fn unreachable(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let urls = [
            (
                Channel::PagerDuty,
                "alerts.pagerduty.url",
                self.config.pagerduty.url.as_str(),
            ),
            (
                Channel::Slack,
                "alerts.slack.url",
                self.config.slack.url.reveal(),
            ),
        ];
        for (_, key, url) in urls.into_iter().filter(|(it, ..)| self.config.has(*it)) {
            let asked = match origin(url) {
                Some(origin) => self
                    .client
                    .head(origin)
                    .send()
                    .await
                    .map_err(|e| e.without_url()),
                None => continue,
            };
            if let Err(e) = asked {
                let cause =
                    std::error::Error::source(&e).map_or(String::new(), |it| format!(": {it}"));
                faults.push((key, format!("cannot be reached: {e}{cause}")));
            }
        }
        if let Some(mail) = &self.mail {
            match mail.test_connection().await {
                Ok(true) => {}
                Ok(false) => {
                    faults.push(("alerts.email.url", "the server does not answer".to_owned()))
                }
                Err(e) => faults.push(("alerts.email.url", format!("cannot be reached: {e}"))),
            }
        }
        faults
    }
}

fn origin(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    Some(format!("{}/", url.origin().ascii_serialization()))
}

/// One round. It may be dropped at any await: what was told and not noted is told again.
pub async fn deliver(pool: &PgPool, senders: &Senders, now: DateTime<Utc>) -> anyhow::Result<()> {
    store::route(pool, &senders.config, now).await?;
    for channel in Channel::ALL {
        if senders.config.has(channel) {
            tell(pool, senders, channel, now).await?;
        }
    }
    Ok(())
}

/// Tells one channel what is due, until it is all told, the channel's rate is used up, or it fails: a vendor who is away
/// costs one attempt a round.
async fn tell(
    pool: &PgPool,
    senders: &Senders,
    channel: Channel,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let config = &senders.config;
    let due = store::due_now(pool, channel, now).await?;
    if due.is_empty() {
        return Ok(());
    }
    let tried = store::tried_since(pool, channel, now - TimeDelta::minutes(1)).await?;
    let mut left = plan::allowance(config.per_minute, tried);
    for (nth, told) in messages(channel, &due).into_iter().enumerate() {
        if left == 0 {
            tracing::warn!(
                channel = channel.as_str(),
                "the channel's rate is used up; the rest waits"
            );
            return Ok(());
        }
        left -= 1;
        let outcome = senders.send(channel, told).await;
        // Each attempt has a time of its own, by which they are counted.
        let at = now + TimeDelta::microseconds(i64::try_from(nth).unwrap_or_default());
        let (fault, wait) = match outcome {
            Outcome::Delivered => {
                store::note(pool, channel, told, at, Note::Delivered).await?;
                continue;
            }
            Outcome::Failed { fault, wait } => (fault, wait),
        };
        let attempts = told
            .iter()
            .map(|it| it.attempts)
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        let since = told.iter().map(|it| it.routed_at).min().unwrap_or(now);
        let id = told.first().map(|it| it.alert_id.to_string());
        if plan::gives_up(since, now, config.give_up) {
            tracing::error!(
                channel = channel.as_str(),
                alert = id,
                fault,
                "gave up telling of an alert"
            );
            store::note(pool, channel, told, at, Note::GivenUp { fault: &fault }).await?;
        } else {
            let wait = plan::wait(attempts, wait);
            tracing::warn!(
                channel = channel.as_str(),
                alert = id,
                attempts,
                fault,
                wait_s = wait.as_secs(),
                "an alert is not told yet"
            );
            let again = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::minutes(10));
            let fault = fault.as_str();
            store::note(pool, channel, told, at, Note::Again { at: again, fault }).await?;
        }
        return Ok(());
    }
    Ok(())
}

/// One message an alert; what is only informational goes into one mail.
fn messages(channel: Channel, due: &[Delivery]) -> Vec<&[Delivery]> {
    let together = |a: &Delivery, b: &Delivery| {
        let is_info = |it: &Delivery| it.severity() == Severity::Info;
        channel == Channel::Email && is_info(a) && is_info(b)
    };
    due.chunk_by(together).collect()
}
