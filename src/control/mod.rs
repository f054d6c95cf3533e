//! The admin API: every route on this page, with the role that it wants.
//!
//! Its own folder, because it is the plane that changes things; the proxy, which serves, never imports it.
//!
//! The table in [`endpoints`] is the router: what does not stand in it does not exist, and what stands in it has
//! said who may call it.

mod api_keys;
mod auth;
mod capabilities;
mod changes;
mod error;
mod explain;
mod extract;
mod flags;
mod freezes;
mod health;
mod local;
mod metrics;
mod overrides;
mod rollback;
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
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::flags::Flags;
use crate::proxy::explain::Explainer;
use crate::rollout::Role;
use crate::rollout::queries::Queries;
use crate::telemetry::Metrics;

pub use auth::Caller;
pub use error::Problem;
pub use freezes::{FreezeWritten, parse_span};
pub use local::{LocalStatus, local_router};
pub use rollback::RollbackScope;
pub use status::Overview;
pub use waves::{PlanWritten, WaveWritten};
pub use write::{MAX_PATIENCE, Written, parse_patience};

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
        }
    }

    /// With the configuration's queries of legacy's database.
    pub fn asking(self, queries: Arc<Queries>) -> Self {
        Self {
            queries: Some(queries),
            ..self
        }
    }
}

/// One row of the table.
pub struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    /// `None`: for everyone.
    pub role: Option<Role>,
    handler: MethodRouter<State>,
}

/// Every route of the API.
pub fn endpoints() -> Vec<Endpoint> {
    let row = |method, path, role, handler| Endpoint {
        method,
        path,
        role,
        handler,
    };
    let open = |path, handler| row(Method::GET, path, None, handler);
    let read = |path, handler| row(Method::GET, path, Some(Role::Viewer), handler);
    let write = |method, path, handler| row(method, path, Some(Role::Operator), handler);
    let admin = |method, path, handler| row(method, path, Some(Role::Admin), handler);
    vec![
        open("/health/live", get(health::live)),
        open("/health/ready", get(health::ready)),
        open("/metrics", get(metrics::show)),
        read("/api/v1/status", get(status::show)),
        row(
            Method::POST,
            "/api/v1/explain",
            Some(Role::Viewer),
            post(explain::explain),
        ),
        write(Method::POST, "/api/v1/rollback", post(rollback::roll_back)),
        read("/api/v1/tenants", get(tenants::list)),
        write(
            Method::POST,
            "/api/v1/tenants/import",
            post(tenants::import),
        ),
        write(Method::POST, "/api/v1/tenants/sync", post(tenants::sync)),
        read("/api/v1/tenants/{tenant}", get(tenants::show)),
        write(Method::PUT, "/api/v1/tenants/{tenant}", put(tenants::set)),
        read("/api/v1/flags", get(flags::list)),
        read("/api/v1/flags/{tenant}/history", get(flags::history)),
        read("/api/v1/flags/{tenant}/{capability}", get(flags::show)),
        write(
            Method::PUT,
            "/api/v1/flags/{tenant}/{capability}",
            put(flags::set),
        ),
        read("/api/v1/capabilities", get(capabilities::list)),
        read("/api/v1/capabilities/{capability}", get(capabilities::show)),
        read("/api/v1/waves", get(waves::list)),
        write(Method::POST, "/api/v1/waves", post(waves::plan)),
        read("/api/v1/waves/{wave}", get(waves::show)),
        write(
            Method::POST,
            "/api/v1/waves/{wave}/start",
            post(waves::start),
        ),
        write(
            Method::POST,
            "/api/v1/waves/{wave}/pause",
            post(waves::pause),
        ),
        write(
            Method::POST,
            "/api/v1/waves/{wave}/resume",
            post(waves::resume),
        ),
        write(Method::POST, "/api/v1/waves/{wave}/go", post(waves::go)),
        write(
            Method::POST,
            "/api/v1/waves/{wave}/advance",
            post(waves::advance),
        ),
        admin(
            Method::POST,
            "/api/v1/waves/{wave}/skip-gates",
            post(waves::skip_gates),
        ),
        write(
            Method::POST,
            "/api/v1/waves/{wave}/abort",
            post(waves::abort),
        ),
        write(
            Method::PUT,
            "/api/v1/capabilities/{capability}/split",
            put(capabilities::split),
        ),
        read("/api/v1/freezes", get(freezes::list)),
        write(Method::POST, "/api/v1/freezes", post(freezes::freeze)),
        write(Method::DELETE, "/api/v1/freezes", delete(freezes::unfreeze)),
        read("/api/v1/overrides", get(overrides::list)),
        write(Method::POST, "/api/v1/overrides", post(overrides::set)),
        write(
            Method::DELETE,
            "/api/v1/overrides",
            delete(overrides::clear),
        ),
        read("/api/v1/changes", get(changes::list)),
        read("/api/v1/changes/{revision}", get(changes::show)),
        write(
            Method::POST,
            "/api/v1/changes/{revision}/undo",
            post(changes::undo),
        ),
        admin(Method::GET, "/api/v1/tokens", get(tokens::list)),
        admin(Method::POST, "/api/v1/tokens", post(tokens::create)),
        admin(
            Method::DELETE,
            "/api/v1/tokens/{name}",
            delete(tokens::revoke),
        ),
        admin(Method::GET, "/api/v1/api-keys", get(api_keys::list)),
        admin(Method::POST, "/api/v1/api-keys", post(api_keys::create)),
        admin(
            Method::DELETE,
            "/api/v1/api-keys/{name}",
            delete(api_keys::revoke),
        ),
    ]
}

/// The admin API on the network, behind tokens.
pub fn router(state: State) -> Router {
    let guarded = |endpoint: &Endpoint, handler: MethodRouter<State>| match endpoint.role {
        Some(role) => handler.route_layer(middleware::from_fn_with_state(
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
pub fn direct_router(db: PgPool, caller: Caller) -> Router {
    let state = State {
        tokens: auth::Tokens::new(db.clone()),
        db,
        process: None,
        queries: None,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
