//! The metrics of upstreams: which addresses are well, whether the breaker is open, what failed.
//!
//! Its own file, because addresses come and go while the process runs, and their series with them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    upstream: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AddressLabels {
    upstream: String,
    address: String,
}

#[derive(Clone, Default)]
pub(super) struct UpstreamFamilies {
    failures: Family<FailureLabels, Counter>,
    retries: Family<UpstreamLabels, Counter>,
    ejections: Family<UpstreamLabels, Counter>,
    breaker: Family<UpstreamLabels, Gauge>,
    healthy: Family<AddressLabels, Gauge>,
}

impl UpstreamFamilies {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "upstream_failures",
            "Attempts that an upstream failed",
            self.failures.clone(),
        );
        r.register(
            "upstream_retries",
            "Attempts that followed a failed one at the same upstream",
            self.retries.clone(),
        );
        r.register(
            "upstream_ejections",
            "Addresses left out for a while because requests to them failed",
            self.ejections.clone(),
        );
        r.register(
            "breaker_state",
            "The circuit breaker: 0 closed, 1 half-open, 2 open",
            self.breaker.clone(),
        );
        r.register(
            "upstream_healthy",
            "1 for an address that requests may go to",
            self.healthy.clone(),
        );
    }

    pub(super) fn of(&self, upstream: &str, kinds: &[&'static str]) -> UpstreamMetrics {
        let upstream = upstream.to_owned();
        let labels = UpstreamLabels {
            upstream: upstream.clone(),
        };
        let failures = kinds.iter().map(|kind| {
            self.failures.get_or_create_owned(&FailureLabels {
                upstream: upstream.clone(),
                kind,
            })
        });
        UpstreamMetrics {
            failures: failures.collect(),
            retries: self.retries.get_or_create_owned(&labels),
            ejections: self.ejections.get_or_create_owned(&labels),
            families: self.clone(),
            labels,
            told: ArcSwap::default(),
        }
    }
}

/// The handles of one upstream.
pub struct UpstreamMetrics {
    failures: Box<[Counter]>,
    retries: Counter,
    ejections: Counter,
    families: UpstreamFamilies,
    labels: UpstreamLabels,
    /// The addresses that have a series.
    told: ArcSwap<BTreeSet<SocketAddr>>,
}

impl UpstreamMetrics {
    /// Counts a failed attempt; `kind` is its place among those that this was made with.
    pub fn failed(&self, kind: usize) {
        if let Some(counter) = self.failures.get(kind) {
            counter.inc();
        }
    }

    pub fn retried(&self) {
        self.retries.inc();
    }

    pub fn ejected(&self) {
        self.ejections.inc();
    }

    pub fn breaker(&self, state: i64) {
        let gauge = self.families.breaker.get_or_create_owned(&self.labels);
        gauge.set(state);
    }

    /// Sets every address that there is, and forgets every other. Not for a request's path: it takes a lock.
    pub fn healthy(&self, addresses: impl Iterator<Item = (SocketAddr, bool)>) {
        let mut now = BTreeSet::new();
        for (address, is_healthy) in addresses {
            now.insert(address);
            let labels = self.address(address);
            let gauge = self.families.healthy.get_or_create_owned(&labels);
            gauge.set(i64::from(is_healthy));
        }
        let before = self.told.swap(Arc::new(now.clone()));
        for gone in before.difference(&now) {
            self.families.healthy.remove(&self.address(*gone));
        }
    }

    /// The upstream is gone: what counts stays, what says how things are goes.
    pub fn forget(&self) {
        self.healthy(std::iter::empty());
        self.families.breaker.remove(&self.labels);
    }

    fn address(&self, address: SocketAddr) -> AddressLabels {
        AddressLabels {
            upstream: self.labels.upstream.clone(),
            address: address.to_string(),
        }
    }
}
