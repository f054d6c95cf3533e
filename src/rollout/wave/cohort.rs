//! Who belongs to a wave, and to which of its steps: percents, the order by hash, and the quota of each step.
//!
//! Its own file, because it is pure, and because exactness is promised here: ceil(p·N) tenants, a step's members are the
//! next step's first, and nothing but the tenant's id, the salt and the version decides the order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::flags::bucket::hash32;
use crate::ids::TenantId;
use crate::rollout::Class;

/// The version of the order. Stored with each member, so that another order can come later and move nobody.
pub const ALGORITHM: &str = "w1";
/// Stands where a split's capability does: all capabilities of a tenant have the same place in their waves.
const EVERY_CAPABILITY: &str = "*";

/// Above 0 and at most 100, in hundredths.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64")]
pub struct Percent(u16);

impl Percent {
    pub const ALL: Self = Self(10_000);

    pub fn from_hundredths(hundredths: i32) -> Option<Self> {
        let value = u16::try_from(hundredths).ok()?;
        (1..=10_000).contains(&value).then_some(Self(value))
    }

    pub fn hundredths(self) -> i32 {
        i32::from(self.0)
    }

    /// The tenants that this is of so many: rounded up, so that a step of few tenants still moves one.
    pub fn of(self, tenants: usize) -> usize {
        // A tenant's place is an i32 in the database, so this cannot overflow.
        (tenants as u64 * u64::from(self.0)).div_ceil(10_000) as usize
    }
}

impl TryFrom<f64> for Percent {
    type Error = String;

    fn try_from(percent: f64) -> Result<Self, String> {
        let hundredths = percent * 100.0;
        let whole = (hundredths - hundredths.round()).abs() < 1e-6;
        let known = (0.0..=10_000.0).contains(&hundredths) && whole;
        known
            .then(|| Self::from_hundredths(hundredths.round() as i32))
            .flatten()
            .ok_or_else(|| {
                format!("{percent} is no percent of a step: expected above 0 and at most 100, in steps of 0.01")
            })
    }
}

impl From<Percent> for f64 {
    fn from(percent: Percent) -> Self {
        Self::from(percent.0) / 100.0
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        let unread = || format!("{text:?} is no percent: expected such as 5 or 0.5");
        number.parse::<f64>().map_err(|_| unread())?.try_into()
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(*self))
    }
}

/// Steps rise, or a later one would take somebody out.
pub fn check_steps(steps: &[Percent]) -> Result<(), String> {
    match steps {
        [] => Err("a wave needs a step".to_owned()),
        _ if steps.len() > 100 => Err("a wave has 100 steps at most".to_owned()),
        _ => match steps.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(format!(
                "steps rise, and {} does not come after {}",
                pair[1], pair[0]
            )),
            None => Ok(()),
        },
    }
}

/// A tenant's place in a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub tenant: TenantId,
    pub class: Class,
    pub hash: u32,
    /// From 1.
    pub rank: usize,
    /// From 1: the step in which it moves.
    pub step: usize,
}

/// Where a tenant stands in the order: the lower, the earlier.
pub fn order(salt: &str, tenant: TenantId) -> u32 {
    hash32(ALGORITHM, salt, EVERY_CAPABILITY, &tenant.to_string())
}

/// The members of a wave over these tenants, in their order. Those beyond the last step are none: they stay for the next wave.
pub fn assign(
    salt: &str,
    tenants: impl IntoIterator<Item = (TenantId, Class)>,
    steps: &[Percent],
) -> Vec<Member> {
    let mut sorted: Vec<(u32, TenantId, Class)> = tenants
        .into_iter()
        .map(|(tenant, class)| (order(salt, tenant), tenant, class))
        .collect();
    // The id after the hash: two tenants of one hash have an order, too.
    sorted.sort_unstable_by_key(|(hash, tenant, _)| (*hash, *tenant));
    let quotas = quotas(sorted.len(), steps);
    let mut step = 1;
    let members = sorted.into_iter().enumerate();
    members
        .map_while(|(place, (hash, tenant, class))| {
            while quotas.get(step - 1).is_some_and(|quota| place >= *quota) {
                step += 1;
            }
            (step <= quotas.len()).then_some(Member {
                tenant,
                class,
                hash,
                rank: place + 1,
                step,
            })
        })
        .collect()
}

/// How many tenants stand on modern in each step, of so many.
pub fn quotas(tenants: usize, steps: &[Percent]) -> Vec<usize> {
    steps.iter().map(|percent| percent.of(tenants)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn percents(steps: &[f64]) -> Vec<Percent> {
        steps.iter().map(|it| (*it).try_into().unwrap()).collect()
    }

    fn tenants(ids: impl IntoIterator<Item = i64>) -> Vec<(TenantId, Class)> {
        ids.into_iter()
            .map(|id| (TenantId(id), Class::Low))
            .collect()
    }

    fn upto(members: &[Member], step: usize) -> BTreeSet<TenantId> {
        let within = members.iter().filter(|member| member.step <= step);
        within.map(|member| member.tenant).collect()
    }

    #[test]
    fn five_percent_of_forty_tenants_is_two() {
        let members = assign("s", tenants(1..=40), &percents(&[5.0, 20.0, 50.0, 100.0]));
        let sizes = [1, 2, 3, 4].map(|step| upto(&members, step).len());
        assert_eq!(sizes, [2, 8, 20, 40]);
    }

    #[test]
    fn the_order_is_the_one_that_sql_computes() {
        // select ficus.hash32('w1', 'ficus', '*', '1001'), as tests/it/schema/wave.rs asks it.
        assert_eq!(order("ficus", TenantId(1001)), 0x824b_ac6c);
    }

    #[test]
    fn a_percent_is_above_nothing_and_at_most_all_in_hundredths() {
        for good in ["0.01", "5", "5%", "33.33", "100"] {
            assert!(good.parse::<Percent>().is_ok(), "{good}");
        }
        for bad in [
            "0", "-1", "100.01", "101", "0.001", "x", "", "NaN", "inf", "1e300",
        ] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
    }

    #[test]
    fn steps_that_do_not_rise_are_refused() {
        assert!(check_steps(&percents(&[5.0, 20.0, 100.0])).is_ok());
        for bad in [vec![], vec![20.0, 5.0], vec![5.0, 5.0]] {
            assert!(check_steps(&percents(&bad)).is_err(), "{bad:?}");
        }
    }

    prop_compose! {
        fn rising()(set in prop::collection::btree_set(1i32..=10_000, 1..6)) -> Vec<Percent> {
            set.into_iter().filter_map(Percent::from_hundredths).collect()
        }
    }

    proptest! {
        #[test]
        fn each_step_has_exactly_its_share_and_keeps_all_of_the_step_before(
            ids in prop::collection::btree_set(1i64..1_000_000, 0..200), steps in rising(), salt in "[a-z]{1,8}",
        ) {
            let members = assign(&salt, tenants(ids.iter().copied()), &steps);
            let mut before = BTreeSet::new();
            for (place, percent) in steps.iter().enumerate() {
                let now = upto(&members, place + 1);
                let exact = (ids.len() as f64 * f64::from(*percent) / 100.0 - 1e-9).ceil() as usize;
                prop_assert_eq!(now.len(), exact);
                prop_assert!(now.is_superset(&before));
                before = now;
            }
            let ranks: Vec<usize> = members.iter().map(|member| member.rank).collect();
            prop_assert_eq!(ranks, (1..=members.len()).collect::<Vec<_>>());
        }

        #[test]
        fn the_order_does_not_depend_on_how_the_tenants_come(
            mut ids in prop::collection::vec(1i64..1_000_000, 1..100), steps in rising(),
        ) {
            ids.sort_unstable();
            ids.dedup();
            let forwards = assign("s", tenants(ids.iter().copied()), &steps);
            let backwards = assign("s", tenants(ids.iter().rev().copied()), &steps);
            prop_assert_eq!(forwards, backwards);
        }

        /// Waves start one after the other while percents, salt and classes are edited and tenants come: whoever has a place
        /// keeps it, and whoever has none gets one in the next wave.
        #[test]
        fn nobody_leaves_by_an_edit_and_who_comes_later_joins_the_next_wave(
            waves in prop::collection::vec((rising(), "[a-z]{1,4}", 0usize..20), 1..6),
        ) {
            let mut all = tenants(1..=30);
            let mut stored: Vec<(usize, Member)> = Vec::new();
            for (number, (steps, salt, newcomers)) in waves.iter().enumerate() {
                let before = stored.clone();
                let taken: BTreeSet<TenantId> = stored.iter().map(|(_, member)| member.tenant).collect();
                let free: Vec<_> = all.iter().copied().filter(|(tenant, _)| !taken.contains(tenant)).collect();
                let members = assign(salt, free.iter().copied(), steps);
                let last = steps.last().map_or(0, |percent| percent.of(free.len()));
                prop_assert_eq!(members.len(), last);
                prop_assert!(members.iter().all(|member| !taken.contains(&member.tenant)));
                stored.extend(members.into_iter().map(|member| (number, member)));
                prop_assert_eq!(&stored[..before.len()], &before[..]);
                let next = all.len() as i64 + 1;
                all.extend(tenants(next..next + *newcomers as i64));
            }
        }
    }
}
