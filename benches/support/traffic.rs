//! Invented traffic for the guard, and two fixed thresholds beside it: deterministic by their seed.
//!
//! Its own file, because the bench plays whole days of it and a test plays hours.

#![allow(dead_code, reason = "the test uses a part of it")]

use std::time::Duration;

use ficus::rollout::guard::Config;
use ficus::rollout::guard::memory::Bucket;
use ficus::rollout::guard::replay::Replay;
use ficus::rollout::outcomes::{Asked, Cell, Ending};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Buckets of 10 s in a minute.
pub const MINUTE: i64 = 6;
pub const CAPABILITY: &str = "dashboard";
/// The one tenant that has moved.
pub const TENANT: i64 = 7;

/// How one side behaves in a bucket.
#[derive(Clone, Copy)]
pub struct Mood {
    pub per_minute: f64,
    /// Exactly so often, evenly, and not by chance.
    pub even: bool,
    pub errors: f64,
    /// Requests that take 800 ms.
    pub slow: f64,
}

pub const HEALTHY: Mood = Mood {
    per_minute: 200.0,
    even: false,
    errors: 0.001,
    slow: 0.01,
};

/// Both sides in a bucket; `None`: nobody tells.
pub type Script = dyn Fn(i64) -> Option<(Mood, Mood)>;

/// What became of a run.
#[derive(Debug, Default, PartialEq)]
pub struct Run {
    /// The bucket at whose begin the guard took back.
    pub rolled_back: Option<i64>,
    pub rollbacks: usize,
    pub shared_alerts: usize,
    /// Requests of the modern side until then, and the failed ones among them, from `onset` on.
    pub requests: u64,
    pub failed: u64,
    /// Buckets by the verdict at their end: pass, insufficient, no-data, fail.
    pub verdicts: [usize; 4],
    /// When the fixed thresholds would have.
    pub flagger: Option<i64>,
    pub argo: Option<i64>,
}

/// Plays `bins` buckets. Requests of the modern side end when the guard has taken them back; the fixed thresholds look
/// at the same traffic until then, and at what would have come after it.
pub fn run(seed: u64, bins: i64, onset: i64, script: &Script) -> Run {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut guard = Replay::new(Config::default());
    let (mut flagger, mut argo) = (Flagger::default(), Argo::default());
    let mut minute = Minute::default();
    let mut run = Run::default();
    let base = 1_000_000;
    for bin in 0..bins {
        let moods = script(bin);
        guard.silent = moods.is_none();
        if let Some((modern, legacy)) = moods {
            let cell = traffic(&mut chance, bin, modern);
            minute.add(&cell);
            if run.rolled_back.is_none() {
                if bin >= onset {
                    run.requests += cell.requests;
                    run.failed += cell.errors;
                }
                guard.add(&bucket(base + bin, Asked::Modern, TENANT, cell));
            }
            let cell = traffic(&mut chance, bin, legacy);
            guard.add(&bucket(base + bin, Asked::Legacy, 0, cell));
        }
        let (judgement, taken) = guard.judge(CAPABILITY, base + bin + 1);
        run.verdicts[judgement.verdict.number() as usize] += 1;
        if !taken.is_empty() {
            run.rollbacks += 1;
            run.rolled_back.get_or_insert(bin + 1);
        }
        if (bin + 1) % MINUTE == 0 {
            let ended = std::mem::take(&mut minute);
            if flagger.judge(&ended) {
                run.flagger.get_or_insert(bin + 1);
            }
            if argo.judge(&ended) {
                run.argo.get_or_insert(bin + 1);
            }
        }
    }
    run.shared_alerts = guard.shared_alerts;
    run
}

fn bucket(at: i64, side: Asked, tenant: i64, cell: Cell) -> Bucket {
    Bucket {
        at,
        capability: CAPABILITY.to_owned(),
        side,
        tenant,
        cell,
    }
}

fn traffic(chance: &mut StdRng, bin: i64, mood: Mood) -> Cell {
    let mut cell = Cell::default();
    let expected = mood.per_minute / MINUTE as f64;
    let count = match mood.even {
        true => ((bin + 1) as f64 * expected) as u64 - (bin as f64 * expected) as u64,
        false => poisson(chance, expected),
    };
    for _ in 0..count {
        let ending = match chance.random_bool(mood.errors) {
            true => Ending::Failed,
            false => Ending::Answered,
        };
        let took = match chance.random_bool(mood.slow) {
            true => 800,
            false => chance.random_range(20..180),
        };
        cell.count(ending, Duration::from_millis(took));
    }
    cell
}

/// By multiplication of uniform numbers (Knuth), in parts, so that nothing underflows.
fn poisson(chance: &mut StdRng, mean: f64) -> u64 {
    let mut left = mean;
    let mut count = 0;
    while left > 0.0 {
        let part = left.min(30.0);
        let (bound, mut product) = ((-part).exp(), chance.random::<f64>());
        while product > bound {
            count += 1;
            product *= chance.random::<f64>();
        }
        left -= part;
    }
    count
}

/// A minute as a query of Prometheus would see it.
#[derive(Default)]
pub struct Minute {
    requests: u64,
    errors: u64,
    slow: u64,
}

impl Minute {
    fn add(&mut self, cell: &Cell) {
        self.requests += cell.requests;
        self.errors += cell.errors;
        self.slow += cell.slower_than(Duration::from_millis(500));
    }

    /// More than 1 % errors, or p95 above 500 ms. `None`: no values.
    fn is_bad(&self) -> Option<bool> {
        (self.requests > 0)
            .then(|| self.errors * 100 > self.requests || self.slow * 20 > self.requests)
    }
}

/// Flagger's analysis: an interval of a minute, a threshold of 10 failed checks, as in the sample of its documentation. Checks
/// that fail add up over the run, and one without values is a failed one.
#[derive(Default)]
pub struct Flagger {
    failed: u32,
}

impl Flagger {
    fn judge(&mut self, minute: &Minute) -> bool {
        self.failed += u32::from(minute.is_bad().unwrap_or(true));
        self.failed >= 10
    }
}

/// Argo Rollouts' analysis: an interval of a minute, a failureLimit of 0, a consecutiveErrorLimit of 4: its defaults. A
/// query without values is an error.
#[derive(Default)]
pub struct Argo {
    errors: u32,
}

impl Argo {
    fn judge(&mut self, minute: &Minute) -> bool {
        match minute.is_bad() {
            Some(is_bad) => {
                self.errors = 0;
                is_bad
            }
            None => {
                self.errors += 1;
                self.errors > 4
            }
        }
    }
}
