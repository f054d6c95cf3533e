//! Traces: which requests are recorded, what is kept of them, and how their spans reach a collector.
//!
//! Its own folder, because a request only leaves timestamps behind; that those become OpenTelemetry's spans concerns
//! nobody outside. [`sample`] chooses, [`record`] is what a request leaves, [`spans`] makes spans of it, [`export`] sends.

pub mod export;
mod record;
mod sample;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

pub use export::Exporter;
pub use record::{Attempt, Record, Trace};
pub use sample::{Parent, Sampling};

use super::Metrics;
use crate::ids::TenantRef;
use crate::secret::Secret;

/// What `[telemetry.traces]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The collector. `None`: nothing is recorded.
    pub endpoint: Option<String>,
    pub protocol: Protocol,
    /// `name: value`, a line each; checked with [`export::read_headers`].
    pub headers: Secret,
    /// Of a million requests, how many are recorded.
    pub sample: u32,
    /// Every request of these is recorded.
    pub tenants: Vec<TenantRef>,
    pub service_name: String,
    /// For one batch to be taken.
    pub timeout: Duration,
    /// Requests whose spans wait to be sent, at most.
    pub queue: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Http,
}

/// The requests' end of the traces. Clones share one queue. There is none where traces are off.
#[derive(Clone)]
pub struct Tracer {
    sampling: Arc<ArcSwap<Sampling>>,
    queue: mpsc::Sender<Box<Record>>,
    dropped: Counter,
}

impl Tracer {
    /// The two ends: the second is to be run as a task. `None`: switched off.
    pub fn open(config: &Config, metrics: &Metrics) -> anyhow::Result<Option<(Self, Exporter)>> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(None);
        };
        let (queue, waiting) = mpsc::channel(config.queue);
        let tracer = Self {
            sampling: Arc::new(ArcSwap::from_pointee(Sampling::of(config))),
            queue,
            dropped: metrics.spans_dropped.clone(),
        };
        let exporter = Exporter::connect(config, endpoint, waiting, metrics)?;
        Ok(Some((tracer, exporter)))
    }

    /// Another choice of requests, from now on.
    pub fn resample(&self, config: &Config) {
        self.sampling.store(Arc::new(Sampling::of(config)));
    }

    /// Whether every request of this tenant is recorded.
    pub fn follows(&self, id: i64, slug: Option<&str>) -> bool {
        self.sampling.load().follows(id, slug)
    }

    /// Whether a request is recorded of which this is known.
    pub fn takes(&self, followed: bool, parent: Option<&Parent>) -> bool {
        followed || self.sampling.load().takes(parent, rand::random())
    }

    /// Never waits: what finds the queue full is dropped and counted.
    pub fn submit(&self, record: Box<Record>) {
        if let Err(refused) = self.queue.try_send(record) {
            let (mpsc::error::TrySendError::Full(record)
            | mpsc::error::TrySendError::Closed(record)) = refused;
            self.dropped.inc_by(record.count_spans());
        }
    }
}
