//! Who calls, and whether they may: bearer tokens and roles.
//!
//! Its own file, because it is what stands between the network and every write.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use moka::sync::Cache;
use sqlx::PgPool;

use super::{Problem, State};
use crate::rollout::{Author, Role, Source, TokenHolder, token_digest, verify_token};

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
}

impl Caller {
    pub(super) fn author(self, reason: Option<String>) -> Author {
        Author {
            actor: self.actor,
            source: self.source,
            reason,
            evidence: None,
            requested_at: None,
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
    mut request: Request,
    next: Next,
) -> Response {
    let Some(text) = bearer(&request) else {
        return unauthenticated().into_response();
    };
    let holder = match state.tokens.holder(text).await {
        Ok(holder) => holder,
        Err(problem) => return problem.into_response(),
    };
    if holder.role < role {
        return forbidden(&holder, role).into_response();
    }
    let source = if from_command_line(&request) {
        Source::Cli
    } else {
        Source::Api
    };
    request.extensions_mut().insert(Caller {
        actor: holder.name,
        source,
    });
    next.run(request).await
}

fn bearer(request: &Request) -> Option<&str> {
    let (scheme, text) = request
        .headers()
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
}

/// A word in the audit, not a right: anyone may say so.
fn from_command_line(request: &Request) -> bool {
    request
        .headers()
        .get(USER_AGENT)
        .is_some_and(|agent| agent.as_bytes().starts_with(b"ficus-cli/"))
}

fn unauthenticated() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "no-token",
        "this route wants a token: Authorization: Bearer ficus_…",
    )
    .hint("make one with `ficus token create NAME --role operator --direct`, and set FICUS_TOKEN")
}

fn unknown_token() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unknown-token",
        "the token is unknown, mistyped or revoked",
    )
    .hint("make one with `ficus token create NAME --role operator --direct`, and set FICUS_TOKEN")
}

fn forbidden(holder: &TokenHolder, role: Role) -> Problem {
    let (name, has, wants) = (&holder.name, holder.role.as_str(), role.as_str());
    Problem::new(
        StatusCode::FORBIDDEN,
        "role-too-low",
        format!("token {name:?} is of a {has}; this needs {wants}"),
    )
}
