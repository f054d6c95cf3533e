//! How a command reaches the control state: the admin API, the database itself, or one proxy's socket.
//!
//! Its own file, because all three speak the admin API's language: `--direct` calls the same routes in this
//! process, so a command is written once and every write is checked the same way.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use tower::ServiceExt;

use super::Globals;
use super::exit::Failure;
use crate::control::{Caller, Problem, direct_router, parse_patience};
use crate::engine::sealed::Keyring;
use crate::rollout::Source;
use crate::secret::Secret;

/// For the connection to the API or to the socket.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For a whole answer, beside the wait for the proxies: longer than the API takes to find its database gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// For an import: longer than the API's own deadline.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(40);
/// Below the API's patience with a database, so that `--direct` says no as fast.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(4);
/// As the configuration's own key for it is overlaid.
const SEALING_KEYS: &str = "FICUS__ENGINE__SEALING_KEYS";
/// Bytes of an answer that is read.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// What a proxy's socket answers.
const LOCAL_ROUTES: [&str; 3] = ["/api/v1/rollback", "/api/v1/status", "/api/v1/explain"];

pub enum Backend {
    Api {
        http: reqwest::Client,
        url: String,
        token: Option<String>,
    },
    Direct(Router),
    Local(Vec<Socket>),
}

/// One proxy's break-glass socket.
pub struct Socket {
    pub path: PathBuf,
    http: reqwest::Client,
}

impl Backend {
    pub fn choose(global: &Globals) -> Result<Self, Failure> {
        if global.direct {
            return direct(global);
        }
        if !global.local.is_empty() {
            return Ok(Self::Local(
                global
                    .local
                    .iter()
                    .map(|path| Socket::new(path))
                    .collect::<Result<_, _>>()?,
            ));
        }
        let url = global.url.trim_end_matches('/').to_owned();
        let known = reqwest::Url::parse(&url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !known {
            return Err(Failure::Usage(format!(
                "--url {url:?} is no URL: expected such as http://127.0.0.1:8090"
            )));
        }
        let http = client().build().map_err(anyhow::Error::from)?;
        Ok(Self::Api {
            http,
            url,
            token: global.token.clone(),
        })
    }

    pub async fn get<T: DeserializeOwned>(&self, route: &str) -> Result<T, Failure> {
        self.call(Method::GET, route, None).await
    }

    /// Asks, and reads the answer or the reason why there is none.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        match self {
            Self::Api { http, url, token } => {
                let mut request = http.request(method, format!("{url}{route}"));
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                send(request, body)
                    .await
                    .map_err(|fault| no_answer(fault, url))
            }
            Self::Direct(router) => call_here(router, method, route, body).await,
            Self::Local(sockets) => {
                let [socket] = sockets.as_slice() else {
                    return Err(Failure::Usage(
                        "only a rollback takes more than one --local".to_owned(),
                    ));
                };
                socket.call(method, route, body).await
            }
        }
    }
}

impl Socket {
    fn new(path: &Path) -> Result<Self, Failure> {
        let http = client()
            .unix_socket(path)
            .build()
            .map_err(anyhow::Error::from)?;
        Ok(Self {
            path: path.to_owned(),
            http,
        })
    }

    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        if !LOCAL_ROUTES.contains(&route) {
            return Err(Failure::Usage(
                "--local answers rollback, status and explain; for the rest use --direct"
                    .to_owned(),
            ));
        }
        let request = self
            .http
            .request(method, format!("http://ficus{route}"))
            .header("x-ficus-actor", login());
        send(request, body).await.map_err(|fault| match fault {
            Fault::Refused(problem) => Failure::Refused(problem),
            Fault::Http(error) => Failure::Unreachable {
                what: format!("the proxy at {} does not answer: {}", self.path.display(), root_cause(&error)),
                hint: "is that the socket of a running proxy, and are you its user? The default is .ficus/ficus.sock".to_owned(),
            },
        })
    }
}

pub(super) fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("ficus-cli/", env!("CARGO_PKG_VERSION")))
        // A token follows nobody to another place.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
}

pub(super) enum Fault {
    Refused(Problem),
    Http(reqwest::Error),
}

pub(super) async fn send<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
    body: Option<&Value>,
) -> Result<T, Fault> {
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    let request = request.timeout(longest_answer(body));
    let response = request.send().await.map_err(Fault::Http)?;
    let status = response.status();
    let bytes = response.bytes().await.map_err(Fault::Http)?;
    read(status, &bytes).map_err(Fault::Refused)
}

/// How long an answer may take: an API that hangs must not hold up whoever has other ways to roll back.
fn longest_answer(body: Option<&Value>) -> Duration {
    let field = |name| body.and_then(|body| body.get(name));
    if field("tenants").is_some_and(|rows| rows[0].is_object()) {
        return IMPORT_TIMEOUT;
    }
    let patience = field("timeout")
        .and_then(Value::as_str)
        .and_then(|text| parse_patience(text).ok());
    ANSWER_TIMEOUT + patience.unwrap_or_default()
}

/// Calls the API's routes in this process.
async fn call_here<T: DeserializeOwned>(
    router: &Router,
    method: Method,
    route: &str,
    body: Option<&Value>,
) -> Result<T, Failure> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(route)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(anyhow::Error::from)?;
    let response = match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status();
    let bytes = to_bytes(response.into_body(), MAX_ANSWER)
        .await
        .map_err(anyhow::Error::from)?;
    read(status, &bytes).map_err(Failure::Refused)
}

/// A success as what was asked for, anything else as a problem.
fn read<T: DeserializeOwned>(status: axum::http::StatusCode, bytes: &[u8]) -> Result<T, Problem> {
    let strange = |why: String| {
        Problem::new(status, "strange-answer", why)
            .hint("is this the admin API of a ficus of this version?")
    };
    if status.is_success() {
        return serde_json::from_slice(bytes)
            .map_err(|fault| strange(format!("the answer cannot be read: {fault}")));
    }
    Err(serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let seen: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
        strange(format!("answered {status}: {seen}"))
    }))
}

fn direct(global: &Globals) -> Result<Backend, Failure> {
    let options = crate::db::connect_options(database_url(global)?)
        // Not the cause, which may repeat a part of the URL.
        .map_err(|_| {
            Failure::Usage(
                "DATABASE_URL cannot be read: expected postgres://user:password@host/database"
                    .to_owned(),
            )
        })?
        .application_name("ficus-cli");
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options);
    Ok(Backend::Direct(direct_router(
        pool,
        Caller::new(login(), Source::Direct),
        keyring()?,
    )))
}

/// With `--direct` there is no configuration: the key comes as the environment overlays it.
fn keyring() -> Result<Option<Arc<Keyring>>, Failure> {
    let Ok(text) = std::env::var(SEALING_KEYS) else {
        return Ok(None);
    };
    let keyring = Keyring::parse(&Secret::new(text));
    let keyring = keyring.map_err(|fault| Failure::Usage(format!("{SEALING_KEYS}: {fault}")))?;
    Ok(Some(Arc::new(keyring)))
}

pub fn database_url(global: &Globals) -> Result<&str, Failure> {
    global.database_url.as_deref().filter(|url| !url.is_empty()).ok_or_else(|| {
        Failure::Usage("no database: set DATABASE_URL, or give --database-url postgres://user:password@host/database".to_owned())
    })
}

fn no_answer(fault: Fault, url: &str) -> Failure {
    match fault {
        Fault::Refused(problem) => Failure::Refused(problem),
        Fault::Http(error) => Failure::Unreachable {
            what: format!("the admin API at {url} does not answer: {}", root_cause(&error)),
            hint: "try --direct with DATABASE_URL; when PostgreSQL is down too, `ficus rollback --local SOCKET` on each proxy"
                .to_owned(),
        },
    }
}

/// The innermost cause: "connection refused", not "error sending request".
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Who is at the keyboard.
fn login() -> String {
    let named = |name| {
        std::env::var(name)
            .ok()
            .filter(|user| !user.is_empty() && user.is_ascii())
    };
    named("SUDO_USER")
        .or_else(|| named("USER"))
        .or_else(|| named("LOGNAME"))
        .or_else(account)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The account that this process runs as, for a cron job or a container without USER.
fn account() -> Option<String> {
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = accounts
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&uid))?;
    line.split(':').next().map(str::to_owned)
}

/// A segment of a path, or a value of a query, percent-encoded.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A route with those of the parameters that are given.
pub fn with_query(route: &str, parameters: &[(&str, Option<String>)]) -> String {
    let pairs = parameters
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encode(value.as_deref()?))));
    let query = pairs.collect::<Vec<_>>().join("&");
    if query.is_empty() {
        route.to_owned()
    } else {
        format!("{route}?{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_as_long_as_the_write_may_wait() {
        let seconds = |body: Option<Value>| longest_answer(body.as_ref()).as_secs();
        assert_eq!(seconds(None), 10);
        assert_eq!(
            seconds(Some(
                serde_json::json!({ "tenants": ["2"], "timeout": "25s" })
            )),
            35
        );
        assert_eq!(
            seconds(Some(
                serde_json::json!({ "tenants": [{ "id": 2 }], "timeout": "5s" })
            )),
            40
        );
    }

    #[test]
    fn what_a_user_types_stays_one_segment() {
        assert_eq!(encode("a/b?c d"), "a%2Fb%3Fc%20d");
        assert_eq!(
            with_query("/x", &[("a", None), ("b", Some("1,é".into()))]),
            "/x?b=1%2C%C3%A9"
        );
    }
}
