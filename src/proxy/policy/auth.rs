//! Whether a route lets a request in, by what its head has proven.
//!
//! Pure, and its own file, because this is the edge's yes or no: it knows proofs and names, and neither keys nor sockets.

use super::super::edge::caller;
use super::super::refusal::Refusal;
use crate::flags::{Caller, Snapshot};
use crate::identity::{Identity, Named, Proof, Unresolved};

/// What a `[[route]]` asks of who comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing: what stands behind it asks for itself.
    #[default]
    None,
    /// Nobody has to authenticate; who tries to must succeed.
    Optional,
    Required {
        /// The user's tier must be one of these; empty: any.
        tiers: Vec<String>,
    },
}

impl Auth {
    /// `is_one_tenant` is asked only where somebody is authenticated: whether every tenant that the head names is the same.
    pub fn judge(
        &self,
        identity: &Identity<'_>,
        is_one_tenant: impl FnOnce() -> bool,
    ) -> Result<(), Refusal> {
        let tiers = match self {
            Self::None => return Ok(()),
            Self::Optional => &[],
            Self::Required { tiers } => tiers.as_slice(),
        };
        match (self, identity.proof) {
            (_, Proof::Held(_)) => {}
            (_, Proof::Refused(_)) => return Err(Refusal::InvalidToken),
            (Self::Required { .. }, Proof::Unjudged(_)) => return Err(Refusal::Unjudged),
            (Self::Required { .. }, Proof::Absent) => return Err(Refusal::Unauthenticated),
            // Nobody in particular would be let in as well.
            (_, Proof::Unjudged(_) | Proof::Absent) => return Ok(()),
        }
        if !is_one_tenant() {
            return Err(Refusal::OtherTenant);
        }
        let tier = identity.user.as_deref().and_then(|user| user.tier());
        let is_in = |tier: &str| tiers.iter().any(|allowed| allowed == tier);
        match tiers.is_empty() || tier.is_some_and(is_in) {
            true => Ok(()),
            false => Err(Refusal::TierNotAllowed),
        }
    }

    pub fn describe(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Optional => Some("authentication is optional".to_owned()),
            Self::Required { tiers } if tiers.is_empty() => {
                Some("authentication is required".to_owned())
            }
            Self::Required { tiers } => Some(format!(
                "authentication is required, of tier {}",
                tiers.join(" or ")
            )),
        }
    }
}

/// Whether `others`, what weaker proofs say, are all the tenant that the strongest one named. One that cannot be read is
/// not: the application might read it.
pub fn is_one_tenant<'a>(
    snapshot: Option<&Snapshot>,
    named: Option<&Named<'_>>,
    others: impl Iterator<Item = Result<Named<'a>, Unresolved>>,
) -> bool {
    let Some(named) = named else { return true };
    let id = |named: &Named<'_>| match (named, snapshot) {
        (Named::Id(id), _) => Some(*id),
        (slug, Some(snapshot)) => match caller(snapshot, Some(slug)) {
            Caller::Tenant(tenant) => Some(tenant.id),
            _ => None,
        },
        (_, None) => None,
    };
    let is_same =
        |other: Named<'_>| other == *named || id(&other).is_some_and(|it| id(named) == Some(it));
    others.into_iter().all(|other| other.is_ok_and(is_same))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::{Strength, User};
    use crate::ids::TenantId;

    fn identity(proof: Proof, tier: Option<&str>) -> Identity<'static> {
        Identity {
            tenant: Some(Named::Id(TenantId(2))),
            user: User::new("7", tier).map(Arc::new),
            source: "jwt",
            strength: Strength::Proven,
            proof,
            why: None,
        }
    }

    fn required(tiers: &[&str]) -> Auth {
        Auth::Required {
            tiers: tiers.iter().map(|&tier| tier.to_owned()).collect(),
        }
    }

    const HELD: Proof = Proof::Held("jwt");
    const REFUSED: Proof = Proof::Refused(Unresolved::Expired);
    const UNJUDGED: Proof = Proof::Unjudged(Unresolved::KeysMissing);

    #[test]
    fn each_demand_answers_each_proof() {
        let [none, optional, required] = [Auth::None, Auth::Optional, required(&[])];
        for (auth, proof, verdict) in [
            (&none, Proof::Absent, Ok(())),
            (&none, REFUSED, Ok(())),
            (&none, UNJUDGED, Ok(())),
            (&none, HELD, Ok(())),
            (&optional, Proof::Absent, Ok(())),
            (&optional, REFUSED, Err(Refusal::InvalidToken)),
            (&optional, UNJUDGED, Ok(())),
            (&optional, HELD, Ok(())),
            (&required, Proof::Absent, Err(Refusal::Unauthenticated)),
            (&required, REFUSED, Err(Refusal::InvalidToken)),
            (&required, UNJUDGED, Err(Refusal::Unjudged)),
            (&required, HELD, Ok(())),
        ] {
            let told = auth.judge(&identity(proof, None), || true);
            assert_eq!(told, verdict, "{auth:?} {proof:?}");
        }
    }

    #[test]
    fn who_is_authenticated_may_name_one_tenant_only() {
        for (auth, verdict) in [
            (Auth::None, Ok(())),
            (Auth::Optional, Err(Refusal::OtherTenant)),
            (required(&[]), Err(Refusal::OtherTenant)),
        ] {
            assert_eq!(auth.judge(&identity(HELD, None), || false), verdict);
        }
    }

    #[test]
    fn nobody_is_asked_for_tenants_before_the_proof_held() {
        for proof in [Proof::Absent, REFUSED, UNJUDGED] {
            for auth in [Auth::Optional, required(&[])] {
                let _ = auth.judge(&identity(proof, None), || panic!("asked"));
            }
        }
    }

    #[test]
    fn the_tier_must_be_one_of_the_routes() {
        let pro = required(&["pro", "team"]);
        for (tier, verdict) in [
            (Some("pro"), Ok(())),
            (Some("team"), Ok(())),
            (Some("free"), Err(Refusal::TierNotAllowed)),
            (Some("PRO"), Err(Refusal::TierNotAllowed)),
            (None, Err(Refusal::TierNotAllowed)),
        ] {
            assert_eq!(
                pro.judge(&identity(HELD, tier), || true),
                verdict,
                "{tier:?}"
            );
        }
        let nobody = Identity {
            user: None,
            ..identity(HELD, None)
        };
        assert_eq!(pro.judge(&nobody, || true), Err(Refusal::TierNotAllowed));
        assert_eq!(required(&[]).judge(&nobody, || true), Ok(()));
    }

    #[test]
    fn without_a_snapshot_names_are_compared_as_they_are() {
        let (id, slug) = (Named::Id(TenantId(2)), Named::Slug("acme".into()));
        let one = |named: &Named<'_>, others: &[Result<Named<'static>, Unresolved>]| {
            is_one_tenant(None, Some(named), others.iter().cloned())
        };
        assert!(one(&id, &[]) && one(&id, &[Ok(Named::Id(TenantId(2)))]));
        assert!(one(&slug, &[Ok(Named::Slug("acme".into()))]));
        assert!(!one(&id, &[Ok(Named::Id(TenantId(3)))]));
        assert!(!one(&id, &[Ok(Named::Slug("acme".into()))]));
        assert!(!one(
            &id,
            &[Ok(Named::Id(TenantId(2))), Err(Unresolved::Ambiguous)]
        ));
        let others = [Ok(Named::Id(TenantId(3)))].into_iter();
        assert!(is_one_tenant(None, None, others), "nobody is named");
    }
}
