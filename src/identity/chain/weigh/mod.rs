//! Which of several proofs counts: the strongest names the tenant, and only the strongest kind authenticates.
//!
//! Pure, and its own file, because this is the rule that a spoofed header, host or link must not get around.

use std::sync::Arc;

use crate::identity::{Identity, Named, Unresolved, User};

/// How hard a proof is to make up, the easiest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// There is none.
    Nothing,
    /// Any link may set it.
    Query,
    /// Any link, and the application reads it as well.
    Path,
    /// The name that the client connected to.
    Host,
    /// Said by a trusted peer.
    Header,
    /// Cryptography or a look-up says so.
    Proven,
}

/// What one resolver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As `[[tenant]]` calls it: a label for the log and the metrics.
    pub source: &'static str,
    pub strength: Strength,
    /// Sent by the browser with every request, whether the user wants to be known or not: a guest's cookie, or one
    /// that is out of date, is no attempt to authenticate.
    pub is_ambient: bool,
}

/// What a resolver that holds says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim<'a> {
    pub tenant: Option<Named<'a>>,
    pub user: Option<Arc<User>>,
}

impl<'a> From<Named<'a>> for Claim<'a> {
    fn from(tenant: Named<'a>) -> Self {
        Self {
            tenant: Some(tenant),
            user: None,
        }
    }
}

/// Whether somebody is authenticated, which is more than being named: a host names a tenant and proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// None was shown.
    #[default]
    Absent,
    /// One was shown and refused, and no other held.
    Refused(Unresolved),
    /// One was shown that cannot be judged now, and no other held.
    Unjudged(Unresolved),
    /// One held: the resolver's label.
    Held(&'static str),
}

/// What the resolvers have said so far, the stronger before the weaker.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    proof: Proof,
    user: Option<Arc<User>>,
    why: Option<Unresolved>,
}

impl Findings {
    /// Takes the next answer into account. `Some`: the tenant is named, and nobody weaker needs to be asked.
    ///
    /// The user is the one of the proof that names the tenant, so that both belong together. Where that names none, or
    /// something weaker names the tenant, it is the one of the first proof that held.
    pub fn add<'a>(
        &mut self,
        kind: Kind,
        answer: Result<Claim<'a>, Unresolved>,
    ) -> Option<Identity<'a>> {
        let claim = match answer {
            Ok(claim) => claim,
            Err(why) => {
                self.refuse(kind, why);
                return None;
            }
        };
        if kind.strength == Strength::Proven {
            let is_first = !matches!(self.proof, Proof::Held(_));
            if is_first || claim.tenant.is_some() {
                self.proof = Proof::Held(kind.source);
            }
            if claim.user.is_some() && (self.user.is_none() || claim.tenant.is_some()) {
                self.user = claim.user;
            }
        }
        let tenant = claim.tenant?;
        Some(std::mem::take(self).settle(Some(tenant), kind.source, kind.strength))
    }

    /// When everybody has been asked and nobody has named a tenant.
    pub fn end<'a>(self) -> Identity<'a> {
        let identity = self.settle(None, "none", Strength::Nothing);
        Identity {
            why: identity.why.or(Some(Unresolved::NoProof)),
            ..identity
        }
    }

    fn settle<'a>(
        self,
        tenant: Option<Named<'a>>,
        source: &'static str,
        strength: Strength,
    ) -> Identity<'a> {
        // Another resolver's token was not for this one to refuse.
        let is_void = |why: &Unresolved| {
            *why == Unresolved::Unrecognised && matches!(self.proof, Proof::Held(_))
        };
        Identity {
            tenant,
            user: self.user,
            source,
            strength,
            proof: self.proof,
            why: self.why.filter(|why| !is_void(why)),
        }
    }

    fn refuse(&mut self, kind: Kind, why: Unresolved) {
        // That a head carries no proof of one kind is no refusal.
        if why == Unresolved::NoProof {
            return;
        }
        if matches!(self.why, None | Some(Unresolved::Unrecognised)) {
            self.why = Some(why);
        }
        let proof = match why {
            _ if kind.strength != Strength::Proven => return,
            why if why.is_passing() => Proof::Unjudged(why),
            _ if kind.is_ambient => return,
            why => Proof::Refused(why),
        };
        if rank(proof) > rank(self.proof) {
            self.proof = proof;
        }
    }
}

fn rank(proof: Proof) -> u8 {
    match proof {
        Proof::Absent => 0,
        Proof::Refused(Unresolved::Unrecognised) => 1,
        Proof::Refused(_) => 2,
        Proof::Unjudged(_) => 3,
        Proof::Held(_) => 4,
    }
}

#[cfg(test)]
mod tests;
