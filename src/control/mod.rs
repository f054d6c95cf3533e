//! The admin API: every route on this page, with the role that it wants.
//!
//! Its own folder, because it is the plane that changes things; the proxy, which serves, never imports it.
//!
//! The table in [`endpoints`] is the router: what does not stand in it does not exist, and what stands in it has
//! said who may call it.

mod alerts;
mod api_keys;
mod audit;
mod auth;
mod capabilities;
mod changes;
mod endpoint;
mod error;
mod events;
mod explain;
mod extract;
mod flags;
mod freezes;
mod guard;
mod health;
mod holds;
mod idempotency;
mod local;
mod mail_servers;
mod messages;
mod metrics;
mod ofrep;
mod openapi;
mod overrides;
mod policies;
mod returns;
mod rollback;
mod runs;
mod status;
mod tenants;
mod tokens;
mod waves;
mod write;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::engine::operations;
use crate::engine::sealed::Keyring;
use crate::flags::Flags;
use crate::proxy::explain::{ExplainRequest, Explainer, Explanation};
use crate::rollout::queries::Queries;
use crate::rollout::{self, Role};
use crate::telemetry::Metrics;

pub use auth::Caller;
pub use endpoint::Endpoint;
pub use error::{Document, Problem};
pub use freezes::{FreezeWritten, parse_span};
pub use holds::{HoldWritten, ReleaseWritten};
pub use local::{LocalStatus, local_router};
pub use mail_servers::MailServerWritten;
pub use messages::{RetryWritten, SettleWritten};
pub use policies::PolicyWritten;
pub use returns::{ReturnDetail, ReturnWritten};
pub use rollback::RollbackScope;
pub use runs::RunWritten;
pub use status::Overview;
pub use waves::{PlanWritten, WaveWritten};
pub use write::{MAX_PATIENCE, Written, parse_patience, parse_reason};

/// What `[control]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
    /// The break-glass socket of a proxy. `None`: `ficus.sock` in the state folder.
    pub socket: Option<PathBuf>,
    /// Where people reach the admin API, for links.
    pub public_url: Option<String>,
}

/// Bytes of a body.
const MAX_BODY: usize = 1024 * 1024;
/// Bytes of an import: a million tenants.
const MAX_IMPORT_BODY: usize = 64 * 1024 * 1024;
/// For a read: an operator without an answer turns to the break-glass socket.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// For a write, its wait for the proxies included.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// What the handlers share.
#[derive(Clone)]
pub struct State {
    db: PgPool,
    /// `None` behind `--direct`, where there is only the database.
    process: Option<Process>,
    tokens: auth::Tokens,
    /// The configuration's queries of legacy's database; `None` where there is no configuration.
    queries: Option<Arc<Queries>>,
    /// Seals tenants' credentials; `None` where there is no key.
    keyring: Option<Arc<Keyring>>,
    rates: ofrep::Rates,
    streams: events::Streams,
    /// Cancelled when the process stops: a stream that waits for changes would hold it up.
    stop: CancellationToken,
}

/// The process that serves the API.
#[derive(Clone)]
struct Process {
    flags: Flags,
    explainer: Option<Arc<Explainer>>,
    metrics: Arc<Metrics>,
}

impl State {
    /// `explainer`: of the proxy in this process, if it has one.
    pub fn new(
        db: PgPool,
        flags: Flags,
        explainer: Option<Arc<Explainer>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let tokens = auth::Tokens::new(db.clone());
        Self {
            db,
            process: Some(Process {
                flags,
                explainer,
                metrics,
            }),
            tokens,
            queries: None,
            keyring: None,
            rates: ofrep::Rates::default(),
            streams: events::Streams::default(),
            stop: CancellationToken::new(),
        }
    }

    /// With the configuration's queries of legacy's database.
    pub fn asking(self, queries: Arc<Queries>) -> Self {
        Self {
            queries: Some(queries),
            ..self
        }
    }

    /// With the key for tenants' credentials.
    pub fn sealing(self, keyring: Option<Arc<Keyring>>) -> Self {
        Self { keyring, ..self }
    }

    /// Ends the streams of events when `stop` is cancelled.
    pub fn until(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }
}

/// Every route of the API; what a row must say stands at the head of [`endpoint`].
pub fn endpoints() -> Vec<Endpoint> {
    let open = |path, handler| Endpoint::new(Method::GET, path, None, handler);
    let read = |path, handler| Endpoint::new(Method::GET, path, Some(Role::Viewer), handler);
    let write = |method, path, handler| Endpoint::new(method, path, Some(Role::Operator), handler);
    let admin = |method, path, handler| Endpoint::new(method, path, Some(Role::Admin), handler);
    let tenants_own =
        |method, path, handler| Endpoint::new(method, path, Some(Role::Ofrep), handler);
    vec![
        open("/health/live", get(health::live))
            .says("Whether the process runs")
            .answers::<Value>(),
        open("/health/ready", get(health::ready))
            .says("Whether there is a snapshot to decide by")
            .answers::<Value>(),
        open("/metrics", get(metrics::show))
            .says("Metrics, for Prometheus")
            .answers_text(metrics::OPENMETRICS),
        open("/api/openapi.json", get(openapi::show))
            .says("This document")
            .answers::<Value>(),
        read("/api/v1/status", get(status::show))
            .says("The migration at a glance")
            .answers::<Overview>(),
        Endpoint::new(Method::POST, "/api/v1/explain", Some(Role::Viewer), post(explain::explain))
            .says("Which side would answer a request, and why")
            .takes::<ExplainRequest>()
            .answers::<Explanation>(),
        write(Method::POST, "/api/v1/rollback", post(rollback::roll_back))
            .says("Take tenants, a capability or everything back to legacy")
            .takes::<rollback::RollbackBody>()
            .answers::<Written>(),
        read("/api/v1/tenants", get(tenants::list))
            .says("List tenants")
            .query::<tenants::ListQuery>()
            .answers::<Page<rollout::Tenant>>(),
        write(Method::POST, "/api/v1/tenants/import", post(tenants::import))
            .says("Make and change many tenants at once")
            .takes::<tenants::ImportBody>()
            .answers::<Written>(),
        write(Method::POST, "/api/v1/tenants/sync", post(tenants::sync))
            .says("Take the classes over from legacy's records of volume")
            .takes::<tenants::SyncBody>()
            .answers::<Written>(),
        read("/api/v1/tenants/{tenant}", get(tenants::show))
            .says("Show a tenant")
            .answers::<rollout::Tenant>(),
        write(Method::PUT, "/api/v1/tenants/{tenant}", put(tenants::set))
            .says("Make or change a tenant")
            .takes::<tenants::SetBody>()
            .answers::<Written>(),
        read("/api/v1/flags", get(flags::list))
            .says("List flags")
            .query::<flags::ListQuery>()
            .answers::<Page<rollout::Flag>>(),
        read("/api/v1/flags/{tenant}/history", get(flags::history))
            .says("What happened to a tenant's flags")
            .query::<flags::HistoryQuery>()
            .answers::<Page<rollout::FlagChange>>(),
        read("/api/v1/flags/{tenant}/{capability}", get(flags::show))
            .says("Show a flag")
            .answers::<rollout::Flag>(),
        write(Method::PUT, "/api/v1/flags/{tenant}/{capability}", put(flags::set))
            .says("Flip a tenant's capability")
            .takes::<flags::SetBody>()
            .answers::<Written>(),
        read("/api/v1/capabilities", get(capabilities::list))
            .says("List capabilities")
            .answers::<Page<rollout::Capability>>(),
        read("/api/v1/capabilities/{capability}", get(capabilities::show))
            .says("Show a capability")
            .answers::<rollout::Capability>(),
        read("/api/v1/waves", get(waves::list))
            .says("List waves in their order")
            .query::<waves::ListQuery>()
            .answers::<Page<rollout::wave::Wave>>(),
        write(Method::POST, "/api/v1/waves", post(waves::plan))
            .says("Propose waves, and store them")
            .takes::<waves::PlanBody>()
            .answers::<PlanWritten>(),
        read("/api/v1/waves/{wave}", get(waves::show))
            .says("Show a wave: its steps, who has moved, what its gates say")
            .answers::<rollout::wave::WaveDetail>(),
        write(Method::POST, "/api/v1/waves/{wave}/start", post(waves::start))
            .says("Store who belongs to the wave, and move its first step")
            .takes::<waves::StepBody>()
            .answers::<WaveWritten>(),
        write(Method::POST, "/api/v1/waves/{wave}/pause", post(waves::pause))
            .says("Stand still until resumed")
            .takes::<waves::StepBody>()
            .answers::<WaveWritten>(),
        write(Method::POST, "/api/v1/waves/{wave}/resume", post(waves::resume))
            .says("Go on after a pause or a rollback")
            .takes::<waves::StepBody>()
            .answers::<WaveWritten>(),
        write(Method::POST, "/api/v1/waves/{wave}/go", post(waves::go))
            .says("Say go, where a wave waits for a person")
            .takes::<waves::StepBody>()
            .answers::<WaveWritten>(),
        write(Method::POST, "/api/v1/waves/{wave}/advance", post(waves::advance))
            .says("Enter the next step, or complete the wave")
            .takes::<waves::StepBody>()
            .answers::<WaveWritten>(),
        admin(Method::POST, "/api/v1/waves/{wave}/skip-gates", post(waves::skip_gates))
            .says("Enter the next step past gates")
            .takes::<waves::SkipBody>()
            .answers::<WaveWritten>(),
        write(Method::POST, "/api/v1/waves/{wave}/abort", post(waves::abort))
            .says("End a wave: who has moved stays")
            .takes::<waves::StepBody>()
            .answers::<WaveWritten>(),
        write(
            Method::PUT,
            "/api/v1/capabilities/{capability}/split",
            put(capabilities::split),
        )
        .says("Move a share of a capability's traffic")
        .takes::<capabilities::SplitBody>()
        .answers::<Written>(),
        read("/api/v1/freezes", get(freezes::list))
            .says("List freezes")
            .answers::<Page<rollout::Freeze>>(),
        write(Method::POST, "/api/v1/freezes", post(freezes::freeze))
            .says("Freeze the writes of a tenant, a capability or all, for a time")
            .takes::<freezes::FreezeBody>()
            .answers::<FreezeWritten>(),
        write(Method::DELETE, "/api/v1/freezes", delete(freezes::unfreeze))
            .says("End a freeze")
            .takes::<freezes::UnfreezeBody>()
            .answers::<Written>(),
        read("/api/v1/guard", get(guard::list))
            .says("What the guard says of each capability")
            .answers::<Page<rollout::guard::Guarded>>(),
        read("/api/v1/guard/{capability}", get(guard::show))
            .says("What the guard says of a capability and its tenants, and why")
            .answers::<rollout::guard::GuardedDetail>(),
        write(Method::POST, "/api/v1/outcomes", post(guard::report))
            .says("Report what became of the modern side's work, for the guard")
            .takes::<guard::OutcomesBody>()
            .answers::<guard::Told>(),
        read("/api/v1/overrides", get(overrides::list))
            .says("List what stands above every flag")
            .answers::<Page<rollout::Override>>(),
        write(Method::POST, "/api/v1/overrides", post(overrides::set))
            .says("Force a capability, or all, to legacy")
            .takes::<overrides::OverrideBody>()
            .answers::<Written>(),
        write(Method::DELETE, "/api/v1/overrides", delete(overrides::clear))
            .says("Take an override off")
            .takes::<overrides::OverrideBody>()
            .answers::<Written>(),
        read("/api/v1/changes", get(changes::list))
            .says("List changes, newest first")
            .query::<changes::ListQuery>()
            .answers::<Page<rollout::ChangeRow>>(),
        read("/api/v1/changes/{revision}", get(changes::show))
            .says("Show a change: who, why, on what evidence, what, and when it was in force")
            .answers::<rollout::ChangeDetail>(),
        write(Method::POST, "/api/v1/changes/{revision}/undo", post(changes::undo))
            .says("Restore what a change replaced, by a new change")
            .takes::<changes::UndoBody>()
            .answers::<Written>(),
        read("/api/v1/alerts", get(alerts::list))
            .says("List alerts, newest first: what people were told of, and are still to be")
            .query::<alerts::ListQuery>()
            .answers::<Page<crate::alerts::Standing>>(),
        read("/api/v1/messages", get(messages::list))
            .says("List messages, newest first, their recipients masked")
            .query::<messages::ListQuery>()
            .answers::<Page<operations::MessageRow>>(),
        write(Method::POST, "/api/v1/messages/retry", post(messages::retry))
            .says("Make messages due again that had failed for good, each with its own answer")
            .takes::<messages::RetryBody>()
            .answers::<RetryWritten>(),
        read("/api/v1/messages/{message}", get(messages::show))
            .says("A message's whole story: its attempts, their ends, what it waits for, what was done with it")
            .answers::<operations::MessageDetail>(),
        write(Method::POST, "/api/v1/messages/{message}/settle", post(messages::settle))
            .says("Say how the uncertain attempt of a message ended")
            .takes::<messages::SettleBody>()
            .answers::<SettleWritten>(),
        read("/api/v1/holds", get(holds::list))
            .says("List what is held back")
            .query::<holds::ListQuery>()
            .answers::<Page<operations::Hold>>(),
        write(Method::POST, "/api/v1/holds", post(holds::hold))
            .says("Hold back the messages of a tenant or a campaign: nothing more of it begins")
            .takes::<holds::HoldBody>()
            .answers::<HoldWritten>(),
        write(Method::DELETE, "/api/v1/holds", delete(holds::release))
            .says("Let go of what is held back")
            .takes::<holds::HoldBody>()
            .answers::<ReleaseWritten>(),
        read("/api/v1/returns", get(returns::list))
            .says("List tenants whose messages are legacy's again, and how far that has come")
            .query::<returns::ListQuery>()
            .answers::<Page<operations::Return>>(),
        read("/api/v1/returns/{tenant}", get(returns::show))
            .says("A tenant's return, campaign by campaign, and what stays here")
            .answers::<ReturnDetail>(),
        write(Method::POST, "/api/v1/returns", post(returns::give_back))
            .says("Give a tenant's unsent campaign messages back to legacy, and hold the others")
            .takes::<returns::ReturnBody>()
            .answers::<ReturnWritten>(),
        admin(Method::GET, "/api/v1/mail-servers", get(mail_servers::list))
            .says("List mail servers that tenants have here, without their passwords")
            .query::<mail_servers::ListQuery>()
            .answers::<Page<operations::MailServer>>(),
        admin(Method::PUT, "/api/v1/mail-servers", put(mail_servers::set))
            .says("Store a tenant's mail server, its password sealed")
            .takes::<mail_servers::SetBody>()
            .answers::<MailServerWritten>(),
        admin(Method::DELETE, "/api/v1/mail-servers", delete(mail_servers::unset))
            .says("Take a tenant's mail server away: legacy's row counts again")
            .takes::<mail_servers::UnsetBody>()
            .answers::<MailServerWritten>(),
        read("/api/v1/settling", get(policies::list))
            .says("List tenants whose uncertain messages are settled by a policy of their own")
            .answers::<Page<operations::Policy>>(),
        write(Method::PUT, "/api/v1/settling", put(policies::set))
            .says("Say what becomes of a tenant's uncertain messages when nobody settles them")
            .takes::<policies::PolicyBody>()
            .answers::<PolicyWritten>(),
        read("/api/v1/runs", get(runs::list))
            .says("List campaigns' sends, newest first")
            .query::<runs::ListQuery>()
            .answers::<Page<operations::Run>>(),
        write(Method::POST, "/api/v1/runs/{run}/pause", post(runs::pause))
            .says("Pause a campaign's send: nothing more of it begins")
            .takes::<runs::RunBody>()
            .answers::<RunWritten>(),
        write(Method::POST, "/api/v1/runs/{run}/resume", post(runs::resume))
            .says("Let a campaign's send go on")
            .takes::<runs::RunBody>()
            .answers::<RunWritten>(),
        write(Method::POST, "/api/v1/runs/{run}/cancel", post(runs::cancel))
            .says("End a campaign's send where it is")
            .takes::<runs::RunBody>()
            .answers::<RunWritten>(),
        read("/api/v1/audit/head", get(audit::head))
            .says("The end of the audit's chain of hashes")
            .answers::<rollout::audit::Head>(),
        read("/api/v1/audit/links", get(audit::links))
            .says("The chain's links, oldest first")
            .query::<audit::AfterQuery>()
            .answers::<Page<rollout::audit::Link>>(),
        read("/api/v1/audit/changes", get(audit::changes))
            .says("Changes as they were hashed, oldest first")
            .query::<audit::AfterQuery>()
            .answers::<Page<rollout::audit::SealedChange>>(),
        read("/api/v1/audit/items", get(audit::items))
            .says("Changes' items as they were hashed, oldest first")
            .query::<audit::AfterQuery>()
            .answers::<Page<rollout::audit::SealedItem>>(),
        read("/api/v1/events", get(events::stream))
            .says("Changes as they happen (server-sent events `change` and `beat`); Last-Event-ID resumes after that revision")
            .answers_text("text/event-stream"),
        admin(Method::GET, "/api/v1/tokens", get(tokens::list))
            .says("List tokens, without their text")
            .answers::<Page<rollout::Token>>(),
        admin(Method::POST, "/api/v1/tokens", post(tokens::create))
            .says("Make a token; the answer is the only place that ever has its text")
            .takes::<tokens::CreateBody>()
            .makes::<Value>(),
        admin(Method::DELETE, "/api/v1/tokens/{name}", delete(tokens::revoke))
            .says("Revoke a token")
            .takes::<tokens::RevokeBody>()
            .answers::<Value>(),
        admin(Method::GET, "/api/v1/api-keys", get(api_keys::list))
            .says("List API keys, without their text")
            .answers::<Page<rollout::ApiKey>>(),
        admin(Method::POST, "/api/v1/api-keys", post(api_keys::create))
            .says("Make an API key; the answer is the only place that ever has its text")
            .takes::<api_keys::CreateBody>()
            .makes::<Value>(),
        admin(Method::DELETE, "/api/v1/api-keys/{name}", delete(api_keys::revoke))
            .says("Revoke an API key")
            .takes::<api_keys::RevokeBody>()
            .answers::<Value>(),
        tenants_own(Method::POST, "/ofrep/v1/evaluate/flags", post(ofrep::bulk))
            .says("OFREP: every capability of the tenant that targetingKey names")
            .takes::<ofrep::Evaluation>()
            .answers::<Value>(),
        tenants_own(Method::POST, "/ofrep/v1/evaluate/flags/{key}", post(ofrep::single))
            .says("OFREP: one capability of the tenant that targetingKey names")
            .takes::<ofrep::Evaluation>()
            .answers::<Value>(),
        tenants_own(Method::GET, "/ofrep/v1/events", get(ofrep::events))
            .says("OFREP: says when to ask again (server-sent events)")
            .answers_text("text/event-stream"),
    ]
}

/// The admin API on the network, behind tokens.
pub fn router(state: State) -> Router {
    let guarded = |endpoint: &Endpoint, handler: MethodRouter<State>| match endpoint.role {
        // Innermost first: who asks is known before a key is looked up that is theirs alone.
        Some(role) => handler
            .route_layer(middleware::from_fn_with_state(
                (state.clone(), endpoint.path),
                idempotency::once,
            ))
            .route_layer(middleware::from_fn_with_state(
                (state.clone(), role),
                auth::require,
            )),
        None => handler,
    };
    framed(assemble(guarded).with_state(state.clone()))
}

/// Health and metrics alone, of a process without the control role.
pub fn probe_router(state: State) -> Router {
    let open = endpoints()
        .into_iter()
        .filter(|endpoint| endpoint.role.is_none());
    framed(
        open.fold(Router::new(), |router, endpoint| {
            router.route(endpoint.path, endpoint.handler)
        })
        .with_state(state),
    )
}

/// The same API in this process, for someone who has the database's own credentials: PostgreSQL is the guard.
pub fn direct_router(db: PgPool, caller: Caller, keyring: Option<Arc<Keyring>>) -> Router {
    let state = State {
        tokens: auth::Tokens::new(db.clone()),
        db,
        process: None,
        queries: None,
        keyring,
        rates: ofrep::Rates::default(),
        streams: events::Streams::default(),
        stop: CancellationToken::new(),
    };
    let known =
        |_: &Endpoint, handler: MethodRouter<State>| handler.layer(axum::Extension(caller.clone()));
    framed(assemble(known).with_state(state.clone()))
}

fn assemble(
    guard: impl Fn(&Endpoint, MethodRouter<State>) -> MethodRouter<State>,
) -> Router<State> {
    endpoints()
        .into_iter()
        .fold(Router::new(), |router, endpoint| {
            let import = endpoint.path.ends_with("/import");
            let limit = DefaultBodyLimit::max(if import { MAX_IMPORT_BODY } else { MAX_BODY });
            let handler = guard(&endpoint, endpoint.handler.clone()).layer(limit);
            router.route(endpoint.path, handler)
        })
}

/// What surrounds every router of ours: deadlines, and problem documents where axum would answer in plain text.
fn framed(router: Router) -> Router {
    router
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_route)
        .layer(middleware::from_fn(within_deadline))
}

async fn within_deadline(request: Request, next: Next) -> Response {
    let deadline = if request.method().is_safe() {
        READ_DEADLINE
    } else {
        WRITE_DEADLINE
    };
    match tokio::time::timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "deadline",
            format!(
                "not done within {} s; `ficus audit list` tells whether it was",
                deadline.as_secs()
            ),
        )
        .into_response(),
    }
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong-method",
        format!("this route does not take {method}"),
    )
}

async fn no_such_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-route", "there is no such route")
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins: the same list with `after` (or `before`) set to this. `None`: there is no more.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A full page may have a next one.
    fn new(items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let full = items.len() as u64 >= u64::from(limit.clamp(1, crate::rollout::MAX_PAGE));
        let next = items.last().filter(|_| full).map(cursor);
        Self { items, next }
    }

    /// The whole of a list that has a bound of its own.
    fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// Items of a page unless told.
fn default_limit() -> u32 {
    100
}
