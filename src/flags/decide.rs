//! Which side answers a request, and why: override, then flag, then split, then legacy.
//!
//! Pure, and its own file: the proxy, `ficus explain` and the tests ask the same function, so what is
//! explained is what happens.

use super::model::{Snapshot, Tenant};
use super::{Side, Split, State, Sticky};

/// The answer. `Copy`, and it holds no reference: a request keeps the decision of its admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub side: Side,
    pub reason: Reason,
}

/// What decided, in the order in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No control state was found, and `--cold-start legacy` says what that means.
    ColdStart,
    /// No route matched: ficus is transparent.
    NoRoute,
    /// The route names a side, not a capability.
    Route,
    /// A rollback taken on this proxy alone.
    Local,
    /// `force-legacy` of everything.
    ForcedAll,
    /// `force-legacy` of the capability.
    Forced,
    /// The request names no tenant.
    NoTenant,
    /// The request names a tenant that nobody has told us of.
    UnknownTenant,
    /// The capability is configured and not registered yet.
    UnknownCapability,
    /// The tenant's flag.
    Flag,
    /// There is no flag: legacy.
    Default,
    /// There is no flag, and the capability's traffic is split.
    Split,
    /// The same, and the request has nothing that the split could keep together.
    NoSplitKey,
}

impl Reason {
    pub const ALL: [Self; 13] = [
        Self::ColdStart,
        Self::NoRoute,
        Self::Route,
        Self::Local,
        Self::ForcedAll,
        Self::Forced,
        Self::NoTenant,
        Self::UnknownTenant,
        Self::UnknownCapability,
        Self::Flag,
        Self::Default,
        Self::Split,
        Self::NoSplitKey,
    ];

    /// The word in logs, metrics and `ficus explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ColdStart => "cold-start",
            Self::NoRoute => "no-route",
            Self::Route => "route",
            Self::Local => "local-rollback",
            Self::ForcedAll => "force-legacy-all",
            Self::Forced => "force-legacy",
            Self::NoTenant => "no-tenant",
            Self::UnknownTenant => "unknown-tenant",
            Self::UnknownCapability => "unknown-capability",
            Self::Flag => "flag",
            Self::Default => "no-flag",
            Self::Split => "split",
            Self::NoSplitKey => "no-split-key",
        }
    }
}

/// Whom a request is for, as far as the snapshot knows.
#[derive(Clone, Copy)]
pub enum Caller<'a> {
    /// No resolver named a tenant.
    Nobody,
    /// A tenant was named that has no row.
    Stranger,
    Tenant(&'a Tenant),
}

/// What else of a request a split may keep together.
#[derive(Clone, Copy, Default)]
pub struct Keys<'a> {
    /// Whom a proof names.
    pub user: Option<&'a str>,
    /// The visitor's own id, from our cookie.
    pub session: Option<&'a str>,
}

/// Decides for one capability by what is known of the tenant alone.
pub fn decide(snapshot: &Snapshot, capability: &str, caller: Caller<'_>) -> Decision {
    decide_for(snapshot, capability, caller, Keys::default())
}

/// Decides for one capability. Overrides are asked first and need no tenant.
pub fn decide_for(
    snapshot: &Snapshot,
    capability: &str,
    caller: Caller<'_>,
    keys: Keys<'_>,
) -> Decision {
    let legacy = |reason| Decision {
        side: Side::Legacy,
        reason,
    };
    let known = snapshot.capability(capability);
    if snapshot.local.covers(capability, caller) {
        return legacy(Reason::Local);
    }
    let forced = snapshot.forced();
    if forced.all {
        return legacy(Reason::ForcedAll);
    }
    let Some(known) = known else {
        return legacy(Reason::UnknownCapability);
    };
    if forced.capabilities >> known.ordinal & 1 == 1 {
        return legacy(Reason::Forced);
    }
    let flag = match caller {
        // Whom nobody has told us of is in no share either.
        Caller::Stranger => return legacy(Reason::UnknownTenant),
        Caller::Nobody => None,
        Caller::Tenant(tenant) => tenant.state(known.ordinal),
    };
    match (flag, known.split, caller) {
        // In shadow, legacy answers.
        (Some(State::Legacy | State::Shadow), ..) => legacy(Reason::Flag),
        (Some(State::Modern), ..) => Decision {
            side: Side::Modern,
            reason: Reason::Flag,
        },
        (None, Some(split), Caller::Tenant(tenant)) if split.by == Sticky::Tenant => {
            let mut text = itoa::Buffer::new();
            by_share(split, capability, Some(text.format(tenant.id.0)))
        }
        (None, Some(split), _) if split.by == Sticky::User => {
            by_share(split, capability, keys.user)
        }
        (None, Some(split), _) if split.by == Sticky::Session => {
            by_share(split, capability, keys.session)
        }
        (None, _, Caller::Tenant(_)) => legacy(Reason::Default),
        (None, ..) => legacy(Reason::NoTenant),
    }
}

fn by_share(split: Split, capability: &str, key: Option<&str>) -> Decision {
    let (side, reason) = match key {
        None => (Side::Legacy, Reason::NoSplitKey),
        Some(key) if split.takes(capability, key) => (Side::Modern, Reason::Split),
        Some(_) => (Side::Legacy, Reason::Split),
    };
    Decision { side, reason }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Effect;
    use super::super::local::{LocalScope, Pins};
    use super::super::model::{Capability, Class, Forced, TenantFacts};
    use super::*;
    use crate::ids::{Revision, TenantId, TenantRef};

    const DASHBOARD: Capability = Capability {
        ordinal: 7,
        effect: Effect::Read,
        split: None,
    };

    fn snapshot(state: Option<State>, forced: Forced) -> Snapshot {
        let mut tenant = Tenant::new(
            TenantId(2),
            TenantFacts {
                slug: None,
                class: Class::Low,
            },
        );
        tenant.set_state(7, state);
        let capabilities = BTreeMap::from([("dashboard".to_owned(), DASHBOARD)]);
        Snapshot::build(Revision(1), capabilities, forced, vec![tenant])
    }

    fn ask(snapshot: &Snapshot, capability: &str) -> (Side, Reason) {
        let tenant = snapshot.tenant(TenantId(2)).expect("built with it");
        let decision = decide(snapshot, capability, Caller::Tenant(tenant));
        (decision.side, decision.reason)
    }

    #[test]
    fn only_a_modern_flag_leads_to_modern() {
        for (state, expected) in [
            (None, (Side::Legacy, Reason::Default)),
            (Some(State::Legacy), (Side::Legacy, Reason::Flag)),
            (Some(State::Shadow), (Side::Legacy, Reason::Flag)),
            (Some(State::Modern), (Side::Modern, Reason::Flag)),
        ] {
            assert_eq!(
                ask(&snapshot(state, Forced::default()), "dashboard"),
                expected
            );
        }
    }

    #[test]
    fn an_override_stands_above_every_flag() {
        let one = Forced {
            all: false,
            capabilities: 1 << 7,
        };
        assert_eq!(
            ask(&snapshot(Some(State::Modern), one), "dashboard"),
            (Side::Legacy, Reason::Forced)
        );
        let all = Forced {
            all: true,
            capabilities: 0,
        };
        assert_eq!(
            ask(&snapshot(Some(State::Modern), all), "dashboard"),
            (Side::Legacy, Reason::ForcedAll)
        );
        let other = Forced {
            all: false,
            capabilities: 1 << 6,
        };
        assert_eq!(
            ask(&snapshot(Some(State::Modern), other), "dashboard"),
            (Side::Modern, Reason::Flag)
        );
    }

    #[test]
    fn a_local_rollback_stands_above_everything() {
        let modern = snapshot(Some(State::Modern), Forced::default());
        for scope in [
            LocalScope::All,
            LocalScope::Capability("dashboard".into()),
            LocalScope::Tenants(vec![TenantRef::Id(TenantId(2))]),
        ] {
            let mut pins = Pins::default();
            pins.add_for_test(&modern, scope);
            assert_eq!(
                ask(&modern.with_local(pins), "dashboard"),
                (Side::Legacy, Reason::Local)
            );
        }
    }

    #[test]
    fn whoever_is_not_known_goes_to_legacy() {
        let modern = snapshot(Some(State::Modern), Forced::default());
        assert_eq!(
            decide(&modern, "dashboard", Caller::Nobody).reason,
            Reason::NoTenant
        );
        assert_eq!(
            decide(&modern, "dashboard", Caller::Stranger).reason,
            Reason::UnknownTenant
        );
        assert_eq!(
            ask(&modern, "typo"),
            (Side::Legacy, Reason::UnknownCapability)
        );
    }

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
