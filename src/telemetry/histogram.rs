//! A histogram of seconds that is counted without a lock.
//!
//! Its own file, because the library's own takes a lock on each observation, and requests observe.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds of the request histogram, in seconds: a decade in five steps, since p95 limits stand at 0.5 and 1.
const BOUNDS: [f64; 17] = [
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0,
    30.0,
];

/// A histogram of seconds that is counted without a lock.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    /// Ascending.
    bounds: &'static [f64],
    /// One a bound, and one for what lies above the last.
    counts: Box<[AtomicU64]>,
    micros: AtomicU64,
    /// The latest recorded request of each bucket.
    exemplars: Box<[ArcSwapOption<Exemplar>]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::with(&BOUNDS)
    }
}

/// One request of a bucket, which its trace tells more about.
#[derive(Debug)]
pub struct Exemplar {
    pub trace: u128,
    pub seconds: f64,
    pub at: SystemTime,
}

impl Histogram {
    /// With these upper bounds, ascending.
    pub fn with(bounds: &'static [f64]) -> Self {
        let cells = 0..=bounds.len();
        Self(Arc::new(Cells {
            bounds,
            counts: cells.clone().map(|_| AtomicU64::default()).collect(),
            micros: AtomicU64::default(),
            exemplars: cells.map(|_| ArcSwapOption::default()).collect(),
        }))
    }

    fn cell(&self, seconds: f64) -> usize {
        self.0.bounds.partition_point(|bound| *bound < seconds)
    }

    pub fn observe(&self, seconds: f64) {
        let cell = self.cell(seconds);
        self.0.counts[cell].fetch_add(1, Ordering::Relaxed);
        self.0
            .micros
            .fetch_add((seconds.max(0.0) * 1e6) as u64, Ordering::Relaxed);
    }

    /// Remembers an observed request by its trace.
    pub fn exemplify(&self, seconds: f64, trace: u128) {
        let cell = self.cell(seconds);
        self.0.exemplars[cell].store(Some(Arc::new(Exemplar {
            trace,
            seconds,
            at: SystemTime::now(),
        })));
    }

    /// Of the bucket up to `bound`, infinity for the last.
    pub fn exemplar(&self, bound: f64) -> Option<Arc<Exemplar>> {
        let cell = self.cell(bound);
        self.0.exemplars[cell].load_full()
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = self.0.bounds.iter().copied().chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds
            .zip(self.0.counts.iter().map(|c| c.load(Ordering::Relaxed)))
            .collect();
        let count = buckets.iter().map(|(_, n)| n).sum();
        let sum = self.0.micros.load(Ordering::Relaxed) as f64 / 1e6;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}
