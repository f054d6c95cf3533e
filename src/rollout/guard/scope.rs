//! How much is taken back: the failing tenants, their wave, or the capability.
//!
//! Its own file, and pure: too little leaves people on a broken side, too much moves those who were well.

use std::collections::BTreeMap;

use serde::Serialize;

use super::judge::Finding;

/// A tenant that fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Failing {
    pub tenant: i64,
    /// The running wave that it is in, if any.
    pub wave: Option<String>,
    pub finding: Finding,
}

/// What is to be taken back of one capability.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    Tenants(Vec<i64>),
    Wave(String),
    Capability,
}

/// What is known beside the failing tenants.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    /// The capability as a whole fails.
    pub fails: bool,
    /// And it does without the failing tenants.
    pub fails_without_them: bool,
    /// Tenants of a wave that the guard took back a short while ago: they count towards `k`.
    pub taken_back: &'a BTreeMap<String, usize>,
    /// So many of a wave are the wave.
    pub k: usize,
}

/// What to take back, the widest that is called for. Nothing fails: nothing.
pub fn extent(failing: &[Failing], pool: Pool<'_>) -> Vec<Extent> {
    // Not explained by tenants of their own: the side itself is broken.
    if pool.fails && (failing.is_empty() || pool.fails_without_them) {
        return vec![Extent::Capability];
    }
    let mut by_wave: BTreeMap<&str, usize> = BTreeMap::new();
    for wave in failing.iter().filter_map(|it| it.wave.as_deref()) {
        *by_wave.entry(wave).or_default() += 1;
    }
    let before = |wave: &str| pool.taken_back.get(wave).copied().unwrap_or(0);
    let waves: Vec<&str> = by_wave
        .into_iter()
        .filter(|(wave, count)| count + before(wave) >= pool.k)
        .map(|(wave, _)| wave)
        .collect();
    let loose = failing.iter().filter(|it| it.wave.is_none()).count();
    // Two waves at once, or many tenants of none while the whole is over its limits: it is not one wave's doing.
    if waves.len() > 1 || pool.fails && loose >= pool.k {
        return vec![Extent::Capability];
    }
    let rest: Vec<i64> = failing
        .iter()
        .filter(|it| it.wave.as_deref().is_none_or(|wave| !waves.contains(&wave)))
        .map(|it| it.tenant)
        .collect();
    let mut extents: Vec<Extent> = waves
        .into_iter()
        .map(|wave| Extent::Wave(wave.to_owned()))
        .collect();
    if !rest.is_empty() {
        extents.push(Extent::Tenants(rest));
    }
    extents
}

#[cfg(test)]
mod tests {
    use super::super::judge::{Measure, Rule};
    use super::super::verdict::Verdict;
    use super::*;

    fn failing(tenant: i64, wave: Option<&str>) -> Failing {
        Failing {
            tenant,
            wave: wave.map(str::to_owned),
            finding: Finding {
                verdict: Verdict::Fail,
                rule: Rule::InARow,
                measure: Measure::Errors,
                kind: None,
                window_s: 60,
                requests: 5,
                bad: 5,
                share: 1.0,
                limit: 0.01,
                legacy_requests: 0,
                legacy_bad: 0,
            },
        }
    }

    fn taken(failing: &[Failing], fails: bool, without_them: bool, before: usize) -> Vec<Extent> {
        let taken_back = [("w1".to_owned(), before)].into();
        let pool = Pool {
            fails,
            fails_without_them: without_them,
            taken_back: &taken_back,
            k: 3,
        };
        extent(failing, pool)
    }

    #[test]
    fn a_tenant_that_fails_alone_goes_back_alone() {
        let one = [failing(7, Some("w1"))];
        let only = [Extent::Tenants(vec![7])];
        assert_eq!(taken(&one, false, false, 0), only);
        // Even when it is so large that the whole is over the limit.
        assert_eq!(taken(&one, true, false, 0), only);
        assert_eq!(taken(&[], false, false, 0), []);
    }

    #[test]
    fn three_of_a_wave_are_the_wave_and_those_of_a_minute_ago_count() {
        let of_wave = |count: i64| {
            (1..=count)
                .map(|t| failing(t, Some("w1")))
                .collect::<Vec<_>>()
        };
        let wave = [Extent::Wave("w1".to_owned())];
        assert_eq!(taken(&of_wave(3), false, false, 0), wave);
        assert_eq!(taken(&of_wave(1), false, false, 2), wave);
        let mut with_another = of_wave(3);
        with_another.push(failing(9, None));
        assert_eq!(
            taken(&with_another, false, false, 0),
            [wave[0].clone(), Extent::Tenants(vec![9])]
        );
    }

    #[test]
    fn what_no_tenant_and_no_wave_explains_is_the_capability() {
        assert_eq!(taken(&[], true, true, 0), [Extent::Capability]);
        assert_eq!(
            taken(&[failing(1, None)], true, true, 0),
            [Extent::Capability]
        );
        let mut two_waves: Vec<_> = (1..=3).map(|t| failing(t, Some("w1"))).collect();
        two_waves.extend((4..=6).map(|t| failing(t, Some("w2"))));
        assert_eq!(taken(&two_waves, false, false, 0), [Extent::Capability]);
        let loose: Vec<_> = (1..=3).map(|t| failing(t, None)).collect();
        assert_eq!(taken(&loose, true, false, 0), [Extent::Capability]);
        assert_eq!(
            taken(&loose, false, false, 0),
            [Extent::Tenants(vec![1, 2, 3])]
        );
    }
}
