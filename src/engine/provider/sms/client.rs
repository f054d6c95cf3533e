//! The connections to the vendors: one POST, and what came of it.
//!
//! Its own file, because here it is known whether a byte of a message may have left. Connections are kept between messages. Nothing is sent
//! twice: what the client does by itself with a connection that was closed under it, it does only before it has written.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;

use super::call::{Answer, Call, Login, Payload, Verdict};
use crate::engine::retry::{Class, after};

/// For name, connection and TLS together; shorter than the whole, so that what never left is known for that.
const CONNECT: Duration = Duration::from_secs(5);
/// Vendors' balancers close what is idle for a minute.
const IDLE: Duration = Duration::from_secs(20);
/// Bytes of an answer. A message's has some hundred.
const ANSWER_LIMIT: usize = 64 * 1024;

/// One for the process. Clones share the connections.
#[derive(Clone)]
pub struct Client(reqwest::Client);

/// Status, the wait that was asked for, and the body as far as it came.
type Answered = (u16, Option<Duration>, Vec<u8>);

impl Client {
    /// `timeout`: for one call, from its first byte to the answer's last.
    pub fn new(timeout: Duration) -> reqwest::Result<Self> {
        // The process installs one when it begins; whoever uses the library alone has not.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .user_agent(concat!("ficus/", env!("CARGO_PKG_VERSION")))
            // A vendor that moves is a thing for a person: the call carries a login.
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(timeout)
            .pool_idle_timeout(IDLE)
            .build()
            .map(Self)
    }

    /// `read` says what an answer means.
    pub async fn post(&self, call: Call, read: impl FnOnce(&Answer<'_>) -> Verdict) -> Verdict {
        let Some(request) = self.request(call) else {
            return Verdict::of(Class::Account, "bad-request");
        };
        match self.ask(request).await {
            Ok((status, retry_after, body)) => read(&Answer {
                status,
                retry_after,
                body: &body,
            }),
            Err(error) if error.is_connect() => Verdict::of(Class::NotSent, "away"),
            Err(error) if error.is_builder() => Verdict::of(Class::Account, "bad-request"),
            Err(error) if error.is_timeout() => Verdict::of(Class::Uncertain, "no-answer"),
            Err(_) => Verdict::of(Class::Uncertain, "cut-off"),
        }
    }

    /// `None`: a login that no header can carry.
    fn request(&self, call: Call) -> Option<reqwest::RequestBuilder> {
        let login = match &call.login {
            Login::Basic { user, password } => {
                let text = format!("{}:{}", user.reveal(), password.reveal());
                format!("Basic {}", STANDARD.encode(text))
            }
            Login::App(key) => format!("App {}", key.reveal()),
        };
        let mut login = HeaderValue::try_from(login).ok()?;
        login.set_sensitive(true);
        let request = self.0.post(call.url).header(AUTHORIZATION, login);
        Some(match &call.payload {
            Payload::Form(form) => request.form(form),
            Payload::Json(body) => request.json(body),
        })
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answered> {
        let mut answer = request.send().await?;
        let status = answer.status().as_u16();
        let asked = answer.headers().get(RETRY_AFTER);
        let asked = asked.and_then(|it| after::parse(it.to_str().ok()?, Utc::now()));
        let mut body = Vec::new();
        // What breaks off is read as far as it came: of a refusal the status is enough, and half a yes is read as none.
        while let Ok(Some(chunk)) = answer.chunk().await {
            let room = ANSWER_LIMIT - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == ANSWER_LIMIT {
                break;
            }
        }
        Ok((status, asked, body))
    }
}
