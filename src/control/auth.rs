//! Who calls, and whether they may: bearer tokens and roles.
//!
//! Its own file, because it is what stands between the network and every write.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use moka::sync::Cache;
use sqlx::PgPool;

use super::{Problem, State};
use crate::ids::TenantId;
use crate::rollout::{Author, RequestKey, Role, Source, TokenHolder, token_digest, verify_token};

/// How long a revoked token may still work on this process.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Digests remembered at most, unknown ones included.
const REMEMBERED_TOKENS: u64 = 10_000;

/// Verified tokens, for a second: a page that asks ten things at once asks the database once who asks.
#[derive(Clone)]
pub(super) struct Tokens {
    db: PgPool,
    seen: Cache<[u8; 32], Option<TokenHolder>>,
}

impl Tokens {
    pub(super) fn new(db: PgPool) -> Self {
        Self {
            db,
            seen: Cache::builder()
                .max_capacity(REMEMBERED_TOKENS)
                .time_to_live(REMEMBERED)
                .build(),
        }
    }

    async fn holder(&self, text: &str) -> Result<TokenHolder, Problem> {
        let Some(digest) = token_digest(text) else {
            return Err(unknown_token());
        };
        if let Some(holder) = self.seen.get(&digest) {
            return holder.ok_or_else(unknown_token);
        }
        let holder = verify_token(&self.db, &digest).await?;
        self.seen.insert(digest, holder.clone());
        holder.ok_or_else(unknown_token)
    }
}

/// Who asks, after [`require`] let them in.
#[derive(Clone, Debug)]
pub struct Caller {
    pub actor: String,
    pub source: Source,
    /// Whom it may ask for.
    pub(super) tenants: Tenants,
    /// When its request arrived.
    pub(super) requested_at: DateTime<Utc>,
    /// The key under which its write is done once.
    pub(super) key: Option<RequestKey>,
}

/// The tenants that a caller may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tenants {
    All,
    /// A token of role ofrep is bound to these.
    These(Vec<TenantId>),
}

impl Caller {
    /// Somebody who may do everything that the routes do: who gets in is decided elsewhere.
    pub fn new(actor: impl Into<String>, source: Source) -> Self {
        Self {
            actor: actor.into(),
            source,
            tenants: Tenants::All,
            requested_at: Utc::now(),
            key: None,
        }
    }

    pub(super) fn author(self, reason: Option<String>) -> Author {
        Author {
            actor: self.actor,
            source: self.source,
            reason,
            evidence: None,
            requested_at: Some(self.requested_at),
            key: self.key,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(unauthenticated)
    }
}

/// Lets a request pass whose token has the role, or a higher one.
pub(super) async fn require(
    axum::extract::State((state, role)): axum::extract::State<(State, Role)>,
    request: Request,
    next: Next,
) -> Response {
    // OFREP gives a refusal no body.
    let plain = request.uri().path().starts_with("/ofrep/");
    match admit(state, role, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) if plain => {
            let mut response = problem.into_response();
            *response.body_mut() = Body::empty();
            response.headers_mut().remove(CONTENT_TYPE);
            response.headers_mut().remove(CONTENT_LENGTH);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// The request with its caller, or why it may not pass.
async fn admit(state: State, role: Role, mut request: Request) -> Result<Request, Problem> {
    let Some(text) = bearer(&request) else {
        return Err(unauthenticated());
    };
    let holder = state.tokens.holder(text).await?;
    if holder.role < role {
        return Err(forbidden(&holder, role));
    }
    let source = said_source(&request);
    let tenants = match holder.role {
        Role::Ofrep => Tenants::These(holder.tenants),
        _ => Tenants::All,
    };
    request.extensions_mut().insert(Caller {
        tenants,
        ..Caller::new(holder.name, source)
    });
    Ok(request)
}

/// A bearer token; or, as OFREP has it, one in X-API-Key.
fn bearer(request: &Request) -> Option<&str> {
    let headers = request.headers();
    if let (None, Some(key)) = (headers.get(AUTHORIZATION), headers.get("x-api-key")) {
        return key.to_str().ok();
    }
    let (scheme, text) = request
        .headers()
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
}

/// A word in the audit, not a right: anyone may say so.
fn said_source(request: &Request) -> Source {
    let headers = request.headers();
    let begins = |name: &HeaderName, with: &[u8]| {
        headers
            .get(name)
            .is_some_and(|it| it.as_bytes().starts_with(with))
    };
    if begins(&USER_AGENT, b"ficus-cli/") {
        Source::Cli
    } else if begins(&HeaderName::from_static("x-ficus-source"), b"console") {
        Source::Console
    } else {
        Source::Api
    }
}

fn unauthenticated() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "no-token",
        "this route wants a token: Authorization: Bearer ficus_…",
    )
    .hint("make one with `ficus token create NAME --role operator --reason TEXT --direct`, and set FICUS_TOKEN")
}

fn unknown_token() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unknown-token",
        "the token is unknown, mistyped or revoked",
    )
    .hint("make one with `ficus token create NAME --role operator --reason TEXT --direct`, and set FICUS_TOKEN")
}

fn forbidden(holder: &TokenHolder, role: Role) -> Problem {
    let (name, has, wants) = (&holder.name, holder.role.as_str(), role.as_str());
    Problem::new(
        StatusCode::FORBIDDEN,
        "role-too-low",
        format!("token {name:?} is of a {has}; this needs {wants}"),
    )
}
