//! Every pair and triple of proofs in every order, held against what the rule says in words.
//!
//! Its own file, because exhausting the cases takes more room than the rule.

use super::*;
use crate::ids::TenantId;

const fn kind(source: &'static str, strength: Strength, is_ambient: bool) -> Kind {
    Kind {
        source,
        strength,
        is_ambient,
    }
}

const KINDS: [Kind; 8] = [
    kind("jwt", Strength::Proven, false),
    kind("api_key", Strength::Proven, false),
    kind("laravel_session", Strength::Proven, true),
    kind("header", Strength::Header, false),
    kind("host", Strength::Host, false),
    kind("other_host", Strength::Host, false),
    kind("path", Strength::Path, false),
    kind("query", Strength::Query, false),
];

/// What a resolver may answer. The tenant and the user are told apart by who names them.
const ANSWERS: [(bool, bool, Option<Unresolved>); 8] = [
    (true, true, None),
    (true, false, None),
    (false, true, None),
    (false, false, None),
    (false, false, Some(Unresolved::NoProof)),
    (false, false, Some(Unresolved::Malformed)),
    (false, false, Some(Unresolved::Unrecognised)),
    (false, false, Some(Unresolved::LookupFailed)),
];

type Asked = (Kind, Result<Claim<'static>, Unresolved>);

fn asked(kind: usize, answer: usize) -> Asked {
    let (tenant, user, why) = ANSWERS[answer];
    let named = |i: usize| Named::Id(TenantId(i as i64 + 1));
    let claim = Claim {
        tenant: tenant.then(|| named(kind)),
        user: user
            .then(|| User::new(KINDS[kind].source, None).map(Arc::new))
            .flatten(),
    };
    (KINDS[kind], why.map_or(Ok(claim), Err))
}

/// As the chain asks: the strongest kind first, equals in their order, until the tenant is named.
fn weigh(entries: &[Asked]) -> Identity<'static> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|(kind, _)| std::cmp::Reverse(kind.strength));
    let mut findings = Findings::default();
    for (kind, answer) in entries {
        if let Some(identity) = findings.add(kind, answer) {
            return identity;
        }
    }
    findings.end()
}

/// Calls `check` with every list of up to three entries: every choice, every answer, every order.
fn each_list(mut check: impl FnMut(&[Asked])) {
    let entries: Vec<Asked> = (0..KINDS.len())
        .flat_map(|kind| (0..ANSWERS.len()).map(move |answer| asked(kind, answer)))
        .collect();
    check(&[]);
    for a in &entries {
        check(std::slice::from_ref(a));
        for b in entries.iter().filter(|b| b.0 != a.0) {
            check(&[a.clone(), b.clone()]);
            for c in entries.iter().filter(|c| c.0 != a.0 && c.0 != b.0) {
                check(&[a.clone(), b.clone(), c.clone()]);
            }
        }
    }
}

fn tenant_of(asked: &Asked) -> Option<&Named<'static>> {
    asked.1.as_ref().ok()?.tenant.as_ref()
}

#[test]
fn a_weaker_proof_never_overrides_a_stronger_one() {
    each_list(|entries| {
        let found = weigh(entries);
        let strongest = entries
            .iter()
            .filter(|asked| tenant_of(asked).is_some())
            .map(|(kind, _)| kind.strength)
            .max();
        assert_eq!(
            found.strength,
            strongest.unwrap_or(Strength::Nothing),
            "{entries:?}"
        );
        // Among equals the first in order.
        let first = entries
            .iter()
            .find(|asked| Some(asked.0.strength) == strongest && tenant_of(asked).is_some());
        assert_eq!(
            found.tenant.as_ref(),
            first.and_then(tenant_of),
            "{entries:?}"
        );
        assert_eq!(found.source, first.map_or("none", |(kind, _)| kind.source));
    });
}

#[test]
fn only_what_is_proven_authenticates() {
    each_list(|entries| {
        let found = weigh(entries);
        let proven = |(kind, _): &&Asked| kind.strength == Strength::Proven;
        let held = |(_, answer): &Asked| answer.is_ok();
        assert_eq!(
            matches!(found.proof, Proof::Held(_)),
            entries.iter().filter(proven).any(held),
            "{entries:?}"
        );
        if found.strength == Strength::Proven {
            assert_eq!(found.proof, Proof::Held(found.source), "{entries:?}");
        }
        // A user is named by one who holds, and is never anybody else's.
        if let Some(user) = &found.user {
            let by = entries.iter().find(|(kind, _)| kind.source == user.id());
            assert!(by.iter().any(|e| proven(e) && held(e)), "{entries:?}");
        }
    });
}

#[test]
fn the_user_belongs_to_the_proof_that_names_the_tenant_if_that_names_one() {
    each_list(|entries| {
        let found = weigh(entries);
        let own = entries
            .iter()
            .find(|(kind, _)| kind.source == found.source)
            .and_then(|(kind, answer)| Some((kind, answer.as_ref().ok()?.user.as_ref()?)));
        if let Some((kind, user)) = own
            && kind.strength == Strength::Proven
        {
            assert_eq!(found.user.as_ref(), Some(user), "{entries:?}");
        }
    });
}

#[test]
fn a_refused_proof_is_told_even_when_a_weaker_one_names_the_tenant() {
    each_list(|entries| {
        let found = weigh(entries);
        let is_refused = |(kind, answer): &Asked| {
            kind.strength == Strength::Proven
                && matches!(answer, Err(why) if *why == Unresolved::Malformed)
        };
        if entries.iter().any(is_refused) && found.strength != Strength::Proven {
            let told = found.why.is_some_and(|why| why != Unresolved::NoProof);
            assert!(told, "{entries:?}");
        }
        if found.tenant.is_some() {
            assert_ne!(found.why, Some(Unresolved::NoProof), "{entries:?}");
        } else {
            assert!(
                found.why.is_some() || matches!(found.proof, Proof::Held(_)),
                "{entries:?}"
            );
        }
    });
}

#[test]
fn what_cannot_be_judged_weighs_more_than_a_refusal_and_less_than_what_holds() {
    let refused = asked(0, 5);
    let unjudged = asked(1, 7);
    let held = asked(2, 2);
    assert_eq!(
        weigh(std::slice::from_ref(&refused)).proof,
        Proof::Refused(Unresolved::Malformed)
    );
    for pair in [
        [refused.clone(), unjudged.clone()],
        [unjudged.clone(), refused.clone()],
    ] {
        assert_eq!(
            weigh(&pair).proof,
            Proof::Unjudged(Unresolved::LookupFailed)
        );
    }
    for list in [
        [refused.clone(), unjudged.clone(), held.clone()],
        [held, unjudged, refused],
    ] {
        assert_eq!(weigh(&list).proof, Proof::Held("laravel_session"));
    }
}

#[test]
fn a_guests_cookie_is_no_attempt_to_authenticate_and_a_refused_token_is_one() {
    assert_eq!(weigh(&[asked(2, 5)]).proof, Proof::Absent);
    assert_eq!(
        weigh(&[asked(0, 5)]).proof,
        Proof::Refused(Unresolved::Malformed)
    );
}

#[test]
fn another_resolvers_token_is_refused_only_when_nobody_takes_it() {
    let (by_jwt, by_key) = (asked(0, 6), asked(1, 0));
    let taken = weigh(&[by_jwt.clone(), by_key]);
    assert_eq!((taken.proof, taken.why), (Proof::Held("api_key"), None));
    let untaken = weigh(&[by_jwt.clone(), asked(1, 4)]);
    assert_eq!(untaken.proof, Proof::Refused(Unresolved::Unrecognised));
    assert_eq!(untaken.why, Some(Unresolved::Unrecognised));
    // What somebody did read and refuse says more.
    let refused = weigh(&[by_jwt, asked(1, 5)]);
    assert_eq!(refused.proof, Proof::Refused(Unresolved::Malformed));
    assert_eq!(refused.why, Some(Unresolved::Malformed));
}
