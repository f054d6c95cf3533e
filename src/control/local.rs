//! The break-glass routes of one proxy: rollback, status and explain without the database.
//!
//! Its own file, because nothing here may need PostgreSQL or a token: the socket's file mode is its guard.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::extract::Json as Body;
use super::rollback::RollbackBody;
use super::{Caller, MAX_BODY, Problem, Written, explain, framed};
use crate::flags::Flags;
use crate::flags::local::LocalScope;
use crate::ids::Revision;
use crate::proxy::explain::{ExplainRequest, Explainer, Explanation};
use crate::proxy::upstream::Standing;
use crate::rollout::{Proxy, ProxyState, Scope, Source};

/// Who the command line says it is run by; the audit keeps it beside the proxy's own name.
const ACTOR: &str = "x-ficus-actor";

/// What one proxy knows by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalStatus {
    pub ready: bool,
    pub revision: Revision,
    /// Since the database last said that this is the newest state. `None`: never yet.
    pub age_seconds: Option<f64>,
    /// `None`: this process is no proxy.
    #[serde(default)]
    pub upstreams: Option<Vec<Standing>>,
}

#[derive(Clone)]
struct Local {
    flags: Flags,
    explainer: Option<Arc<Explainer>>,
}

/// The routes of the break-glass socket. Whoever may open the socket may call them: bind it with mode 0600.
pub fn local_router(flags: Flags, explainer: Option<Arc<Explainer>>) -> Router {
    let router = Router::new()
        .route("/api/v1/rollback", post(roll_back))
        .route("/api/v1/status", get(status))
        .route("/api/v1/explain", post(explain_here))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Local { flags, explainer });
    framed(router)
}

async fn roll_back(
    Shared(local): Shared<Local>,
    headers: HeaderMap,
    Body(body): Body<RollbackBody>,
) -> Result<Json<Written>, Problem> {
    let start = Instant::now();
    let actor = headers
        .get(ACTOR)
        .and_then(|name| name.to_str().ok())
        .unwrap_or("local")
        .to_owned();
    let how = body.checked(Caller::new(actor, Source::Local))?;
    let scope = match body.scope()? {
        // A tenant goes back with everything: the wider, the safer. No body names flags; who names a tenant and a capability is refused.
        Scope::Tenants(tenants) | Scope::Flags(_, tenants) => LocalScope::Tenants(tenants),
        Scope::Capability(name) => LocalScope::Capability(name),
        Scope::All => LocalScope::All,
        Scope::Wave(_) => {
            return Err(Problem::invalid("a proxy knows no waves")
                .hint("name its tenants, or roll back the capability"));
        }
    };
    let terms = &how.terms;
    if terms.dry_run || terms.expect_revision.is_some() {
        return Err(Problem::invalid(
            "a local rollback takes neither `dry_run` nor `expect_revision`: it has no database to compare with",
        ));
    }
    let reason = terms.author.reason.as_deref().unwrap_or("");
    let applied = local
        .flags
        .roll_back_locally(scope, &terms.author.actor, reason)
        .await;
    let applied = applied.map_err(|fault| Problem::invalid(fault.to_string()))?;
    let fault = applied.not_kept.map(|cause| {
        format!(
            "on {} it is in force, and the disk does not keep it ({cause}): do not restart that proxy before the database is back",
            applied.instance
        )
    });
    let revision = local.flags.revision();
    let proxy = Proxy {
        name: applied.instance,
        state: ProxyState::Confirmed,
        ms: Some(applied.micros as f64 / 1000.0),
        applied_revision: revision,
        heartbeat_age_ms: 0.0,
        stopped: false,
    };
    Ok(Json(Written {
        revision,
        changed: None,
        at: Utc::now(),
        dry_run: false,
        preview: Vec::new(),
        waited: true,
        confirmed: true,
        proxies: vec![proxy],
        elapsed_ms: start.elapsed().as_secs_f64() * 1000.0,
        fault,
    }))
}

async fn status(Shared(local): Shared<Local>) -> Json<LocalStatus> {
    Json(LocalStatus {
        ready: local.flags.is_ready(),
        revision: local.flags.revision(),
        age_seconds: local.flags.age().map(|age| age.as_secs_f64()),
        upstreams: local.explainer.as_ref().map(|it| it.upstreams()),
    })
}

async fn explain_here(
    Shared(local): Shared<Local>,
    Body(request): Body<ExplainRequest>,
) -> Result<Json<Explanation>, Problem> {
    explain::answer(local.explainer.as_ref(), &request).await
}
