//! Every metric, declared once, as handles that are resolved before they are needed.
//!
//! Its own file: names of metrics are a contract with dashboards and alert rules. Counting takes an atomic add, no lock.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::capability::{CapabilityMetrics, RequestLabels, STATUSES, SideMetrics};
use super::engine::EngineMetrics;
use super::exemplars;
use super::guard::GuardMetrics;
use super::histogram::Histogram;
use super::traces::SpanCounters;
use super::upstream::{UpstreamFamilies, UpstreamMetrics};
use crate::flags::{Reason, Side};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SideLabels {
    capability: String,
    side: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    capability: String,
    side: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RollbackLabels {
    capability: String,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    capability: String,
    cause: &'static str,
}

/// Every metric of the process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<SideLabels, Histogram>,
    decisions: Family<DecisionLabels, Counter>,
    rollbacks: Family<RollbackLabels, Counter>,
    unresolved: Family<ReasonLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
    door_refused: Family<ReasonLabels, Counter>,
    upstream: UpstreamFamilies,
    fallbacks: Family<FallbackLabels, Counter>,
    snapshot_age: Gauge<f64, AtomicU64>,
    pub revision: Gauge,
    pub tenants: Gauge,
    pub database_up: Gauge,
    pub propagation: Histogram,
    pub rows_rejected: Counter,
    pub snapshots_refused: Counter,
    pub config_reloads: Counter,
    pub config_refused: Counter,
    pub log_lines_dropped: Counter,
    pub spans: SpanCounters,
    pub rate_limits_forgotten: Counter,
    pub rate_limits_counted_alone: Counter,
    pub preflights: Counter,
    pub in_flight: Gauge,
    pub connections: Gauge,
    pub writes_in_flight: Gauge,
    pub freezes: Gauge,
    pub slow_readers: Gauge,
    pub guard: GuardMetrics,
    pub engine: EngineMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("ficus"),
            requests: Family::default(),
            request_seconds: Family::default(),
            decisions: Family::default(),
            rollbacks: Family::default(),
            unresolved: Family::default(),
            refused: Family::default(),
            door_refused: Family::default(),
            upstream: UpstreamFamilies::default(),
            fallbacks: Family::default(),
            snapshot_age: Gauge::default(),
            revision: Gauge::default(),
            tenants: Gauge::default(),
            database_up: Gauge::default(),
            propagation: Histogram::default(),
            rows_rejected: Counter::default(),
            snapshots_refused: Counter::default(),
            config_reloads: Counter::default(),
            config_refused: Counter::default(),
            log_lines_dropped: Counter::default(),
            spans: SpanCounters::default(),
            rate_limits_forgotten: Counter::default(),
            rate_limits_counted_alone: Counter::default(),
            preflights: Counter::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            writes_in_flight: Gauge::default(),
            freezes: Gauge::default(),
            slow_readers: Gauge::default(),
            guard: GuardMetrics::default(),
            engine: EngineMetrics::default(),
        };
        let r = &mut metrics.registry;
        // The text format adds `_total` to counters and the unit to what has one.
        r.register("requests", "Requests answered", metrics.requests.clone());
        r.register(
            "request_seconds",
            "From the request's head to the answer's end",
            metrics.request_seconds.clone(),
        );
        r.register(
            "decisions",
            "Decisions by the side chosen and what decided",
            metrics.decisions.clone(),
        );
        r.register(
            "rollbacks",
            "Rollbacks that this process carried out",
            metrics.rollbacks.clone(),
        );
        r.register(
            "identity_unresolved",
            "Requests that named no tenant, by reason",
            metrics.unresolved.clone(),
        );
        r.register(
            "requests_refused",
            "Requests that ficus itself refused, by reason",
            metrics.refused.clone(),
        );
        metrics.upstream.register(r);
        r.register(
            "door_refused",
            "Requests and connections that the door refused or let go, by what was wrong with them",
            metrics.door_refused.clone(),
        );
        r.register(
            "fallbacks",
            "Requests that legacy answered in modern's place, by cause",
            metrics.fallbacks.clone(),
        );
        r.register_with_unit(
            "snapshot_age",
            "Since the database last confirmed the snapshot; -1 before it did",
            Unit::Seconds,
            metrics.snapshot_age.clone(),
        );
        r.register(
            "revision",
            "Revision of the control state in force",
            metrics.revision.clone(),
        );
        r.register(
            "tenants",
            "Tenants in the snapshot",
            metrics.tenants.clone(),
        );
        r.register(
            "database_up",
            "1 while in step with the database",
            metrics.database_up.clone(),
        );
        r.register_with_unit(
            "propagation",
            "From a change's commit to this process's report of it",
            Unit::Seconds,
            metrics.propagation.clone(),
        );
        r.register(
            "control_rows_rejected",
            "Rows of the control state that make no sense to this version",
            metrics.rows_rejected.clone(),
        );
        r.register(
            "snapshots_refused",
            "Snapshots refused because they are older than the one in force",
            metrics.snapshots_refused.clone(),
        );
        r.register(
            "config_reloads",
            "Configurations put in force while running",
            metrics.config_reloads.clone(),
        );
        r.register(
            "config_refused",
            "Changed configurations refused for a fault",
            metrics.config_refused.clone(),
        );
        r.register(
            "access_log_dropped",
            "Access-log lines dropped because the writer could not keep up",
            metrics.log_lines_dropped.clone(),
        );
        metrics.spans.register(r);
        r.register(
            "rate_limits_counted_alone",
            "Requests counted by this process alone since Redis did not answer in time",
            metrics.rate_limits_counted_alone.clone(),
        );
        r.register(
            "rate_limits_forgotten",
            "Rate-limit counters in use that made room for others",
            metrics.rate_limits_forgotten.clone(),
        );
        r.register(
            "preflights",
            "CORS preflights that ficus answered in an application's place",
            metrics.preflights.clone(),
        );
        r.register(
            "requests_in_flight",
            "Requests being answered now",
            metrics.in_flight.clone(),
        );
        r.register(
            "connections",
            "Connections of clients that are open",
            metrics.connections.clone(),
        );
        r.register(
            "writes_in_flight",
            "Requests being answered now that write, which a freeze would wait for",
            metrics.writes_in_flight.clone(),
        );
        r.register(
            "freezes",
            "Freezes in force on this process",
            metrics.freezes.clone(),
        );
        r.register(
            "slow_readers",
            "Clients whose answers wait for them now",
            metrics.slow_readers.clone(),
        );
        metrics.guard.register(r);
        metrics.engine.register(r);
        metrics
    }

    /// OpenMetrics text. `snapshot_age`: see [`crate::flags::Flags::age`].
    pub fn encode(&self, snapshot_age: Option<std::time::Duration>) -> String {
        self.snapshot_age
            .set(snapshot_age.map_or(-1.0, |age| age.as_secs_f64()));
        let mut text = String::with_capacity(16 * 1024);
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            tracing::error!("a metric could not be written as text");
        }
        text
    }

    /// The same, with a recorded request beside each bucket that has one.
    pub fn encode_with_exemplars(&self, snapshot_age: Option<std::time::Duration>) -> String {
        let text = self.encode(snapshot_age);
        exemplars::put_in(&text, "ficus_request_seconds_bucket", |labels| {
            let side = [Side::Legacy, Side::Modern]
                .into_iter()
                .find(|s| s.as_str() == labels.of("side"))?;
            let family = SideLabels {
                capability: labels.of("capability").to_owned(),
                side: side.as_str(),
            };
            let bound = labels.of("le").parse().ok()?;
            self.request_seconds.get(&family)?.exemplar(bound)
        })
    }

    pub fn count_rollback(&self, capability: &str, cause: &'static str) {
        self.rollbacks
            .get_or_create(&RollbackLabels {
                capability: capability.to_owned(),
                cause,
            })
            .inc();
    }

    /// The handles of one capability, resolved once for each routing table.
    pub fn capability(&self, capability: &str) -> CapabilityMetrics {
        let side = |side: Side| SideMetrics {
            requests: self.requests.clone(),
            labels: RequestLabels {
                capability: capability.to_owned(),
                side: side.as_str(),
                status: 0,
            },
            by_status: (0..STATUSES).map(|_| OnceLock::new()).collect(),
            seconds: self.request_seconds.get_or_create_owned(&SideLabels {
                capability: capability.to_owned(),
                side: side.as_str(),
            }),
        };
        let decision = |side: Side, reason: Reason| {
            let labels = DecisionLabels {
                capability: capability.to_owned(),
                side: side.as_str(),
                reason: reason.as_str(),
            };
            self.decisions.get_or_create_owned(&labels)
        };
        CapabilityMetrics {
            legacy: side(Side::Legacy),
            modern: side(Side::Modern),
            decided_legacy: Reason::ALL.map(|reason| decision(Side::Legacy, reason)),
            decided_modern: [Reason::Flag, Reason::Route, Reason::Split]
                .map(|reason| decision(Side::Modern, reason)),
        }
    }

    pub fn unresolved(&self, reason: &'static str) -> Counter {
        self.unresolved
            .get_or_create_owned(&ReasonLabels { reason })
    }

    pub fn refused(&self, reason: &'static str) -> Counter {
        self.refused.get_or_create_owned(&ReasonLabels { reason })
    }

    pub fn door_refused(&self, reason: &'static str) -> Counter {
        self.door_refused
            .get_or_create_owned(&ReasonLabels { reason })
    }

    /// The handles of one upstream; `kinds` are those of its failures.
    pub fn upstream(&self, upstream: &str, kinds: &[&'static str]) -> UpstreamMetrics {
        self.upstream.of(upstream, kinds)
    }

    pub fn fallback(&self, capability: &str, cause: &'static str) -> Counter {
        self.fallbacks.get_or_create_owned(&FallbackLabels {
            capability: capability.to_owned(),
            cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_names_stand_in_the_text() {
        let metrics = Metrics::new();
        let handles = metrics.capability("dashboard");
        handles.count(Side::Modern, Some(200), 0.004);
        handles.count_decision(Side::Modern, Reason::Flag);
        metrics.count_rollback("dashboard", "operator");
        metrics.propagation.observe(0.01);
        let text = metrics.encode(Some(std::time::Duration::from_secs(3)));
        for line in [
            r#"ficus_requests_total{capability="dashboard",side="modern",status="200"} 1"#,
            r#"ficus_request_seconds_bucket{le="0.005",capability="dashboard",side="modern"} 1"#,
            r#"ficus_request_seconds_bucket{le="+Inf",capability="dashboard",side="modern"} 1"#,
            r#"ficus_decisions_total{capability="dashboard",side="modern",reason="flag"} 1"#,
            r#"ficus_rollbacks_total{capability="dashboard",cause="operator"} 1"#,
            "ficus_revision 0",
            "ficus_snapshot_age_seconds 3.0",
            "ficus_propagation_seconds_count 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_reasons_are_numbered_as_they_are_listed() {
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }
}
