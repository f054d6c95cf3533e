//! The metrics of the guard: its verdicts, and what of the counts was given up.
//!
//! Its own file, because only the leader judges: a process that is none any more must not go on showing verdicts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CapabilityLabel {
    capability: String,
}

#[derive(Clone, Default)]
pub struct GuardMetrics {
    verdicts: Family<CapabilityLabel, Gauge>,
    /// Buckets that PostgreSQL was away for too long to take.
    pub buckets_lost: Counter,
}

impl GuardMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "guard_verdict",
            "The newest verdict, where this process judges: 0 pass, 1 insufficient, 2 no-data, 3 fail",
            self.verdicts.clone(),
        );
        r.register(
            "guard_buckets_lost",
            "Buckets of 10 s whose counts were given up because the database took none for five minutes",
            self.buckets_lost.clone(),
        );
    }

    pub fn verdict(&self, capability: &str, verdict: i64) {
        let label = CapabilityLabel {
            capability: capability.to_owned(),
        };
        self.verdicts.get_or_create_owned(&label).set(verdict);
    }

    /// Nobody judges here any more.
    pub fn forget(&self) {
        self.verdicts.clear();
    }
}
