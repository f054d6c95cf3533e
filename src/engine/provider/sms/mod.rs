//! Text messages through each tenant's own vendor: the text is made, the account found, the call made, and its answer told in the engine's words.
//!
//! Its own folder, because here the parts meet that know nothing of each other: texts, legacy's settings and four vendors' formats. Each vendor's
//! file is pure: it makes a [`call::Call`] and reads a [`call::Answer`].

pub mod call;
mod client;
pub mod gates;
mod infobip;
mod messages;
mod plivo;
mod twilio;
mod vonage;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use moka::future::Cache;
use sqlx::PgPool;
use uuid::Uuid;

use self::call::{Answer, Call, Outgoing, Verdict};
use self::client::Client;
use self::gates::{Change, Gates, Key};
use super::{Intent, Outcome, Provider};
use crate::engine::alarm::Alarm;
use crate::engine::links::LinkMaker;
use crate::engine::queue::Due;
use crate::engine::retry::Class;
use crate::engine::sms::segments::{self, MOST_SEGMENTS};
use crate::engine::sms::text::TEXT_LIMIT;
use crate::engine::sms::{Account, Accounts, Gateway, Number, Sender, Text, TextBody};

/// How the code of a recipient begins who wants no more texts.
pub const OPTED_OUT: &str = "opted-out";
/// Texts that are kept.
const CACHED: u64 = 10_000;
const IDLE: Duration = Duration::from_secs(600);

/// What `[engine.sms]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// False: texts are taken and none is sent.
    pub is_live: bool,
    pub timeout: Duration,
    pub twilio: String,
    pub vonage: Vonage,
    pub plivo: String,
    pub infobip: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Vonage {
    pub url: String,
    pub messages_url: String,
    pub api: VonageApi,
    /// With which of them reports of the SMS API are signed.
    pub signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VonageApi {
    Sms,
    Messages,
}

/// How an account of Vonage's signs its reports. It is a setting of the account, and no report says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    Md5Hash,
    HmacMd5,
    HmacSha1,
    HmacSha256,
    HmacSha512,
}

/// What texts leave through.
pub struct Sms {
    pool: PgPool,
    accounts: Accounts,
    config: Config,
    client: Client,
    /// `None`: vendors are told no address for their reports.
    links: Option<LinkMaker>,
    gates: Mutex<Gates>,
    alarm: Alarm,
    texts: Cache<Uuid, Arc<Text>>,
}

/// A message that is ready to leave.
struct Ready {
    to: Number,
    from: Sender,
    text: String,
    callback: Option<String>,
}

impl Sms {
    /// # Errors
    ///
    /// If there is no TLS.
    pub fn new(
        pool: PgPool,
        accounts: Accounts,
        config: Config,
        account_wait: Duration,
        links: Option<LinkMaker>,
        alarm: Alarm,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::new(config.timeout)?,
            pool,
            accounts,
            config,
            links,
            gates: Mutex::new(Gates::new(account_wait)),
            alarm,
            texts: Cache::builder()
                .max_capacity(CACHED)
                .time_to_idle(IDLE)
                .build(),
        })
    }

    /// The text that a message has or shares, and what is its recipient's own.
    async fn text(&self, due: &Due) -> Result<(Arc<Text>, TextBody), Verdict> {
        let mut body: TextBody = serde_json::from_str(&due.body).map_err(|_| bad("bad-body"))?;
        match (body.text.take(), due.content) {
            (Some(text), _) => Ok((Arc::new(text), body)),
            (None, Some(content)) => Ok((self.shared(content).await?, body)),
            (None, None) => Err(bad("bad-body")),
        }
    }

    async fn shared(&self, content: Uuid) -> Result<Arc<Text>, Verdict> {
        if let Some(found) = self.texts.get(&content).await {
            return Ok(found);
        }
        let found: Result<Option<String>, _> =
            sqlx::query_scalar("select body from ficus.content where id = $1")
                .bind(content)
                .fetch_optional(&self.pool)
                .await;
        let found = found.map_err(|_| Verdict::of(Class::NotSent, "no-database"))?;
        let body = found.ok_or_else(|| bad("no-content"))?;
        let text = serde_json::from_str(&body).map_err(|_| bad("bad-content"))?;
        let text = Arc::new(text);
        self.texts.insert(content, Arc::clone(&text)).await;
        Ok(text)
    }

    fn ready(
        &self,
        due: &Due,
        text: &Text,
        body: &TextBody,
        account: &Account,
    ) -> Result<Ready, Verdict> {
        let to = Number::parse(&due.recipient).map_err(|_| bad("bad-recipient"))?;
        // Not the vendor's to say: it would refuse the account with the message.
        let from = account
            .sender(text.from.as_deref())
            .ok_or_else(|| match text.from {
                Some(_) => bad("bad-sender"),
                None => Verdict::of(Class::Account, "no-sender"),
            })?;
        let text = text.render(body).ok_or_else(|| bad("bad-variable"))?;
        let most = match (account.gateway, self.config.vonage.api) {
            (Gateway::Vonage, VonageApi::Messages) => messages::TEXT_LIMIT,
            _ => TEXT_LIMIT,
        };
        if text.trim().is_empty() {
            return Err(bad("no-text"));
        }
        if text.chars().count() > most || segments::count(&text).count > MOST_SEGMENTS {
            return Err(bad("too-long"));
        }
        let links = self.links.as_ref();
        let callback = links.map(|it| it.callback(due.tenant, due.id.0, account.gateway.as_str()));
        Ok(Ready {
            to,
            from,
            text,
            callback,
        })
    }

    fn call(&self, account: &Account, message: &Outgoing<'_>) -> Call {
        let (config, user, password) = (&self.config, &account.key, &account.secret);
        match (account.gateway, config.vonage.api) {
            (Gateway::Twilio, _) => twilio::call(&config.twilio, user, password, message),
            (Gateway::Vonage, VonageApi::Sms) => {
                vonage::call(&config.vonage.url, user, password, message)
            }
            (Gateway::Vonage, VonageApi::Messages) => {
                messages::call(&config.vonage.messages_url, user, password, message)
            }
            (Gateway::Plivo, _) => plivo::call(&config.plivo, user, password, message),
            (Gateway::Infobip, _) => {
                let base = account.base.as_deref().unwrap_or(&config.infobip);
                infobip::call(base, user, message)
            }
        }
    }

    fn read(&self, gateway: Gateway, answer: &Answer<'_>, message: &Outgoing<'_>) -> Verdict {
        match (gateway, self.config.vonage.api) {
            (Gateway::Twilio, _) => twilio::read(answer),
            (Gateway::Vonage, VonageApi::Sms) => vonage::read(answer),
            (Gateway::Vonage, VonageApi::Messages) => messages::read(answer),
            (Gateway::Plivo, _) => plivo::read(answer, message.to),
            (Gateway::Infobip, _) => infobip::read(answer, message),
        }
    }

    /// What is held back is told as it was first.
    fn held(&self, key: Key) -> Option<Verdict> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let class = gates.held(key, Utc::now())?;
        Some(Verdict::of(class, "held"))
    }

    fn hear(&self, key: Key, verdict: &Verdict) {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let change = gates.hear(key, verdict.class, Utc::now());
        drop(gates);
        let (tenant, gateway) = (key.0, key.1.map_or("none", Gateway::as_str));
        match change {
            Change::None => {}
            Change::Refused => {
                tracing::error!(%tenant, gateway, code = verdict.code, "a tenant's SMS gateway refuses the account; its texts wait");
                self.alarm.raise_gateway(tenant, gateway, &verdict.code);
            }
            Change::Mended => {
                tracing::info!(%tenant, gateway, "a tenant's SMS gateway takes texts again");
                self.alarm.end_gateway(tenant, gateway);
            }
        }
    }

    async fn hand_over(&self, due: &Due, intent: Intent) -> Result<Verdict, Verdict> {
        let (text, body) = self.text(due).await?;
        let asked = text.gateway.as_deref();
        let asked = asked.map(|it| Gateway::parse(it).ok_or_else(|| bad("no-gateway")));
        let key = (due.tenant, asked.transpose()?);
        if let Some(held) = self.held(key) {
            return Err(held);
        }
        let account = self.accounts.find(due.tenant, key.1).await;
        let ready = account
            .map_err(|missing| Verdict::of(Class::from(missing), missing.code()))
            .and_then(|account| Ok((self.ready(due, &text, &body, &account)?, account)));
        let (ready, account) = match ready {
            Ok(ready) => ready,
            Err(verdict) => {
                if verdict.class == Class::Account {
                    self.hear(key, &verdict);
                }
                return Err(verdict);
            }
        };
        let message = Outgoing {
            id: due.id.0,
            to: &ready.to,
            from: &ready.from,
            text: &ready.text,
            callback: ready.callback.as_deref(),
        };
        let call = self.call(&account, &message);
        let name = account.gateway.as_str().to_owned();
        if intent.record(name).await.is_err() {
            return Err(Verdict::of(Class::NotSent, "withheld"));
        }
        let read = |answer: &Answer<'_>| self.read(account.gateway, answer, &message);
        let verdict = self.client.post(call, read).await;
        self.hear(key, &verdict);
        Ok(verdict)
    }
}

impl Provider for Sms {
    fn name(&self) -> &'static str {
        "sms"
    }

    async fn send(&self, due: &Due, intent: Intent) -> Outcome {
        let (Ok(verdict) | Err(verdict)) = self.hand_over(due, intent).await;
        Outcome {
            class: verdict.class,
            code: verdict.code,
            reference: verdict.reference,
            // None is told: the tenant's breaker is its mail server's.
            server: None,
        }
    }
}

fn bad(code: &'static str) -> Verdict {
    Verdict::of(Class::Permanent, code)
}
