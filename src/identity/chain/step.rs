//! One resolver, ready to be asked: a variant for each kind of proof.
//!
//! Its own file, because a new kind of proof is added here and nowhere else in the chain.

use tokio::runtime::Handle;

use super::looked_up::LookedUp;
use super::weigh::{Claim, Kind, Strength};
use crate::identity::answers::{self, Lookup};
use crate::identity::host::HostPattern;
use crate::identity::jwt::remote::Fetching;
use crate::identity::jwt::{self, Keyrings, Tokens};
use crate::identity::path::PathPattern;
use crate::identity::{Facts, Resolver, Unresolved, header, query};

pub enum Step {
    Header(http::HeaderName),
    Host(HostPattern),
    Path(Box<PathPattern>),
    Query(String),
    LookedUp(Box<LookedUp>),
    Jwt(Box<Tokens>),
}

/// What a step says without waiting.
pub enum Answer<'a> {
    Now(Result<Claim<'a>, Unresolved>),
    /// To be looked up, with [`Step::wait`].
    Due(Due),
}

/// A look-up that is due. The step that gave it waits for it.
pub enum Due {
    LookedUp(answers::Due),
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
        lookup: &mut impl FnMut(&Resolver) -> anyhow::Result<Lookup>,
    ) -> Result<Self, String> {
        Ok(match resolver {
            Resolver::Header { name } => Self::Header(name.clone()),
            Resolver::Host { pattern } => Self::Host(HostPattern::parse(pattern)?),
            Resolver::Path { pattern } => Self::Path(Box::new(PathPattern::parse(pattern)?)),
            Resolver::Query { parameter } => Self::Query(parameter.clone()),
            Resolver::LaravelSession(_)
            | Resolver::Sanctum(_)
            | Resolver::ApiToken(_)
            | Resolver::ApiKey(_) => {
                Self::LookedUp(Box::new(LookedUp::new(resolver, runtime, lookup)?))
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
            Self::LookedUp(step) => (step.source(), Strength::Proven, step.is_ambient()),
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
            Self::LookedUp(step) => step.ask(facts),
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
            (Self::LookedUp(step), Due::LookedUp(due)) => step.wait(due).await,
            (Self::Jwt(tokens), Due::Keys(fetching)) => {
                let verified = tokens.wait(fetching, facts.headers).await?;
                Ok(verified.into())
            }
            // A step waits for its own look-ups only: the chain gives each back to the step that it had it from.
            _ => Err(Unresolved::LookupFailed),
        }
    }
}
