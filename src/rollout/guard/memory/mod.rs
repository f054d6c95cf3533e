//! What the guard remembers: the series of every capability and of every tenant with traffic, half an hour of them.
//!
//! Its own file, and pure: the leader fills it from the database, a replay from a file, a simulation from a generator.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::judge::{Case, Finding, judge, judge_outcome};
use super::limits::{Config, Limits};
use super::scope::{Extent, Failing, Pool, extent};
use super::series::{Bin, Counts, Series, horizon};
use super::verdict::Verdict;
use crate::rollout::outcomes::{Asked, CELLS, Cell};

/// Tenants of a capability that are judged one by one. What more there are count for the capability alone.
const MOST_TENANTS: usize = 100_000;

/// One row of what was counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    pub at: Bin,
    pub capability: String,
    pub side: Asked,
    /// 0: nobody's in particular.
    pub tenant: i64,
    pub cell: Cell,
}

/// Everything of one capability.
#[derive(Default)]
struct Seen {
    modern: Series,
    legacy: Series,
    tenants: HashMap<i64, Series>,
    /// What the modern side reported, by kind: of the whole and of tenants.
    outcomes: BTreeMap<String, HashMap<i64, Series>>,
    /// Of the whole, for the evidence.
    latency: BTreeMap<(Bin, Asked), [u64; CELLS]>,
}

/// What the guard remembers.
#[derive(Default)]
pub struct Memory {
    capabilities: BTreeMap<String, Seen>,
}

/// What stands apart from the counts, of one capability.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Nothing older counts for the whole: the guard or a person has changed something then.
    pub since: Bin,
    /// Of tenants that fail: since when they are on the modern side, and their running wave. One that is not here is not
    /// on the modern side by a flag of its own.
    pub tenants: HashMap<i64, (Bin, Option<String>)>,
    /// Tenants of each wave that the guard has taken back lately.
    pub taken_back: BTreeMap<String, usize>,
    /// A proxy that lives does not tell what it counts.
    pub silent: bool,
}

/// The judgement on one capability.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// On the whole.
    pub finding: Finding,
    pub failing: Vec<Failing>,
    /// What must go back.
    pub extents: Vec<Extent>,
}

impl Memory {
    pub fn add(&mut self, bucket: &Bucket, config: &Config) {
        let limits = config.limits_of(&bucket.capability);
        let counts = Counts::of(&bucket.cell, limits);
        let seen = self.seen(&bucket.capability);
        let latency = seen
            .latency
            .entry((bucket.at, bucket.side))
            .or_insert([0; CELLS]);
        for (sum, more) in latency.iter_mut().zip(bucket.cell.latency) {
            *sum += more;
        }
        match bucket.side {
            Asked::Legacy => seen.legacy.add(bucket.at, counts),
            Asked::Modern => {
                seen.modern.add(bucket.at, counts);
                let has_room = seen.tenants.len() < MOST_TENANTS;
                if bucket.tenant > 0 && (has_room || seen.tenants.contains_key(&bucket.tenant)) {
                    let series = seen.tenants.entry(bucket.tenant).or_default();
                    series.add(bucket.at, counts);
                }
            }
        }
    }

    /// Puts what was reported for a bucket in place of what was known of it. Of the whole: tenant 0.
    pub fn set_outcome(
        &mut self,
        at: Bin,
        capability: &str,
        kind: &str,
        tenant: i64,
        (good, bad): (u64, u64),
    ) {
        let counts = Counts {
            requests: good + bad,
            errors: bad,
            ..Counts::default()
        };
        let kinds = &mut self.seen(capability).outcomes;
        let tenants = kinds.entry(kind.to_owned()).or_default();
        if tenant == 0 || tenants.len() < MOST_TENANTS || tenants.contains_key(&tenant) {
            tenants.entry(tenant).or_default().set(at, counts);
        }
    }

    fn seen(&mut self, capability: &str) -> &mut Seen {
        if !self.capabilities.contains_key(capability) {
            self.capabilities
                .insert(capability.to_owned(), Seen::default());
        }
        self.capabilities.entry(capability.to_owned()).or_default()
    }

    /// Drops what no judgement looks at any more.
    pub fn forget_before(&mut self, now: Bin) {
        let oldest = now - horizon();
        for seen in self.capabilities.values_mut() {
            let whole = [&mut seen.modern, &mut seen.legacy];
            let reported = seen.outcomes.values_mut().flat_map(HashMap::values_mut);
            for series in whole
                .into_iter()
                .chain(seen.tenants.values_mut())
                .chain(reported)
            {
                series.forget_before(oldest);
            }
            seen.tenants.retain(|_, series| !series.is_empty());
            for tenants in seen.outcomes.values_mut() {
                tenants.retain(|_, series| !series.is_empty());
            }
            seen.latency = seen.latency.split_off(&(oldest, Asked::Legacy));
        }
    }

    /// The names of all that had traffic or outcomes.
    pub fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.capabilities.keys().map(String::as_str)
    }

    /// Tenants with traffic on the modern side.
    pub fn active(&self, capability: &str) -> usize {
        self.capabilities
            .get(capability)
            .map_or(0, |seen| seen.tenants.len())
    }

    /// Tenants that fail when all that is remembered of them counts: those whose standing must be known to judge.
    pub fn suspects(&self, capability: &str, limits: &Limits, now: Bin) -> Vec<i64> {
        let Some(seen) = self.capabilities.get(capability) else {
            return Vec::new();
        };
        let mut suspects: BTreeSet<i64> = BTreeSet::new();
        for (tenant, series) in &seen.tenants {
            let case = Case {
                series,
                legacy: &seen.legacy,
                since: 0,
            };
            if judge(case, limits, now).verdict == Verdict::Fail {
                suspects.insert(*tenant);
            }
        }
        for (kind, share) in &limits.outcomes {
            let nobody = Series::default();
            for (tenant, series) in seen.outcomes.get(kind).into_iter().flatten() {
                let case = Case {
                    series,
                    legacy: &nobody,
                    since: 0,
                };
                if *tenant > 0 && judge_outcome(case, limits, *share, now).verdict == Verdict::Fail
                {
                    suspects.insert(*tenant);
                }
            }
        }
        suspects.into_iter().collect()
    }

    /// Judges a capability; `standing` knows of every suspect that is on the modern side.
    pub fn judge(
        &self,
        capability: &str,
        limits: &Limits,
        standing: &Standing,
        k: usize,
        now: Bin,
    ) -> Judgement {
        let nothing = Seen::default();
        let seen = self.capabilities.get(capability).unwrap_or(&nothing);
        let whole = |series: &Series, outcomes_of: &dyn Fn(&str) -> Series| {
            let case = Case {
                series,
                legacy: &seen.legacy,
                since: standing.since,
            };
            worst(case, limits, outcomes_of, now)
        };
        let reported = |kind: &str, tenant: i64| {
            let tenants = seen.outcomes.get(kind);
            tenants
                .and_then(|it| it.get(&tenant))
                .cloned()
                .unwrap_or_default()
        };
        let finding = whole(&seen.modern, &|kind| reported(kind, 0));

        let mut failing = Vec::new();
        let mut suspects: Vec<_> = standing.tenants.iter().collect();
        suspects.sort_by_key(|(tenant, _)| **tenant);
        for (tenant, (since, wave)) in suspects {
            let series = seen.tenants.get(tenant).cloned().unwrap_or_default();
            let case = Case {
                series: &series,
                legacy: &seen.legacy,
                since: *since,
            };
            let found = worst(case, limits, &|kind| reported(kind, *tenant), now);
            if found.verdict == Verdict::Fail {
                failing.push(Failing {
                    tenant: *tenant,
                    wave: wave.clone(),
                    finding: found,
                });
            }
        }

        let fails = finding.verdict == Verdict::Fail;
        let fails_without_them = fails && {
            let mut rest = seen.modern.clone();
            for it in &failing {
                if let Some(series) = seen.tenants.get(&it.tenant) {
                    rest.subtract(series);
                }
            }
            let others = |kind: &str| {
                let mut rest = reported(kind, 0);
                for it in &failing {
                    rest.subtract(&reported(kind, it.tenant));
                }
                rest
            };
            whole(&rest, &others).verdict == Verdict::Fail
        };
        let pool = Pool {
            fails,
            fails_without_them,
            taken_back: &standing.taken_back,
            k,
        };
        let extents = extent(&failing, pool);
        let verdict = match finding.verdict {
            _ if !extents.is_empty() => Verdict::Fail,
            Verdict::Fail => Verdict::Insufficient,
            // What somebody does not tell may be the worse part.
            _ if standing.silent => Verdict::NoData,
            verdict => verdict,
        };
        Judgement {
            verdict,
            finding,
            failing,
            extents,
        }
    }

    /// Milliseconds below which half, 95 % and 99 % of a side's answers were, of the last `bins` buckets. An answer above the
    /// last bound makes it infinite, which is `None`, as is no answer at all.
    pub fn quantiles(
        &self,
        capability: &str,
        side: Asked,
        from: Bin,
        until: Bin,
    ) -> [Option<u32>; 3] {
        let mut sum = [0u64; CELLS];
        let seen = self.capabilities.get(capability);
        for ((bin, of), cells) in seen.iter().flat_map(|seen| &seen.latency) {
            if (from..until).contains(bin) && *of == side {
                for (cell, more) in sum.iter_mut().zip(cells) {
                    *cell += more;
                }
            }
        }
        [0.5, 0.95, 0.99].map(|q| quantile(&sum, q))
    }
}

/// The worst of the requests and of every reported outcome.
fn worst(
    case: Case<'_>,
    limits: &Limits,
    outcomes_of: &dyn Fn(&str) -> Series,
    now: Bin,
) -> Finding {
    let by_requests = judge(case, limits, now);
    if by_requests.verdict == Verdict::Fail {
        return by_requests;
    }
    let nobody = Series::default();
    for (kind, share) in &limits.outcomes {
        let series = outcomes_of(kind);
        let case = Case {
            series: &series,
            legacy: &nobody,
            since: case.since,
        };
        let found = judge_outcome(case, limits, *share, now);
        if found.verdict == Verdict::Fail {
            let kind = Some(kind.clone());
            return Finding { kind, ..found };
        }
    }
    by_requests
}

/// The upper bound of the cell in which the quantile lies.
fn quantile(cells: &[u64; CELLS], q: f64) -> Option<u32> {
    let all: u64 = cells.iter().sum();
    let wanted = (all as f64 * q).ceil() as u64;
    let mut below = 0;
    for (place, count) in cells.iter().enumerate() {
        below += count;
        if all > 0 && below >= wanted {
            return crate::rollout::outcomes::BOUNDS.get(place).copied();
        }
    }
    None
}
