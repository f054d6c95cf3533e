//! One resolver, ready to be asked: a variant for each kind of proof.
//!
//! Its own file, because a new kind of proof is added here and nowhere else in the chain.

use tokio::runtime::Handle;

use super::weigh::{Claim, Kind, Strength};
use crate::identity::host::HostPattern;
use crate::identity::jwt::remote::Fetching;
use crate::identity::jwt::{self, Keyrings, Tokens};
use crate::identity::laravel::SessionCookie;
use crate::identity::path::PathPattern;
use crate::identity::sessions::{self, Lookup, Recall, Sessions};
use crate::identity::{Facts, LaravelSession, Named, Resolver, Unresolved, header, query};

pub enum Step {
    Header(http::HeaderName),
    Host(HostPattern),
    Path(Box<PathPattern>),
    Query(String),
    Session(Box<SessionStep>),
    Jwt(Box<Tokens>),
}

pub struct SessionStep {
    cookie: SessionCookie,
    sessions: Sessions,
}

/// What a step says without waiting.
pub enum Answer<'a> {
    Now(Result<Claim<'a>, Unresolved>),
    /// To be looked up, with [`Step::wait`].
    Due(Due),
}

/// A look-up that is due. The step that gave it waits for it.
pub enum Due {
    Session(sessions::Due),
    Keys(Fetching),
}

impl<'a, T: Into<Claim<'a>>> From<Result<T, Unresolved>> for Answer<'a> {
    fn from(answer: Result<T, Unresolved>) -> Self {
        Self::Now(answer.map(Into::into))
    }
}

impl Step {
    /// The error is a sentence that names the key of the configuration.
    pub fn new(
        resolver: &Resolver,
        runtime: &Handle,
        keyrings: &Keyrings,
        lookup: &mut impl FnMut(&LaravelSession) -> anyhow::Result<Lookup>,
    ) -> Result<Self, String> {
        Ok(match resolver {
            Resolver::Header { name } => Self::Header(name.clone()),
            Resolver::Host { pattern } => Self::Host(HostPattern::parse(pattern)?),
            Resolver::Path { pattern } => Self::Path(Box::new(PathPattern::parse(pattern)?)),
            Resolver::Query { parameter } => Self::Query(parameter.clone()),
            Resolver::LaravelSession(session) => {
                let cookie = SessionCookie::new(&session.cookie, &session.app_key)?;
                let lookup = lookup(session).map_err(|error| format!("{error:#}"))?;
                let sessions = Sessions::new(
                    lookup,
                    session.cache_ttl,
                    session.lifetime,
                    session.cache_size,
                    runtime.clone(),
                );
                Self::Session(Box::new(SessionStep { cookie, sessions }))
            }
            Resolver::Jwt(jwt) => Self::Jwt(Box::new(Tokens::new(jwt, keyrings, runtime)?)),
        })
    }

    pub fn kind(&self) -> Kind {
        let (source, strength, is_ambient) = match self {
            Self::Header(_) => ("header", Strength::Header, false),
            Self::Host(_) => ("host", Strength::Host, false),
            Self::Path(_) => ("path", Strength::Path, false),
            Self::Query(_) => ("query", Strength::Query, false),
            Self::Session(_) => ("laravel_session", Strength::Proven, true),
            // In a cookie as well: a client that holds a token can let go of it.
            Self::Jwt(_) => ("jwt", Strength::Proven, false),
        };
        Kind {
            source,
            strength,
            is_ambient,
        }
    }

    /// What the head says of it, without waiting.
    pub fn ask<'a>(&self, facts: &Facts<'a>) -> Answer<'a> {
        match self {
            Self::Header(name) => header::resolve(name, facts).into(),
            Self::Host(pattern) => pattern.resolve(facts.host).into(),
            Self::Path(pattern) => pattern.resolve(facts.target).into(),
            Self::Query(parameter) => query::resolve(parameter, facts.target).into(),
            Self::Session(step) => match step.cookie.session_id(facts.headers) {
                Err(refused) => Answer::Now(Err(refused)),
                Ok(id) => match step.sessions.recall(id) {
                    Recall::Known(answer) => answer.map(Named::Id).into(),
                    Recall::Due(due) => Answer::Due(Due::Session(due)),
                },
            },
            Self::Jwt(tokens) => match tokens.ask(facts.headers) {
                jwt::Answer::Known(answer) => answer.into(),
                jwt::Answer::Due(fetching) => Answer::Due(Due::Keys(fetching)),
            },
        }
    }

    /// Whether this step reads different tenants out of the two hosts.
    pub fn tells_apart(&self, sni: &str, host: Option<&str>) -> bool {
        match self {
            Self::Host(pattern) => pattern.tells_apart(sni, host),
            _ => false,
        }
    }

    /// Waits for the look-up that this step found due.
    pub async fn wait<'a>(&self, due: Due, facts: &Facts<'a>) -> Result<Claim<'a>, Unresolved> {
        match (self, due) {
            (Self::Session(step), Due::Session(due)) => {
                let tenant = step.sessions.wait(due).await?;
                Ok(Named::Id(tenant).into())
            }
            (Self::Jwt(tokens), Due::Keys(fetching)) => {
                let verified = tokens.wait(fetching, facts.headers).await?;
                Ok(verified.into())
            }
            // A step waits for its own look-ups only: the chain gives each back to the step that it had it from.
            _ => Err(Unresolved::LookupFailed),
        }
    }
}
