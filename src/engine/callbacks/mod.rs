//! What the vendors of texts report: taken at each message's own address, and at legacy's; verified, written down once, never believed twice.
//!
//! Its own folder, because strangers ask here, and what they say moves what tenants see: whoever is not believed gets 403, is counted, and changes
//! nothing. Each vendor's file is pure: it verifies what came and reads it. docs/ENGINE.md, "Texts", has the whole.
//!
//! A callback about a message that is not ours, at an address that legacy has too, is a miss: the proxy has legacy answer it.

mod infobip;
mod messages;
mod plivo;
mod rank;
mod received;
mod report;
mod store;
mod twilio;
mod vonage;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use chrono::Utc;
use sqlx::PgPool;
use uuid::Uuid;

use self::received::{Received, field};
use self::report::{Refused, Report};
use self::store::Sent;
use super::Config;
use super::provider::sms::Signature;
use super::sms::accounts::Missing;
use super::sms::{Account, Accounts, Gateway};
use super::tracking::{LinkKeys, ShortKey, callback_message};
use crate::modern::problem::Problem;
use crate::telemetry::EngineMetrics;

/// Bytes of a callback. Infobip's with many results has some ten thousand.
const BODY_LIMIT: usize = 256 * 1024;
/// As the proxy reads it: nothing was done, legacy may know.
const MISS: &str = "x-ficus-miss";

/// Takes callbacks. Clones are the same.
#[derive(Clone)]
pub struct Callbacks(Arc<Inner>);

struct Inner {
    pool: PgPool,
    accounts: Accounts,
    /// `None`: no message has an address of its own.
    keys: Option<LinkKeys>,
    public_url: Option<String>,
    signature: Signature,
    metrics: EngineMetrics,
}

/// A request, as every route has it.
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// Why there is no report.
enum Fault {
    Refused(Refused),
    /// No message of ours: whose it is, legacy may know.
    NotOurs,
    Away,
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Callbacks {
    /// # Errors
    ///
    /// If the key for links is too short.
    pub fn new(
        pool: PgPool,
        accounts: Accounts,
        config: &Config,
        metrics: EngineMetrics,
    ) -> Result<Self, ShortKey> {
        let keys = match config.links.key.is_empty() {
            true => None,
            false => Some(LinkKeys::new(&config.links.key, &config.links.old_keys)?),
        };
        Ok(Self(Arc::new(Inner {
            pool,
            accounts,
            keys,
            public_url: config.links.public_url.clone(),
            signature: config.sms.vonage.signature,
            metrics,
        })))
    }

    pub fn router(&self) -> Router {
        let of = |gateway| -> MethodRouter<Arc<Inner>> {
            any(
                move |State(inner): State<Arc<Inner>>, uri: Uri, method, headers, body| async move {
                    let asked = Asked {
                        method,
                        uri,
                        headers,
                        body,
                    };
                    answer(
                        &inner,
                        gateway,
                        take_unaddressed(&inner, gateway, &asked).await,
                    )
                },
            )
        };
        Router::new()
            .route("/webhooks/{gateway}/{token}", any(take_addressed))
            // As plan and legacy have them: one address for all messages.
            .route("/webhooks/twilio", of(Gateway::Twilio))
            .route("/webhooks/vonage", of(Gateway::Vonage))
            .route("/api/webhooks/twilio/status", of(Gateway::Twilio))
            .route("/api/webhooks/vonage/dlr", of(Gateway::Vonage))
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(Arc::clone(&self.0))
    }
}

/// At a message's own address.
async fn take_addressed(
    State(inner): State<Arc<Inner>>,
    Path((gateway, token)): Path<(String, String)>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(gateway) = Gateway::parse(&gateway) else {
        return Problem::not_found("there is no such SMS gateway").into_response();
    };
    let asked = Asked {
        method,
        uri,
        headers,
        body,
    };
    let taken = async {
        let (message, sent) = inner.find_addressed(gateway, &token).await?;
        inner.take(gateway, message, &sent, &asked, true).await
    };
    answer(&inner, gateway, taken.await)
}

/// At an address that names no message: the callback does, by the vendor's name for it or by ours.
async fn take_unaddressed(inner: &Inner, gateway: Gateway, asked: &Asked) -> Result<(), Fault> {
    let received = asked.received(&[]);
    let fields = received.fields().unwrap_or_default();
    let names: &[&str] = match gateway {
        Gateway::Twilio => &["MessageSid"],
        _ => &["messageId", "message_uuid"],
    };
    let ours = ["client-ref", "client_ref"];
    let ours = ours.iter().find_map(|name| field(&fields, name));
    let theirs = names.iter().find_map(|name| field(&fields, name));
    let found = store::find_named(
        &inner.pool,
        gateway,
        ours.and_then(|it| Uuid::try_parse(it).ok()),
        theirs,
    );
    let found = found.await.map_err(away)?;
    let (message, sent) = found.ok_or(Fault::NotOurs)?;
    inner.take(gateway, message, &sent, asked, false).await
}

impl Inner {
    async fn find_addressed(&self, gateway: Gateway, token: &str) -> Result<(Uuid, Sent), Fault> {
        let (Some(keys), Some(message)) = (&self.keys, callback_message(token)) else {
            return Err(Refused::Forged.into());
        };
        let found = store::find_message(&self.pool, message).await;
        let sent = found.map_err(away)?.ok_or(Refused::Forged)?;
        match keys.is_callback(sent.tenant, message, gateway.as_str(), token) {
            true => Ok((message, sent)),
            false => Err(Refused::Forged.into()),
        }
    }

    /// Verifies and writes down. `is_addressed`: it came to the message's own address, which is a proof where the vendor signs nothing.
    async fn take(
        &self,
        gateway: Gateway,
        message: Uuid,
        sent: &Sent,
        asked: &Asked,
        is_addressed: bool,
    ) -> Result<(), Fault> {
        let account = self.accounts.find(sent.tenant, Some(gateway)).await;
        let account = account.map_err(|missing| match missing {
            Missing::Database => Fault::Away,
            // Nobody is left by whose secret it could be believed.
            _ => Refused::Forged.into(),
        })?;
        let urls = self.urls(asked);
        let received = asked.received(&urls);
        let report = self.read(gateway, &received, &account, message, is_addressed)?;
        if !sent.is_about(&report) {
            return Err(Refused::Misaddressed.into());
        }
        let became = store::record(&self.pool, gateway, message, sent.tenant, &report).await;
        match became.map_err(away)?.as_str() {
            "replayed" => Err(Refused::Replayed.into()),
            _ => {
                tracing::info!(
                    id = %message, tenant = %sent.tenant, %gateway, said = report.said, code = report.code, cause = ?report.cause,
                    "a gateway reported on a text"
                );
                Ok(())
            }
        }
    }

    fn read(
        &self,
        gateway: Gateway,
        received: &Received<'_>,
        account: &Account,
        message: Uuid,
        is_addressed: bool,
    ) -> Result<Report, Refused> {
        let is_signed = match gateway {
            Gateway::Twilio | Gateway::Plivo => true,
            Gateway::Vonage | Gateway::Infobip => account.signing.is_some(),
        };
        if !is_signed && !is_addressed {
            return Err(Refused::Forged);
        }
        let now = Utc::now();
        match gateway {
            Gateway::Twilio => twilio::read(received, account),
            Gateway::Vonage if messages::is_one(received) => messages::read(received, account, now),
            Gateway::Vonage => vonage::read(received, account, self.signature, now),
            Gateway::Plivo => plivo::read(received, account),
            Gateway::Infobip => infobip::read(received, account, message),
        }
    }

    /// As the vendor was told, and as whoever stands before us says that it was asked.
    fn urls(&self, asked: &Asked) -> Vec<String> {
        let path = asked.uri.path_and_query().map_or("/", |it| it.as_str());
        let text = |name: &str| asked.headers.get(name)?.to_str().ok();
        let forwarded = text("x-forwarded-host").map(|host| {
            let scheme = text("x-forwarded-proto").unwrap_or("https");
            format!("{scheme}://{host}")
        });
        let host = text("host").map(|host| format!("http://{host}"));
        let bases = [self.public_url.clone(), forwarded, host];
        let bases = bases.into_iter().flatten();
        bases.map(|base| format!("{base}{path}")).collect()
    }
}

impl Asked {
    fn received<'a>(&'a self, urls: &'a [String]) -> Received<'a> {
        Received {
            method: &self.method,
            urls,
            query: self.uri.query().unwrap_or_default(),
            headers: &self.headers,
            body: &self.body,
        }
    }
}

fn away(error: sqlx::Error) -> Fault {
    tracing::error!(%error, "could not take what a gateway reported");
    Fault::Away
}

/// What the vendor is told. What changed nothing is counted by why.
fn answer(inner: &Inner, gateway: Gateway, taken: Result<(), Fault>) -> Response {
    let (result, response) = match taken {
        Ok(()) => ("recorded", thanks(gateway)),
        // It is no fault of the vendor's, who would send it again.
        Err(Fault::Refused(Refused::Ignored)) => ("ignored", thanks(gateway)),
        Err(Fault::Refused(Refused::Unsigned)) => ("unsigned", later("sign it")),
        Err(Fault::Refused(refused)) => {
            let detail = "this report is not believed";
            let problem = Problem::new(StatusCode::FORBIDDEN, detail);
            (refused.as_str(), problem.into_response())
        }
        Err(Fault::NotOurs) => ("missed", miss()),
        Err(Fault::Away) => ("away", later("hand the report in again")),
    };
    inner.metrics.callback(gateway.as_str(), result);
    response
}

/// As legacy's controller answers.
fn thanks(gateway: Gateway) -> Response {
    match gateway {
        Gateway::Twilio => (
            [(header::CONTENT_TYPE, "text/xml")],
            r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#,
        )
            .into_response(),
        _ => StatusCode::OK.into_response(),
    }
}

fn later(what: &str) -> Response {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, what);
    let mut response = problem.into_response();
    let wait = HeaderValue::from_static("10");
    response.headers_mut().insert(header::RETRY_AFTER, wait);
    response
}

fn miss() -> Response {
    let mut response = Problem::not_found("no such message was sent here").into_response();
    let why = HeaderValue::from_static("message");
    response.headers_mut().insert(MISS, why);
    response
}

#[cfg(test)]
mod tests;
