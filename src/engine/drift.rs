//! Whether legacy's count of a tenant's quota and ours agree, and when people are told that they do not.
//!
//! Its own file, and pure: the counts are taken one after the other while both sides go on, so one look proves nothing.

use std::collections::BTreeMap;

use crate::ids::TenantId;

/// What both sides say of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub tenant: TenantId,
    /// By legacy's tables neither sent nor left: taken from the quota, and on its way.
    pub legacy: i64,
    /// What the engine holds: before legacy was asked, and after.
    pub held: (i64, i64),
}

/// A tenant for whom they differ by more than the tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    pub count: Count,
    /// Positive: quota was lost, the tenant may send fewer than it has paid for. Negative: more.
    pub difference: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The greatest difference, without its sign.
    pub greatest: i64,
    /// Beyond the tolerance, the greatest difference first.
    pub beyond: Vec<Drift>,
    /// Those of them that were beyond it in the look before as well, on the same side.
    pub told: Vec<Drift>,
}

/// Judges look after look.
#[derive(Debug)]
pub struct Judge {
    tolerance: i64,
    before: BTreeMap<TenantId, i64>,
}

impl Judge {
    pub fn new(tolerance: i64) -> Self {
        Self {
            tolerance,
            before: BTreeMap::new(),
        }
    }

    pub fn judge(&mut self, counts: &[Count]) -> Verdict {
        let mut beyond: Vec<Drift> = counts.iter().map(drift).collect();
        let greatest = beyond.iter().map(|it| it.difference.abs()).max();
        beyond.retain(|it| it.difference.abs() > self.tolerance);
        beyond.sort_by_key(|it| -it.difference.abs());
        let is_again = |it: &&Drift| {
            let before = self.before.get(&it.count.tenant);
            before.is_some_and(|before| before.signum() == it.difference.signum())
        };
        let told = beyond.iter().filter(is_again).copied().collect();
        let differences = beyond.iter().map(|it| (it.count.tenant, it.difference));
        self.before = differences.collect();
        Verdict {
            greatest: greatest.unwrap_or_default(),
            beyond,
            told,
        }
    }
}

/// What we held when legacy counted lies between our two counts.
fn drift(count: &Count) -> Drift {
    let (one, other) = count.held;
    let held = count.legacy.clamp(one.min(other), one.max(other));
    Drift {
        count: *count,
        difference: count.legacy - held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(tenant: i64, legacy: i64, held: (i64, i64)) -> Count {
        Count {
            tenant: TenantId(tenant),
            legacy,
            held,
        }
    }

    fn told(verdict: &Verdict) -> Vec<(i64, i64)> {
        let told = verdict.told.iter();
        told.map(|it| (it.count.tenant.0, it.difference)).collect()
    }

    #[test]
    fn a_difference_is_told_when_it_is_there_twice_in_a_row() {
        let mut judge = Judge::new(10);
        let counts = [
            count(1, 30, (0, 0)),
            count(2, 5, (16, 16)),
            count(3, 10, (0, 0)),
        ];
        let first = judge.judge(&counts);
        assert_eq!((first.greatest, told(&first)), (30, vec![]));
        assert_eq!(first.beyond.len(), 2, "ten is within the tolerance");
        assert_eq!(told(&judge.judge(&counts)), [(1, 30), (2, -11)]);
        assert_eq!(judge.judge(&[count(1, 0, (0, 0))]).greatest, 0);
        assert_eq!(told(&judge.judge(&counts)), [], "not in a row");
    }

    #[test]
    fn a_difference_that_changes_its_side_is_no_drift() {
        let mut judge = Judge::new(10);
        judge.judge(&[count(1, 50, (0, 0))]);
        assert_eq!(told(&judge.judge(&[count(1, 0, (50, 50))])), []);
    }

    #[test]
    fn what_moves_while_the_two_count_is_no_difference() {
        let mut judge = Judge::new(0);
        for held in [(100, 900), (900, 100)] {
            assert_eq!(judge.judge(&[count(1, 500, held)]).greatest, 0);
            assert_eq!(judge.judge(&[count(1, 950, held)]).greatest, 50);
        }
    }
}
