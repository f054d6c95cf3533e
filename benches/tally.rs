//! What it costs a request to be counted for the guard: the worker's own table, on one thread.
//!
//! Its own file, because criterion builds one binary a bench.

#![allow(
    clippy::expect_used,
    reason = "a bench that cannot be set up has nothing to measure"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ficus::rollout::outcomes::{Asked, CapabilityId, Collector, Ending, Key};
use ficus::telemetry::Metrics;

/// Tenants that ask in one bucket: one, as many as fit into a cache, and more than a worker counts apart.
const TENANTS: [i64; 3] = [1, 1_000, 40_000];

fn count(criterion: &mut Criterion) {
    let (outcomes, _collector) = Collector::new(Arc::new(Metrics::new()));
    let capability = CapabilityId::of("dashboard").expect("a number");
    for tenants in TENANTS {
        // What the run before has counted belongs to it.
        outcomes.hand_over(0);
        let mut number: i64 = 0;
        criterion.bench_function(&format!("tally/count_of_{tenants}"), |b| {
            b.iter(|| {
                // Neither in order nor by chance: every tenant in turn, far from the one before.
                number = number.wrapping_add(7_919);
                let key = Key {
                    capability,
                    side: Asked::Modern,
                    tenant: 1 + number % tenants,
                };
                let ms = number as u64 % 1_000;
                let elapsed = Duration::from_millis(ms);
                outcomes.count(black_box(key), black_box(Ending::Answered), elapsed);
            });
        });
    }
}

criterion_group!(benches, count);
criterion_main!(benches);
