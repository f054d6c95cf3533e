//! The resolvers in their order: the first that names a tenant ends the chain.
//!
//! Its own file, because every request of every tenant goes through it: it neither allocates nor waits until a
//! session has to be looked up.

use tokio::runtime::Handle;

use super::host::HostPattern;
use super::laravel::SessionCookie;
use super::laravel::envelope::Cipher;
use super::sessions::{Due, Lookup, Recall, Sessions};
use super::{Facts, Identity, LaravelSession, Named, Resolver, Unresolved, header};

/// A `[[tenant]]` entry that cannot work. `entry` counts from 1.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("[[tenant]] entry {entry}: {fault}")]
pub struct BadResolver {
    pub entry: usize,
    pub fault: String,
}

/// The configured resolvers, ready to be asked by every request at once.
pub struct Chain {
    steps: Vec<Step>,
}

enum Step {
    Header(http::HeaderName),
    Host(HostPattern),
    Session(Box<SessionStep>),
}

struct SessionStep {
    cookie: SessionCookie,
    sessions: Sessions,
}

/// What a head says without waiting.
#[must_use]
pub enum Resolution<'a> {
    Done(Identity<'a>),
    /// A session whose answer is due: [`Chain::finish`] goes on from here.
    NeedsLookup(Pending),
}

/// Where the chain stopped to look a session up.
pub struct Pending {
    step: usize,
    why: Option<Unresolved>,
    due: Due,
}

impl Chain {
    /// Look-ups of sessions are made by `lookup`, once for each such resolver, and run on `runtime`.
    /// Where they go to PostgreSQL it is `|session| store::session_lookup(session, &own_url, &runtime)`.
    pub fn new(
        resolvers: &[Resolver],
        runtime: &Handle,
        mut lookup: impl FnMut(&LaravelSession) -> anyhow::Result<Lookup>,
    ) -> Result<Self, BadResolver> {
        let mut steps = Vec::with_capacity(resolvers.len());
        for (index, resolver) in resolvers.iter().enumerate() {
            let bad = |fault| BadResolver {
                entry: index + 1,
                fault,
            };
            steps.push(match resolver {
                Resolver::Header { name } => Step::Header(name.clone()),
                Resolver::Host { pattern } => Step::Host(HostPattern::parse(pattern).map_err(bad)?),
                Resolver::LaravelSession(session) => {
                    let cookie =
                        SessionCookie::new(&session.cookie, &session.app_key, Cipher::default()).map_err(bad)?;
                    let lookup = lookup(session).map_err(|error| bad(format!("{error:#}")))?;
                    let sessions = Sessions::new(
                        lookup,
                        session.cache_ttl,
                        session.lifetime,
                        session.cache_size,
                        runtime.clone(),
                    );
                    Step::Session(Box::new(SessionStep { cookie, sessions }))
                }
            });
        }
        Ok(Self { steps })
    }

    /// Whose request it is, as far as can be told without waiting.
    pub fn resolve_now<'a>(&self, facts: &Facts<'a>) -> Resolution<'a> {
        self.resolve_from(0, None, facts)
    }

    /// Waits for the session, at most [`super::sessions::DEADLINE`], and goes through the rest of the chain. `facts` are those of [`Self::resolve_now`].
    pub async fn finish<'a>(&self, pending: Pending, facts: &Facts<'a>) -> Identity<'a> {
        let mut pending = pending;
        loop {
            let Some(Step::Session(step)) = self.steps.get(pending.step) else {
                return nobody(pending.why);
            };
            let why = match step.sessions.wait(pending.due).await {
                Ok(tenant) => {
                    return Identity {
                        tenant: Some(Named::Id(tenant)),
                        source: LARAVEL_SESSION,
                        why: pending.why,
                    };
                }
                Err(why) => first_refusal(pending.why, why),
            };
            match self.resolve_from(pending.step + 1, why, facts) {
                Resolution::Done(identity) => return identity,
                Resolution::NeedsLookup(next) => pending = next,
            }
        }
    }

    /// Both in one, for callers that may wait.
    pub async fn resolve<'a>(&self, facts: &Facts<'a>) -> Identity<'a> {
        match self.resolve_now(facts) {
            Resolution::Done(identity) => identity,
            Resolution::NeedsLookup(pending) => self.finish(pending, facts).await,
        }
    }

    fn resolve_from<'a>(
        &self,
        first: usize,
        mut why: Option<Unresolved>,
        facts: &Facts<'a>,
    ) -> Resolution<'a> {
        for (index, step) in self.steps.iter().enumerate().skip(first) {
            let (source, answer) = match step {
                Step::Header(name) => ("header", header::resolve(name, facts)),
                Step::Host(pattern) => ("host", pattern.resolve(facts.host)),
                Step::Session(step) => match step
                    .cookie
                    .session_id(facts.headers)
                    .map(|id| step.sessions.recall(id))
                {
                    Ok(Recall::Due(due)) => {
                        return Resolution::NeedsLookup(Pending {
                            step: index,
                            why,
                            due,
                        });
                    }
                    Ok(Recall::Known(answer)) => (LARAVEL_SESSION, answer.map(Named::Id)),
                    Err(refused) => (LARAVEL_SESSION, Err(refused)),
                },
            };
            match answer {
                Ok(tenant) => {
                    return Resolution::Done(Identity {
                        tenant: Some(tenant),
                        source,
                        why,
                    });
                }
                Err(refused) => why = first_refusal(why, refused),
            }
        }
        Resolution::Done(nobody(why))
    }
}

const LARAVEL_SESSION: &str = "laravel_session";

fn nobody<'a>(why: Option<Unresolved>) -> Identity<'a> {
    Identity {
        tenant: None,
        source: "none",
        why: Some(why.unwrap_or(Unresolved::NoProof)),
    }
}

/// That a head carries no proof of one kind is no refusal.
fn first_refusal(earlier: Option<Unresolved>, why: Unresolved) -> Option<Unresolved> {
    earlier.or((why != Unresolved::NoProof).then_some(why))
}

#[cfg(test)]
mod tests;
