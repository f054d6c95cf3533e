//! Sends spans to a collector, in batches, from a task of its own.
//!
//! Its own file, because a collector may be slow, away or wrong, and none of it may reach a request or hold up a stop.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Config, Left, collector, spans};
use crate::telemetry::Metrics;

/// Requests in one batch, of some six spans each.
const BATCH: usize = 256;
/// A request waits this long for company.
const GATHER: Duration = Duration::from_millis(500);
/// At the stop, for what waits: less than the tasks are given.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// The collector's end of the traces.
pub struct Exporter {
    waiting: mpsc::Receiver<Left>,
    collector: SpanExporter,
    timeout: Duration,
    sent: Counter,
    dropped: Counter,
    failing: bool,
}

impl Exporter {
    /// Within a runtime. Connects when there is something to send.
    pub(super) fn connect(
        config: &Config,
        endpoint: &str,
        waiting: mpsc::Receiver<Left>,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let mut collector = collector::open(config, endpoint)?;
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.clone())
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ));
        collector.set_resource(&resource.build());
        Ok(Self {
            waiting,
            collector,
            timeout: config.timeout,
            sent: metrics.spans.sent.clone(),
            dropped: metrics.spans.dropped.clone(),
            failing: false,
        })
    }

    /// Until `stop`, and then what waits, for [`LAST_SPANS`] at most.
    pub async fn run(mut self, stop: CancellationToken) {
        let patience = async {
            stop.cancelled().await;
            sleep(LAST_SPANS).await;
        };
        let in_time = tokio::select! {
            () = self.work(&stop) => true,
            () = patience => false,
        };
        if !in_time {
            tracing::warn!("gave up sending the last spans");
        }
    }

    async fn work(&mut self, stop: &CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let got = tokio::select! {
                biased;
                got = self.waiting.recv_many(&mut batch, BATCH) => got,
                () = stop.cancelled() => 0,
            };
            if got == 0 {
                return;
            }
            if got < BATCH {
                tokio::select! {
                    () = sleep(GATHER) => {}
                    () = stop.cancelled() => {}
                }
                while batch.len() < BATCH
                    && let Ok(record) = self.waiting.try_recv()
                {
                    batch.push(record);
                }
            }
            self.send(&batch).await;
            batch.clear();
        }
    }

    /// What cannot be sent now is not tried again later: the next batch is newer, and memory has a bound.
    async fn send(&mut self, batch: &[Left]) {
        let spans: Vec<_> = batch.iter().flat_map(spans::of_left).collect();
        let count = spans.len() as u64;
        let sent = match timeout(self.timeout, self.collector.export(spans)).await {
            Ok(sent) => sent.map_err(|e| e.to_string()),
            Err(_) => Err(format!("no answer in {:?}", self.timeout)),
        };
        match sent {
            Ok(()) => {
                self.sent.inc_by(count);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("spans reach the collector again");
                }
            }
            Err(problem) => {
                self.dropped.inc_by(count);
                // Once until it works again: a collector that is away must not fill the log.
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(
                        problem,
                        "spans do not reach the collector; they are dropped"
                    );
                }
            }
        }
    }
}

/// `name: value`, a line each.
pub fn read_headers(text: &str) -> Result<HeaderMap, String> {
    let expected = || "expected \"name: value\", a line for each header".to_owned();
    let mut headers = HeaderMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(expected)?;
        let name: HeaderName = name.trim().parse().map_err(|_| expected())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| expected())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_and_values_may_hold_anything_but_line_ends() {
        let read =
            read_headers("authorization: Basic a2V5OnY=, x:y\n\n x-scope:1 \n").expect("two");
        assert_eq!(read["authorization"], "Basic a2V5OnY=, x:y");
        assert_eq!((read["x-scope"].as_bytes(), read.len()), (&b"1"[..], 2));
        for bad in ["authorization", "a b: c", ": c", "a: \u{7}"] {
            assert!(read_headers(bad).is_err(), "{bad:?}");
        }
        assert!(!format!("{read:?}").contains("a2V5"));
    }
}
