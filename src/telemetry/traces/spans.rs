//! Makes OpenTelemetry's spans of what a request left behind, by the semantic conventions for HTTP (1.27).
//!
//! Pure, and its own file, because what leaves the process about a request is decided here: no query, no header, no
//! body, no address of a client.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{Attempt, Ended, Left, Record};

/// What the conventions know; any other is `_OTHER`, since clients may make methods up.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT",
];

/// Whatever was left behind.
pub fn of_left(left: &Left) -> Vec<SpanData> {
    match left {
        Left::Request(record) => of(record),
        Left::Ended(ended) => vec![of_ended(ended)],
    }
}

/// One span, in the trace of the request that asked for it.
fn of_ended(ended: &Ended) -> SpanData {
    let attributes = ended.attributes.iter();
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(ended.parent.trace.to_be_bytes()),
            SpanId::from_bytes((rand::random::<u64>() | 1).to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::from_bytes(ended.parent.span.to_be_bytes()),
        parent_span_is_remote: true,
        span_kind: SpanKind::Consumer,
        name: Cow::Borrowed(ended.name),
        start_time: ended.begun.min(ended.ended),
        end_time: ended.ended,
        attributes: attributes
            .map(|(name, value)| KeyValue::new(*name, value.clone()))
            .collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match ended.is_failed {
            true => failed(),
            false => Status::Unset,
        },
        instrumentation_scope: scope(),
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("ficus")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}

/// The root first, then its phases in the order in which they began.
pub fn of(record: &Record) -> Vec<SpanData> {
    let make = Maker {
        record,
        began: record.ended - record.took,
    };
    let trace = &record.trace;
    let mut spans = Vec::with_capacity(record.count_spans() as usize);
    spans.push(make.root());
    if let Some((asked, named)) = trace.identity {
        let attributes = vec![KeyValue::new("ficus.identity", record.identity)];
        spans.push(make.phase("identity", (trace.span, asked, Some(named)), attributes));
    }
    if let Some(decided) = trace.decided {
        let begun = trace.identity.map_or(trace.begun, |(_, named)| named);
        let attributes = vec![KeyValue::new("ficus.reason", record.reason)];
        spans.push(make.phase("decide", (trace.span, begun, Some(decided)), attributes));
    }
    let last = trace.attempts.len().wrapping_sub(1);
    for (place, attempt) in trace.attempts.iter().enumerate() {
        spans.push(make.attempt(attempt, place, place == last));
        if let Some(connected) = attempt.connected.filter(|_| !attempt.reused) {
            let times = (attempt.span, attempt.begun, Some(connected));
            spans.push(make.phase("connect", times, Vec::new()));
        }
        if let Some((answered, _)) = attempt.answered {
            let times = (attempt.span, answered, attempt.ended);
            spans.push(make.phase("response", times, Vec::new()));
        }
    }
    spans
}

struct Maker<'a> {
    record: &'a Record,
    /// The wall clock when the request began.
    began: SystemTime,
}

impl Maker<'_> {
    /// A mark's time on the wall clock, never after the request's end.
    fn at(&self, mark: Instant) -> SystemTime {
        let since = mark.saturating_duration_since(self.record.trace.begun);
        self.began + since.min(self.record.took)
    }

    fn span(
        &self,
        (id, parent): (u64, u64),
        name: &'static str,
        span_kind: SpanKind,
        (begun, ended): (Instant, Option<Instant>),
        attributes: Vec<KeyValue>,
    ) -> SpanData {
        SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(self.record.trace.id.to_be_bytes()),
                SpanId::from_bytes(id.to_be_bytes()),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: SpanId::from_bytes(parent.to_be_bytes()),
            parent_span_is_remote: false,
            span_kind,
            name: Cow::Borrowed(name),
            start_time: self.at(begun),
            end_time: ended.map_or(self.record.ended, |ended| self.at(ended)),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope(),
        }
    }

    fn phase(
        &self,
        name: &'static str,
        (parent, begun, ended): (u64, Instant, Option<Instant>),
        attributes: Vec<KeyValue>,
    ) -> SpanData {
        let ids = (rand::random::<u64>() | 1, parent);
        self.span(ids, name, SpanKind::Internal, (begun, ended), attributes)
    }

    fn root(&self) -> SpanData {
        let (record, trace) = (self.record, &self.record.trace);
        let mut of = vec![
            KeyValue::new("http.request.method", method(&record.method)),
            KeyValue::new("url.path", record.path.clone()),
            KeyValue::new("url.scheme", record.scheme),
            KeyValue::new("ficus.request_id", record.request_id.clone()),
            KeyValue::new("ficus.capability", record.capability.clone()),
            KeyValue::new("ficus.reason", record.reason),
            KeyValue::new("ficus.revision", record.revision),
            KeyValue::new("ficus.attempts", trace.attempts.len() as i64),
        ];
        let mut add = |key: &'static str, value: Option<opentelemetry::Value>| {
            of.extend(value.map(|value| KeyValue::new(key, value)));
        };
        add("server.address", record.host.clone().map(Into::into));
        add(
            "network.peer.address",
            record.peer.map(|peer| peer.to_string().into()),
        );
        add(
            "http.response.status_code",
            record.status.map(|s| i64::from(s).into()),
        );
        add("error.type", record.error.clone().map(Into::into));
        add("ficus.tenant", record.tenant.map(Into::into));
        add(
            "ficus.identity",
            record.tenant.map(|_| record.identity.into()),
        );
        add("ficus.side", record.side.map(Into::into));
        add("ficus.fallback", record.fallback.map(Into::into));
        let upstream = trace
            .attempts
            .last()
            .map(|attempt| attempt.upstream.clone());
        add("ficus.upstream", upstream.map(Into::into));
        let mut span = self.span(
            (trace.span, trace.parent.unwrap_or(0)),
            "proxy request",
            SpanKind::Server,
            (trace.begun, None),
            of,
        );
        span.parent_span_is_remote = trace.parent.is_some();
        // A server's 4xx is its client's fault, and so is a client that went away: no error of this span.
        if record.status.is_some_and(|status| status >= 500) {
            span.status = failed();
        }
        span
    }

    fn attempt(&self, attempt: &Attempt, place: usize, is_last: bool) -> SpanData {
        let record = self.record;
        let mut of = vec![
            KeyValue::new("http.request.method", method(&record.method)),
            KeyValue::new("ficus.upstream", attempt.upstream.clone()),
            KeyValue::new("ficus.connection.reused", attempt.reused),
        ];
        if let Some(address) = attempt.address {
            of.push(KeyValue::new("server.address", address.ip().to_string()));
            of.push(KeyValue::new("server.port", i64::from(address.port())));
        }
        if place > 0 {
            of.push(KeyValue::new("http.request.resend_count", place as i64));
        }
        let status = attempt.answered.map(|(_, status)| status);
        if let Some(status) = status {
            of.push(KeyValue::new(
                "http.response.status_code",
                i64::from(status),
            ));
        }
        // Without an answer the reason is its own, or what ended the request, or that there was another attempt.
        let error = match (status, &attempt.error) {
            (_, Some(own)) => Some(own.clone()),
            (Some(status), None) if status >= 400 => Some(status.to_string()),
            (Some(_), None) => None,
            (None, None) if is_last => Some(record.error.clone().unwrap_or("_OTHER".to_owned())),
            (None, None) => Some("retried".to_owned()),
        };
        let is_error = error.is_some();
        of.extend(error.map(|error| KeyValue::new("error.type", error)));
        let times = (attempt.begun, attempt.ended);
        let ids = (attempt.span, record.trace.span);
        let mut span = self.span(ids, "upstream request", SpanKind::Client, times, of);
        if is_error {
            span.status = failed();
        }
        span
    }
}

fn method(method: &str) -> &'static str {
    let known = METHODS.iter().find(|known| **known == method);
    known.copied().unwrap_or("_OTHER")
}

/// The reason stands in `error.type`; a description would say it again.
fn failed() -> Status {
    Status::error("")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Parent, Trace};
    use super::*;

    fn record() -> Record {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let parent = Parent {
            trace: 9,
            span: 8,
            sampled: true,
        };
        let mut trace = Trace::begin(begun, Some(&parent), 1);
        trace.identity = Some((at(1), at(2)));
        trace.decided = Some(at(3));
        trace.attempt("legacy");
        trace.failed(None, "ConnectRefused");
        trace.attempt("legacy");
        trace.connected("127.0.0.1:80".parse().ok(), false);
        trace.answered(404);
        Record {
            trace,
            took: Duration::from_millis(50),
            ended: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
            request_id: "id".to_owned(),
            method: "BREW".to_owned(),
            path: "/a".to_owned(),
            host: None,
            scheme: "http",
            peer: None,
            status: Some(404),
            error: None,
            tenant: Some(2),
            identity: "header",
            capability: "dashboard".to_owned(),
            side: Some("legacy"),
            reason: "flag",
            fallback: None,
            revision: 5,
        }
    }

    fn value(span: &SpanData, key: &str) -> Option<String> {
        let found = span.attributes.iter().find(|it| it.key.as_str() == key);
        found.map(|it| it.value.as_str().into_owned())
    }

    #[test]
    fn a_record_is_as_many_spans_as_it_counts_and_each_within_the_request() {
        let record = record();
        let spans = of(&record);
        let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
        let (phases, attempt) = (["identity", "decide"], "upstream request");
        assert_eq!(names[1..3], phases);
        assert_eq!(names[3..], [attempt, attempt, "connect", "response"]);
        assert_eq!(spans.len() as u64, record.count_spans());
        let (begun, ended) = (spans[0].start_time, spans[0].end_time);
        assert_eq!(ended, record.ended);
        assert_eq!(ended, begun + record.took);
        for span in &spans {
            assert!(
                span.start_time >= begun && span.end_time <= ended,
                "{}",
                span.name
            );
            assert!(span.start_time <= span.end_time, "{}", span.name);
        }
    }

    #[test]
    fn the_root_is_the_peers_child_and_an_attempt_the_roots() {
        let spans = of(&record());
        let id = |span: &SpanData| span.span_context.span_id();
        assert_eq!(
            spans[0].parent_span_id,
            SpanId::from_bytes(8_u64.to_be_bytes())
        );
        assert!(spans[0].parent_span_is_remote && !spans[3].parent_span_is_remote);
        assert_eq!(spans[4].parent_span_id, id(&spans[0]));
        assert_eq!(spans[5].parent_span_id, id(&spans[4]));
        let trace = TraceId::from_bytes(9_u128.to_be_bytes());
        assert!(
            spans
                .iter()
                .all(|span| span.span_context.trace_id() == trace)
        );
    }

    #[test]
    fn a_4xx_is_an_error_of_the_client_span_alone() {
        let spans = of(&record());
        assert_eq!(spans[0].status, Status::Unset);
        assert_eq!(spans[4].status, failed());
        assert_eq!(value(&spans[4], "error.type").as_deref(), Some("404"));
        assert_eq!(
            value(&spans[3], "error.type").as_deref(),
            Some("ConnectRefused")
        );
        let mut record = record();
        record.status = Some(502);
        assert_eq!(of(&record)[0].status, failed());
    }

    #[test]
    fn a_method_that_nobody_knows_is_not_repeated() {
        assert_eq!(
            value(&of(&record())[0], "http.request.method").as_deref(),
            Some("_OTHER")
        );
    }
}
