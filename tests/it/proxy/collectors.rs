//! What a collector is sent besides the tree: who answered in whose place, and nothing that the environment adds.
//!
//! Its own file, because platforms set variables for OpenTelemetry's libraries in every container that they start.

use super::wire::{FINE, ask, get, recorder};
use super::{dead_port, listening, setup};
use crate::support::Database;
use crate::support::collector::{Collector, Span};
use crate::support::process::{Setup, named_upstream, two_sides};

/// As an operator of a cluster sets them, and each of them in the way.
const THEIRS: [(&str, &str); 11] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "no url at all"),
    (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "authorization=Bearer%20theirs,x-extra=1",
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
    ("OTEL_EXPORTER_OTLP_INSECURE", "false"),
    ("OTEL_SERVICE_NAME", "theirs"),
    ("OTEL_RESOURCE_ATTRIBUTES", "service.name=theirs"),
    ("OTEL_SDK_DISABLED", "true"),
    ("OTEL_TRACES_SAMPLER", "always_off"),
];

fn root(spans: &[Span]) -> &Span {
    let root = spans.iter().find(|span| span.0.name == "proxy request");
    root.expect("a root")
}

#[tokio::test]
async fn the_environment_of_opentelemetrys_libraries_neither_breaks_the_start_nor_is_half_obeyed() {
    let (legacy, _) = recorder(FINE).await;
    for (ours, theirs) in [
        ("http", "grpc"),
        ("grpc", "http/protobuf"),
        ("http", "nonsense"),
    ] {
        let mut collector = match ours {
            "http" => Collector::http().await,
            _ => Collector::grpc().await,
        };
        let section = format!(
            "[telemetry.traces]\nendpoint = \"http://{}\"\nprotocol = \"{ours}\"\nsample = \"100%\"\n\
             service_name = \"edge\"\nheaders = \"authorization: Bearer ours\"\n",
            collector.address
        );
        let mut process = setup(legacy, &section)
            .variable("OTEL_EXPORTER_OTLP_PROTOCOL", theirs)
            .variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", theirs);
        for (name, value) in THEIRS {
            process = process.variable(name, value);
        }
        let ficus = listening(process).await;
        ask(ficus.proxy, get("/", "")).await;
        let spans = collector.requests(1).await;
        assert_eq!(root(&spans).get("url.path").as_deref(), Some("/"));
        assert_eq!(collector.service.as_deref(), Some("edge"));
        let sent: Vec<_> = collector.headers.get_all("authorization").iter().collect();
        assert_eq!(sent, ["Bearer ours"], "{ours}");
        assert!(!collector.headers.contains_key("x-extra"), "{ours}");
        let compressed = ["content-encoding", "grpc-encoding"];
        assert!(
            !compressed
                .iter()
                .any(|it| collector.headers.contains_key(*it))
        );
        // The operator is told, by names alone: a value may be a secret.
        let log = ficus.log();
        assert!(log.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{log}");
        assert!(!log.contains("theirs"), "{log}");
    }
}

#[tokio::test]
async fn a_variable_alone_switches_nothing_on() {
    let (legacy, _) = recorder(FINE).await;
    let collector = Collector::http().await;
    let endpoint = format!("http://{}", collector.address);
    let process = setup(legacy, "[telemetry.traces]\nsample = \"100%\"\n");
    let ficus = listening(process.variable("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)).await;
    ask(ficus.proxy, get("/", "")).await;
    let metrics = ficus.metrics().await;
    for name in ["ficus_spans_sent_total 0", "ficus_spans_dropped_total 0"] {
        assert!(metrics.contains(name), "{metrics}");
    }
    assert!(ficus.log().contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
}

#[tokio::test]
async fn a_request_that_fell_back_says_so_and_why() {
    let mut collector = Collector::http().await;
    let database = Database::new().await;
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id) values (2), (3);
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')",
    )
    .execute(database.pool())
    .await
    .expect("seeded");
    let config = two_sides(named_upstream("legacy").await, dead_port()).replace(
        "effect = \"read\"",
        "effect = \"read\"\nfallback = \"legacy\"",
    );
    let section = format!(
        "[telemetry.traces]\nendpoint = \"http://{}\"\nprotocol = \"http\"\nsample = \"100%\"\n",
        collector.address
    );
    let ficus = listening(Setup::new(database.url(), &(config + &section))).await;
    for tenant in ["2", "3"] {
        let answer = ask(
            ficus.proxy,
            get("/dashboard", &format!("x-tenant-id: {tenant}\r\n")),
        );
        assert_eq!(answer.await.text(), "legacy");
    }
    let spans = collector.requests(2).await;
    for (tenant, fallback) in [("2", Some("unreachable")), ("3", None)] {
        let root = spans.iter().find(|span| {
            span.0.name == "proxy request" && span.get("ficus.tenant").as_deref() == Some(tenant)
        });
        let root = root.expect("a root of each");
        assert_eq!(root.get("ficus.fallback").as_deref(), fallback, "{tenant}");
        assert_eq!(root.get("ficus.side").as_deref(), Some("legacy"));
    }
}
