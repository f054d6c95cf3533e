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

impl Parent {
    /// A `traceparent` of version 00 (W3C Trace Context, section 3.2). `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (span, flags) = (parts.next()?, parts.next()?);
        let is_whole = version == "00" && parts.next().is_none();
        if !is_whole || (trace.len(), span.len(), flags.len()) != (32, 16, 2) {
            return None;
        }
        let parent = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }
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
    fn a_traceparent_is_read_to_the_letter() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = Parent::parse(text).expect("one");
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(parent.span, 0xb7ad_6b71_6920_3331);
        assert!(parent.sampled);
        for bad in [
            "",
            &text[..54],
            &text.replace("00-0", "01-0"),
            &format!("{text}-00"),
            &text.replace("b7ad6b7169203331", "0000000000000000"),
            &text.replace("0af7", "xyzw"),
        ] {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
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
