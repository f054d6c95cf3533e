//! The snapshot: one proxy's immutable copy of the control state, and how a change makes the next one.
//!
//! Pure, and its own file: what is loaded from PostgreSQL, from disk or from a bootstrap file becomes this,
//! and a request sees nothing else.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::decide::Caller;
use super::local::Pins;
use super::split::Split;
use super::table::{Row, Table};
pub use super::words::Class;
use super::{Effect, Frozen, State};
use crate::ids::{Revision, TenantId, TenantRef};

/// Capabilities that a tenant's row has room for; the schema's check says the same.
pub const MAX_CAPABILITIES: usize = 64;

/// Everything that decides a request, as of one revision.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub revision: Revision,
    capabilities: Arc<BTreeMap<String, Capability>>,
    forced: Forced,
    frozen: Arc<Frozen>,
    tenants: Table<Tenant>,
    slugs: Table<Slug>,
    /// What this proxy was told locally and the database does not know yet.
    pub(super) local: Arc<Pins>,
}

/// A capability as the database numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// The place of its bits in a tenant's row, 0 to 63.
    pub ordinal: u8,
    pub effect: Effect,
    /// `None`: it moves by its tenants' flags alone.
    pub split: Option<Split>,
}

/// Where `force-legacy` stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    pub all: bool,
    /// A bit a capability, by ordinal.
    pub capabilities: u64,
}

/// A tenant's row: 48 bytes and its slug. A flag is two bits, one in each plane.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: Option<Arc<str>>,
    low: u64,
    high: u64,
    pub class: Class,
}

/// The way from a slug to its tenant. The slug's text stands in the tenant's row.
#[derive(Clone, Debug)]
struct Slug {
    hash: u64,
    id: TenantId,
}

/// What changed between two revisions, row by row.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    pub revision: Revision,
    /// Always whole: there are few.
    pub capabilities: BTreeMap<String, Capability>,
    pub forced: Forced,
    pub frozen: Frozen,
    pub tenants: Vec<(TenantId, Option<TenantFacts>)>,
    pub flags: Vec<(TenantId, u8, Option<State>)>,
}

/// What a tenant's own row says.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantFacts {
    pub slug: Option<Arc<str>>,
    pub class: Class,
}

impl Tenant {
    pub fn new(id: TenantId, facts: TenantFacts) -> Self {
        Self {
            id,
            slug: facts.slug,
            low: 0,
            high: 0,
            class: facts.class,
        }
    }

    /// The two planes, as the disk snapshot keeps them.
    pub(super) fn with_planes(mut self, low: u64, high: u64) -> Self {
        (self.low, self.high) = (low, high);
        self
    }

    pub(super) fn planes(&self) -> (u64, u64) {
        (self.low, self.high)
    }

    /// The flag's state; `None` where there is no row.
    pub fn state(&self, ordinal: u8) -> Option<State> {
        match (self.high >> ordinal & 1, self.low >> ordinal & 1) {
            (0, 0) => None,
            (0, _) => Some(State::Legacy),
            (_, 0) => Some(State::Shadow),
            _ => Some(State::Modern),
        }
    }

    pub fn set_state(&mut self, ordinal: u8, state: Option<State>) {
        let (high, low) = match state {
            None => (0, 0),
            Some(State::Legacy) => (0, 1),
            Some(State::Shadow) => (1, 0),
            Some(State::Modern) => (1, 1),
        };
        let bit = 1u64 << ordinal;
        self.low = self.low & !bit | low << ordinal;
        self.high = self.high & !bit | high << ordinal;
    }
}

impl Row for Tenant {
    fn hash(&self) -> u64 {
        tenant_hash(self.id)
    }
}

impl Row for Slug {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Spreads consecutive ids evenly: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn tenant_hash(id: TenantId) -> u64 {
    let mut x = id.0 as u64;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Keyed, since tenants may choose their own slugs and must not be able to make them collide.
fn slug_hash(slug: &str) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEY.hash_one(slug)
}

impl Snapshot {
    /// Builds a snapshot at once, from rows that are unique by id and by slug.
    pub fn build(
        revision: Revision,
        capabilities: BTreeMap<String, Capability>,
        forced: Forced,
        tenants: Vec<Tenant>,
    ) -> Self {
        let slugs = tenants.iter().filter_map(|t| {
            t.slug.as_deref().map(|slug| Slug {
                hash: slug_hash(slug),
                id: t.id,
            })
        });
        Self {
            revision,
            capabilities: Arc::new(capabilities),
            forced,
            frozen: Arc::default(),
            slugs: Table::build(slugs),
            tenants: Table::build(tenants),
            local: Arc::default(),
        }
    }

    pub fn capability(&self, name: &str) -> Option<Capability> {
        self.capabilities.get(name).copied()
    }

    pub fn capabilities(&self) -> &BTreeMap<String, Capability> {
        &self.capabilities
    }

    pub fn forced(&self) -> Forced {
        self.forced
    }

    /// Who may not write now. Nobody, nearly always.
    pub fn frozen(&self) -> &Frozen {
        &self.frozen
    }

    pub(super) fn with_frozen(mut self, frozen: Frozen) -> Self {
        self.frozen = Arc::new(frozen);
        self
    }

    pub fn tenant_count(&self) -> usize {
        self.tenants.len()
    }

    pub fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.tenants.iter()
    }

    pub fn tenant(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.get(tenant_hash(id), |t| t.id == id)
    }

    pub fn tenant_by_slug(&self, slug: &str) -> Option<&Tenant> {
        let bears = |entry: &Slug| {
            self.tenant(entry.id)
                .is_some_and(|t| t.slug.as_deref() == Some(slug))
        };
        self.slugs
            .get(slug_hash(slug), bears)
            .and_then(|entry| self.tenant(entry.id))
    }

    pub fn find(&self, tenant: &TenantRef) -> Option<&Tenant> {
        match tenant {
            TenantRef::Id(id) => self.tenant(*id),
            TenantRef::Slug(slug) => self.tenant_by_slug(slug),
        }
    }

    /// The snapshot after a change. Shares every shard that the change does not touch.
    pub fn apply(&self, delta: Delta) -> Self {
        let mut next = self.clone();
        next.revision = delta.revision;
        next.forced = delta.forced;
        if *next.frozen != delta.frozen {
            next.frozen = Arc::new(delta.frozen);
        }
        if *next.capabilities != delta.capabilities {
            next.capabilities = Arc::new(delta.capabilities);
        }
        for (id, facts) in delta.tenants {
            next.put_facts(id, facts);
        }
        for (id, ordinal, state) in delta.flags {
            // A flag without its tenant went with the tenant, in this same change.
            let Some(mut tenant) = next.tenant(id).cloned() else {
                continue;
            };
            if tenant.state(ordinal) != state {
                tenant.set_state(ordinal, state);
                next.tenants.put(tenant, |t| t.id == id);
            }
        }
        next
    }

    fn put_facts(&mut self, id: TenantId, facts: Option<TenantFacts>) {
        let old = self.tenant(id).cloned();
        if let Some(slug) = old.as_ref().and_then(|t| t.slug.as_deref()) {
            self.slugs.remove(slug_hash(slug), |entry| entry.id == id);
        }
        let Some(facts) = facts else {
            self.tenants.remove(tenant_hash(id), |t| t.id == id);
            return;
        };
        if let Some(slug) = facts.slug.as_deref() {
            self.slugs.put(
                Slug {
                    hash: slug_hash(slug),
                    id,
                },
                |entry| entry.id == id,
            );
        }
        let (low, high) = old.map_or((0, 0), |t| t.planes());
        self.tenants
            .put(Tenant::new(id, facts).with_planes(low, high), |t| {
                t.id == id
            });
    }

    /// Whether a local rollback covers a request.
    pub fn is_rolled_back_locally(&self, capability: &str, caller: Caller<'_>) -> bool {
        self.local.covers(capability, caller)
    }

    pub(super) fn with_local(&self, local: Pins) -> Self {
        Self {
            local: Arc::new(local),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(slug: &str) -> TenantFacts {
        TenantFacts {
            slug: Some(slug.into()),
            class: Class::Low,
        }
    }

    fn snapshot() -> Snapshot {
        let mut acme = Tenant::new(TenantId(1), facts("acme"));
        acme.set_state(3, Some(State::Modern));
        let tenants = vec![acme, Tenant::new(TenantId(2), facts("umbra"))];
        Snapshot::build(Revision(5), BTreeMap::new(), Forced::default(), tenants)
    }

    #[test]
    fn a_flag_is_two_bits_that_leave_the_others_alone() {
        use State::{Legacy, Modern, Shadow};
        let mut tenant = Tenant::new(TenantId(1), facts("acme"));
        let all = [None, Some(Legacy), Some(Shadow), Some(Modern)];
        for ordinal in 0..64u8 {
            tenant.set_state(ordinal, all[usize::from(ordinal) % 4]);
        }
        tenant.set_state(63, None);
        for ordinal in 0..63u8 {
            assert_eq!(tenant.state(ordinal), all[usize::from(ordinal) % 4]);
        }
        assert_eq!(tenant.state(63), None);
    }

    #[test]
    fn a_tenant_is_found_by_id_and_by_slug() {
        let snapshot = snapshot();
        assert_eq!(
            snapshot.find(&TenantRef::Slug("acme".into())).map(|t| t.id),
            Some(TenantId(1))
        );
        assert_eq!(
            snapshot.tenant(TenantId(2)).and_then(|t| t.slug.as_deref()),
            Some("umbra")
        );
        assert!(snapshot.tenant_by_slug("nobody").is_none());
    }

    #[test]
    fn a_renamed_tenant_keeps_its_flags_and_loses_its_old_name() {
        let delta = Delta {
            revision: Revision(6),
            tenants: vec![(TenantId(1), Some(facts("acme-two")))],
            ..Delta::default()
        };
        let after = snapshot().apply(delta);
        assert_eq!(
            after.tenant_by_slug("acme-two").and_then(|t| t.state(3)),
            Some(State::Modern)
        );
        assert!(after.tenant_by_slug("acme").is_none());
    }

    #[test]
    fn two_tenants_that_swap_slugs_in_one_change_end_up_swapped() {
        let tenants = vec![
            (TenantId(1), Some(facts("umbra"))),
            (TenantId(2), Some(facts("acme"))),
        ];
        let after = snapshot().apply(Delta {
            revision: Revision(6),
            tenants,
            ..Delta::default()
        });
        assert_eq!(
            after.tenant_by_slug("umbra").map(|t| t.id),
            Some(TenantId(1))
        );
        assert_eq!(
            after.tenant_by_slug("acme").map(|t| t.id),
            Some(TenantId(2))
        );
    }

    #[test]
    fn a_deleted_tenant_is_gone_and_the_older_snapshot_keeps_it() {
        let before = snapshot();
        let delta = Delta {
            tenants: vec![(TenantId(1), None)],
            flags: vec![(TenantId(1), 3, None)],
            ..Delta::default()
        };
        let after = before.apply(delta);
        assert!(after.tenant(TenantId(1)).is_none() && after.tenant_by_slug("acme").is_none());
        assert_eq!((after.tenant_count(), before.tenant_count()), (1, 2));
    }
}
