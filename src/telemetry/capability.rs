//! The counters of one capability, resolved before its requests come.
//!
//! Its own file, because requests count through these on every answer, and nothing here looks a label up twice.

use std::sync::OnceLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::histogram::Histogram;
use crate::flags::{Reason, Side};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) capability: String,
    pub(super) side: &'static str,
    pub(super) status: u16,
}

/// Statuses 100 to 599 are counted each; anything else counts as 599's neighbour, 0.
pub(super) const STATUSES: usize = 600;

/// The counters of one capability.
pub struct CapabilityMetrics {
    pub(super) legacy: SideMetrics,
    pub(super) modern: SideMetrics,
    pub(super) decided_legacy: [Counter; Reason::ALL.len()],
    pub(super) decided_modern: [Counter; 3],
}

pub(super) struct SideMetrics {
    pub(super) requests: Family<RequestLabels, Counter>,
    pub(super) labels: RequestLabels,
    /// Made when a status is first seen, read without a lock from then on.
    pub(super) by_status: Box<[OnceLock<Counter>]>,
    pub(super) seconds: Histogram,
}

impl CapabilityMetrics {
    /// Counts an answer. `None`: the client went away before there was a status.
    pub fn count(&self, side: Side, status: Option<u16>, seconds: f64) {
        let side = self.side(side);
        let status = status.filter(|s| usize::from(*s) < STATUSES).unwrap_or(0);
        let make = || {
            side.requests.get_or_create_owned(&RequestLabels {
                status,
                ..side.labels.clone()
            })
        };
        side.by_status[usize::from(status)].get_or_init(make).inc();
        side.seconds.observe(seconds);
    }

    fn side(&self, side: Side) -> &SideMetrics {
        match side {
            Side::Legacy => &self.legacy,
            Side::Modern => &self.modern,
        }
    }

    /// Remembers a counted answer that was recorded.
    pub fn exemplify(&self, side: Side, seconds: f64, trace: u128) {
        self.side(side).seconds.exemplify(seconds, trace);
    }

    pub fn count_decision(&self, side: Side, reason: Reason) {
        match side {
            Side::Legacy => self.decided_legacy[reason as usize].inc(),
            Side::Modern => {
                let place = match reason {
                    Reason::Route => 1,
                    Reason::Split => 2,
                    _ => 0,
                };
                self.decided_modern[place].inc()
            }
        };
    }
}
