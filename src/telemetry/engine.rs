//! The metrics of the messaging engine: what became of messages, how long it took, how many wait, which came twice.
//!
//! Its own file, because they are the engine's, which outlives the rest; nothing of them names a recipient or a tenant.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::histogram::Histogram;

/// Upper bounds of a message's time, in seconds: from a burst that leaves at once to the last rung of the ladder.
const BOUNDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
    14_400.0, 86_400.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    channel: &'static str,
    provider: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabel {
    channel: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallbackLabels {
    provider: &'static str,
    result: &'static str,
}

/// Clones count the same.
#[derive(Clone)]
pub struct EngineMetrics {
    messages: Family<MessageLabels, Counter>,
    seconds: Family<ChannelLabel, Histogram, fn() -> Histogram>,
    depth: Family<ChannelLabel, Gauge>,
    duplicates: Family<SourceLabel, Counter>,
    drift: Family<ChannelLabel, Gauge>,
    callbacks: Family<CallbackLabels, Counter>,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        Self {
            messages: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::with(BOUNDS)),
            depth: Family::default(),
            duplicates: Family::default(),
            drift: Family::default(),
            callbacks: Family::default(),
        }
    }
}

impl EngineMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "messages",
            "Ends of attempts: sent, failed, dead, deferred or uncertain",
            self.messages.clone(),
        );
        r.register(
            "message_seconds",
            "From a message's acceptance here to its acceptance by the other side",
            self.seconds.clone(),
        );
        r.register(
            "queue_depth",
            "Messages that wait to be sent now, of all engines, estimated every 30 s",
            self.depth.clone(),
        );
        r.register(
            "duplicates",
            "Messages that were known by their key and not stored again, by who handed them in",
            self.duplicates.clone(),
        );
        r.register(
            "quota_drift",
            "The greatest difference between a tenant's quota in legacy's tables and what is held here, looked at every hour by one engine",
            self.drift.clone(),
        );
        r.register(
            "callbacks",
            "What vendors of texts reported: recorded, or why it changed nothing",
            self.callbacks.clone(),
        );
    }

    /// An attempt has ended.
    pub fn ended(&self, channel: &'static str, provider: &str, outcome: &'static str) {
        let labels = MessageLabels {
            channel,
            provider: provider.to_owned(),
            outcome,
        };
        self.messages.get_or_create(&labels).inc();
    }

    /// The other side has a message, so long after we had it.
    pub fn sent_after(&self, channel: &'static str, seconds: f64) {
        let histogram = self.seconds.get_or_create(&ChannelLabel { channel });
        histogram.observe(seconds);
    }

    pub fn queued(&self, channel: &'static str, messages: i64) {
        let gauge = self.depth.get_or_create(&ChannelLabel { channel });
        gauge.set(messages);
    }

    /// By how much the quota of the tenant that differs most does.
    pub fn quota_drift(&self, channel: &'static str, messages: i64) {
        let gauge = self.drift.get_or_create(&ChannelLabel { channel });
        gauge.set(messages);
    }

    /// A vendor has reported, or somebody in its name.
    pub fn callback(&self, provider: &'static str, result: &'static str) {
        let labels = CallbackLabels { provider, result };
        self.callbacks.get_or_create(&labels).inc();
    }

    pub fn duplicates(&self, source: &'static str, count: u64) {
        let counter = self.duplicates.get_or_create(&SourceLabel { source });
        counter.inc_by(count);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;

    #[test]
    fn the_contract_names_of_the_engine_stand_in_the_text() {
        let metrics = Metrics::new();
        metrics.engine.ended("email", "relay-1", "sent");
        metrics.engine.sent_after("email", 1800.0);
        metrics.engine.queued("sms", 3);
        metrics.engine.duplicates("api", 2);
        metrics.engine.quota_drift("email", 12);
        metrics.engine.callback("twilio", "forged");
        let text = metrics.encode(None);
        for line in [
            r#"ficus_messages_total{channel="email",provider="relay-1",outcome="sent"} 1"#,
            r#"ficus_message_seconds_bucket{le="900.0",channel="email"} 0"#,
            r#"ficus_message_seconds_bucket{le="3600.0",channel="email"} 1"#,
            r#"ficus_message_seconds_sum{channel="email"} 1800.0"#,
            r#"ficus_queue_depth{channel="sms"} 3"#,
            r#"ficus_duplicates_total{source="api"} 2"#,
            r#"ficus_quota_drift{channel="email"} 12"#,
            r#"ficus_callbacks_total{provider="twilio",result="forged"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
