//! Freezes: who may not write until when, as a proxy holds it.
//!
//! Pure, and its own file, because a freeze must end by itself on every proxy, also where the database is away: its end is
//! a time of the database's clock, and whoever asks says what that shows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::TenantId;

/// A time of the database's clock, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerTime(pub i64);

/// What one freeze covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FreezeScope {
    All,
    Capability(String),
    Tenant(TenantId),
}

/// Every freeze, each with its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    all: Option<ServerTime>,
    capabilities: BTreeMap<String, ServerTime>,
    tenants: BTreeMap<TenantId, ServerTime>,
}

impl Frozen {
    pub fn set(&mut self, scope: FreezeScope, until: ServerTime) {
        match scope {
            FreezeScope::All => self.all = Some(until),
            FreezeScope::Capability(name) => drop(self.capabilities.insert(name, until)),
            FreezeScope::Tenant(id) => drop(self.tenants.insert(id, until)),
        }
    }

    /// The question that every write asks first.
    pub fn is_empty(&self) -> bool {
        self.all.is_none() && self.capabilities.is_empty() && self.tenants.is_empty()
    }

    /// Whether who writes can matter to requests that belong to no capability.
    pub fn names_tenants(&self) -> bool {
        !self.tenants.is_empty()
    }

    /// The freeze that covers a write for longest, and its end.
    pub fn covering(
        &self,
        capability: Option<&str>,
        tenant: Option<TenantId>,
        now: ServerTime,
    ) -> Option<(FreezeScope, ServerTime)> {
        let all = self.all.map(|until| (FreezeScope::All, until));
        let of_capability = capability.and_then(|name| {
            let until = self.capabilities.get(name)?;
            Some((FreezeScope::Capability(name.to_owned()), *until))
        });
        let of_tenant = tenant.and_then(|id| {
            let until = self.tenants.get(&id)?;
            Some((FreezeScope::Tenant(id), *until))
        });
        [all, of_capability, of_tenant]
            .into_iter()
            .flatten()
            .filter(|(_, until)| *until > now)
            .max_by_key(|(_, until)| *until)
    }

    /// Those that have not ended.
    pub fn in_force(&self, now: ServerTime) -> impl Iterator<Item = (FreezeScope, ServerTime)> {
        let all = self.all.map(|until| (FreezeScope::All, until));
        let capabilities = self.capabilities.iter();
        let capabilities =
            capabilities.map(|(name, until)| (FreezeScope::Capability(name.clone()), *until));
        let tenants = self.tenants.iter();
        let tenants = tenants.map(|(id, until)| (FreezeScope::Tenant(*id), *until));
        let every = all.into_iter().chain(capabilities).chain(tenants);
        every.filter(move |(_, until)| *until > now)
    }
}

impl FreezeScope {
    /// Whether a write is of this scope. What is not known yet may be.
    pub fn covers(&self, capability: Option<&str>, tenant: Whose) -> bool {
        match (self, tenant) {
            (Self::All, _) => true,
            (Self::Capability(name), _) => capability == Some(name),
            (Self::Tenant(_), Whose::NotKnownYet) => true,
            (Self::Tenant(id), Whose::Known(of)) => of == Some(*id),
        }
    }
}

/// Whose a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    NotKnownYet,
    Known(Option<TenantId>),
}

impl ServerTime {
    /// How long it is from here to `until`; none if that is past.
    pub fn to(self, until: Self) -> Duration {
        Duration::from_millis(u64::try_from(until.0 - self.0).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen() -> Frozen {
        let mut frozen = Frozen::default();
        frozen.set(FreezeScope::Tenant(TenantId(2)), ServerTime(1_000));
        frozen.set(FreezeScope::Capability("orders".into()), ServerTime(2_000));
        frozen
    }

    fn end(frozen: &Frozen, capability: &str, tenant: i64, now: i64) -> Option<i64> {
        let found = frozen.covering(Some(capability), Some(TenantId(tenant)), ServerTime(now));
        found.map(|(_, until)| until.0)
    }

    #[test]
    fn a_freeze_covers_its_tenant_or_its_capability_and_nobody_else() {
        assert_eq!(end(&frozen(), "users", 2, 0), Some(1_000));
        assert_eq!(end(&frozen(), "orders", 3, 0), Some(2_000));
        assert_eq!(end(&frozen(), "users", 3, 0), None);
        assert_eq!(frozen().covering(None, None, ServerTime(0)), None);
    }

    #[test]
    fn of_two_freezes_the_one_that_ends_last_counts() {
        assert_eq!(end(&frozen(), "orders", 2, 0), Some(2_000));
        let mut all = frozen();
        all.set(FreezeScope::All, ServerTime(1_500));
        assert_eq!(end(&all, "users", 2, 0), Some(1_500));
        assert_eq!(
            all.covering(None, None, ServerTime(0)).map(|(_, u)| u.0),
            Some(1_500)
        );
    }

    #[test]
    fn a_freeze_ends_by_itself_at_its_time() {
        assert_eq!(end(&frozen(), "users", 2, 999), Some(1_000));
        assert_eq!(end(&frozen(), "users", 2, 1_000), None);
        assert_eq!(frozen().in_force(ServerTime(1_500)).count(), 1);
    }

    #[test]
    fn a_write_whose_tenant_is_not_known_yet_may_be_anybodys() {
        let scope = FreezeScope::Tenant(TenantId(2));
        assert!(scope.covers(None, Whose::NotKnownYet));
        assert!(scope.covers(None, Whose::Known(Some(TenantId(2)))));
        assert!(!scope.covers(None, Whose::Known(Some(TenantId(3)))));
        assert!(!scope.covers(None, Whose::Known(None)));
    }
}
