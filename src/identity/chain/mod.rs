//! The resolvers, asked from the strongest kind to the weakest until one names the tenant.
//!
//! Its own file, because every request of every tenant goes through it: it neither allocates nor waits until
//! something has to be looked up. What a resolver is stands in [`step`], what its answer counts for in [`weigh`].

use std::cmp::Reverse;

use tokio::runtime::Handle;

use super::answers::Lookup;
use super::jwt::Keyrings;
use super::{Facts, Identity, Named, Resolver, Unresolved};

mod looked_up;
mod step;
pub mod weigh;

use step::{Answer, Due, Step};
use weigh::{Findings, Kind, Strength};

/// A `[[tenant]]` entry that cannot work. `entry` counts from 1.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("[[tenant]] entry {entry}: {fault}")]
pub struct BadResolver {
    pub entry: usize,
    pub fault: String,
}

/// The configured resolvers, ready to be asked by every request at once.
pub struct Chain {
    /// The strongest kind first; within one kind in the order of the configuration.
    steps: Vec<(Kind, Step)>,
}

/// What a head says without waiting.
#[must_use]
pub enum Resolution<'a> {
    Done(Identity<'a>),
    /// Something has to be looked up: [`Chain::finish`] goes on from here.
    NeedsLookup(Pending),
}

/// Where the chain stopped to look something up.
pub struct Pending {
    step: usize,
    findings: Findings,
    due: Due,
}

impl Chain {
    /// Keys of tokens are fetched on `runtime`, and are those of `keyrings` where they are known there already.
    /// `lookup` is asked once for each resolver that looks something up, and what it makes runs on `runtime`.
    /// Where real stores are asked it is `|resolver| store::lookup(resolver, &own_url, &runtime)`.
    pub fn new(
        resolvers: &[Resolver],
        runtime: &Handle,
        keyrings: &Keyrings,
        mut lookup: impl FnMut(&Resolver) -> anyhow::Result<Lookup>,
    ) -> Result<Self, BadResolver> {
        let mut steps = Vec::with_capacity(resolvers.len());
        for (index, resolver) in resolvers.iter().enumerate() {
            let step = Step::new(resolver, runtime, keyrings, &mut lookup).map_err(|fault| {
                BadResolver {
                    entry: index + 1,
                    fault,
                }
            })?;
            steps.push((step.kind(), step));
        }
        // Stable: equals stay in the order of the configuration.
        steps.sort_by_key(|(kind, _)| Reverse(kind.strength));
        Ok(Self { steps })
    }

    /// Whose request it is, as far as can be told without waiting.
    pub fn resolve_now<'a>(&self, facts: &Facts<'a>) -> Resolution<'a> {
        self.resolve_from(0, Findings::default(), facts)
    }

    /// Waits for what is looked up, at most [`super::answers::DEADLINE`] for each, and goes through the rest of the
    /// chain. `facts` are those of [`Self::resolve_now`].
    pub async fn finish<'a>(&self, pending: Pending, facts: &Facts<'a>) -> Identity<'a> {
        let mut pending = pending;
        loop {
            let Pending {
                step,
                mut findings,
                due,
            } = pending;
            if let Some((kind, waiting)) = self.steps.get(step)
                && let Some(identity) = findings.add(*kind, waiting.wait(due, facts).await)
            {
                return identity;
            }
            match self.resolve_from(step + 1, findings, facts) {
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

    /// Whether the client opened TLS to one tenant's host and now asks for another's: it may have been let in by the
    /// first one's certificate rules, and the answer is 421 (RFC 9110, 15.5.20), whatever stronger proof there is.
    pub fn is_misdirected(&self, facts: &Facts<'_>) -> bool {
        let Some(sni) = facts.sni else { return false };
        self.steps
            .iter()
            .any(|(_, step)| step.tells_apart(sni, facts.host))
    }

    /// The tenants that proofs weaker than `than` name, to be held against the one that counts. One that is there and
    /// cannot be read is an error; one that is not there, or not believed, is left out.
    pub fn weaker<'s, 'a>(
        &'s self,
        than: Strength,
        facts: &'s Facts<'a>,
    ) -> impl Iterator<Item = Result<Named<'a>, Unresolved>> + 's
    where
        'a: 's,
    {
        let weaker = self
            .steps
            .iter()
            .filter(move |(kind, _)| kind.strength < than);
        weaker.filter_map(|(_, step)| match step.ask(facts) {
            Answer::Now(Ok(claim)) => claim.tenant.map(Ok),
            Answer::Now(Err(why @ (Unresolved::Ambiguous | Unresolved::Malformed))) => {
                Some(Err(why))
            }
            Answer::Now(Err(_)) | Answer::Due(_) => None,
        })
    }

    fn resolve_from<'a>(
        &self,
        first: usize,
        mut findings: Findings,
        facts: &Facts<'a>,
    ) -> Resolution<'a> {
        for (index, (kind, step)) in self.steps.iter().enumerate().skip(first) {
            match step.ask(facts) {
                Answer::Due(due) => {
                    return Resolution::NeedsLookup(Pending {
                        step: index,
                        findings,
                        due,
                    });
                }
                Answer::Now(answer) => {
                    if let Some(identity) = findings.add(*kind, answer) {
                        return Resolution::Done(identity);
                    }
                }
            }
        }
        Resolution::Done(findings.end())
    }
}

#[cfg(test)]
mod tests;
