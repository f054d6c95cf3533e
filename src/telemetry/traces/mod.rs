//! Traces: which requests are recorded, what is kept of them, and how their spans reach a collector.
//!
//! Its own folder, because a request only leaves timestamps behind; that those become OpenTelemetry's spans concerns
//! nobody outside. [`sample`] chooses, [`record`] is what a request leaves, [`ended`] what outlives one, [`spans`] makes spans of it, [`export`] sends them
//! to a [`collector`].

mod collector;
mod ended;
pub mod export;
mod record;
mod sample;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

pub use ended::Ended;
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

/// What became of the spans.
#[derive(Clone, Default)]
pub struct SpanCounters {
    pub sent: Counter,
    pub dropped: Counter,
}

impl SpanCounters {
    pub fn register(&self, registry: &mut Registry) {
        let sent = "Spans that the collector took";
        registry.register("spans_sent", sent, self.sent.clone());
        let dropped = "Spans lost to a full queue or to a collector that did not take them";
        registry.register("spans_dropped", dropped, self.dropped.clone());
    }
}

/// What spans are made of.
pub enum Left {
    Request(Box<Record>),
    Ended(Ended),
}

impl Left {
    fn count_spans(&self) -> u64 {
        match self {
            Self::Request(record) => record.count_spans(),
            Self::Ended(_) => 1,
        }
    }
}

/// The requests' end of the traces. Clones share one queue. There is none where traces are off.
#[derive(Clone)]
pub struct Tracer {
    sampling: Arc<ArcSwap<Sampling>>,
    queue: mpsc::Sender<Left>,
    dropped: Counter,
}

impl Tracer {
    /// The two ends: the second is to be run as a task. `None`: switched off.
    pub fn open(config: &Config, metrics: &Metrics) -> anyhow::Result<Option<(Self, Exporter)>> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let ignored = collector::ignored(names);
        if !ignored.is_empty() {
            let variables = ignored.join(" ");
            tracing::warn!(
                variables,
                "not asked: [telemetry.traces] says which spans go where"
            );
        }
        let Some(endpoint) = &config.endpoint else {
            return Ok(None);
        };
        let (queue, waiting) = mpsc::channel(config.queue);
        let tracer = Self {
            sampling: Arc::new(ArcSwap::from_pointee(Sampling::of(config))),
            queue,
            dropped: metrics.spans.dropped.clone(),
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
        self.push(Left::Request(record));
    }

    /// As [`Self::submit`]: whoever asks has found that its request was recorded.
    pub fn submit_ended(&self, ended: Ended) {
        self.push(Left::Ended(ended));
    }

    fn push(&self, left: Left) {
        if let Err(refused) = self.queue.try_send(left) {
            let (mpsc::error::TrySendError::Full(left) | mpsc::error::TrySendError::Closed(left)) =
                refused;
            self.dropped.inc_by(left.count_spans());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;

    fn record() -> Box<Record> {
        Box::new(Record {
            trace: Trace::begin(Instant::now(), None, 1),
            took: Duration::ZERO,
            ended: SystemTime::now(),
            request_id: String::new(),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: None,
            scheme: "http",
            peer: None,
            status: None,
            error: None,
            tenant: None,
            identity: "none",
            capability: "none".to_owned(),
            side: None,
            reason: "none",
            fallback: None,
            revision: 0,
        })
    }

    #[test]
    fn what_finds_the_queue_full_is_counted_by_its_spans_and_nobody_waits() {
        let (queue, waiting) = mpsc::channel(1);
        let tracer = Tracer {
            sampling: Arc::new(ArcSwap::from_pointee(Sampling::default())),
            queue,
            dropped: Counter::default(),
        };
        let mut with_an_attempt = record();
        with_an_attempt.trace.attempt("legacy");
        tracer.submit(record());
        tracer.submit(with_an_attempt);
        assert_eq!(tracer.dropped.get(), 2);
        drop(waiting);
        tracer.submit(record());
        assert_eq!(tracer.dropped.get(), 3);
    }
}
