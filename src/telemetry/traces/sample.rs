//! Which requests are recorded.
//!
//! Pure, and its own file, because it decides what tracing costs, and who may make it cost.

use std::collections::BTreeSet;

use super::Config;
use crate::ids::TenantRef;

/// What a trusted peer's `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace: u128,
    pub span: u64,
    pub sampled: bool,
}

/// Whom to follow, and how many of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    per_million: u32,
    ids: BTreeSet<i64>,
    slugs: BTreeSet<String>,
}

impl Sampling {
    pub fn of(config: &Config) -> Self {
        let mut sampling = Self {
            per_million: config.sample,
            ..Self::default()
        };
        for tenant in &config.tenants {
            match tenant {
                TenantRef::Id(id) => drop(sampling.ids.insert(id.0)),
                TenantRef::Slug(slug) => drop(sampling.slugs.insert(slug.clone())),
            }
        }
        sampling
    }

    pub fn follows(&self, id: i64, slug: Option<&str>) -> bool {
        self.ids.contains(&id) || slug.is_some_and(|slug| self.slugs.contains(slug))
    }

    /// A trusted parent has decided already, for all that follows it. `draw` is random over its whole range.
    pub fn takes(&self, parent: Option<&Parent>, draw: u32) -> bool {
        match parent {
            Some(parent) => parent.sampled,
            None => u64::from(draw) * 1_000_000 < u64::from(self.per_million) << 32,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::TenantId;

    fn sampling(per_million: u32) -> Sampling {
        Sampling {
            per_million,
            ..Sampling::default()
        }
    }

    #[test]
    fn nothing_is_never_taken_and_everything_always() {
        for draw in [0, 1, u32::MAX / 2, u32::MAX] {
            assert!(!sampling(0).takes(None, draw), "{draw}");
            assert!(sampling(1_000_000).takes(None, draw), "{draw}");
        }
    }

    #[test]
    fn a_share_is_that_share_of_all_draws() {
        let taken = |per_million| {
            let draws = (0..100_000_u64).map(|n| (n * u64::from(u32::MAX) / 99_999) as u32);
            draws
                .filter(|draw| sampling(per_million).takes(None, *draw))
                .count()
        };
        assert!((999..=1001).contains(&taken(10_000)), "{}", taken(10_000));
        assert!((49_999..=50_001).contains(&taken(500_000)));
    }

    #[test]
    fn a_parent_decides_for_us_whatever_our_share() {
        let parent = |sampled| Parent {
            trace: 1,
            span: 1,
            sampled,
        };
        assert!(sampling(0).takes(Some(&parent(true)), u32::MAX));
        assert!(!sampling(1_000_000).takes(Some(&parent(false)), 0));
    }

    #[test]
    fn a_tenant_is_followed_by_id_or_slug() {
        let mut sampling = sampling(0);
        sampling.ids.insert(TenantId(7).0);
        sampling.slugs.insert("acme".to_owned());
        assert!(sampling.follows(7, None) && sampling.follows(1, Some("acme")));
        assert!(!sampling.follows(1, None) && !sampling.follows(1, Some("acm")));
    }

    proptest! {
        #[test]
        fn a_larger_share_takes_all_that_a_smaller_one_does(small in 0..1_000_000_u32, more in 0..1_000_000_u32, draw: u32) {
            let large = (small + more).min(1_000_000);
            prop_assert!(!sampling(small).takes(None, draw) || sampling(large).takes(None, draw));
        }
    }
}
