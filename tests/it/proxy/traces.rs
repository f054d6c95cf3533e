//! Traces as a collector and an upstream see them: one tree a recorded request, nothing of any other, and no request
//! that waits for a collector.
//!
//! Its own file, because two parties must agree on the ids, and neither of them is the client.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::wire::{Asked, FINE, Head, Wire, ask, get, recorder};
use super::{dead_port, in_front_of, listening};
use crate::support::Database;
use crate::support::collector::{Collector, Span};
use crate::support::openmetrics;
use crate::support::process::{Ficus, Setup, client, eventually, named_upstream, two_sides};

const TRUSTING: &str = "[proxy]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn section(collector: SocketAddr, more: &str) -> String {
    format!("[telemetry.traces]\nendpoint = \"http://{collector}\"\n{more}\n")
}

/// Trace, parent and flags of the `traceparent` that an upstream got.
fn passed_on(head: &Head) -> (String, String, String) {
    let text = head.get("traceparent").expect("a traceparent");
    let parts: Vec<&str> = text.split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{text}");
    (parts[1].into(), parts[2].into(), parts[3].into())
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.0.name == name);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "{name} is there twice");
    span
}

/// Tenants 2, which is modern, and 3.
async fn two_tenants(more: &str) -> (Ficus, Asked, Asked) {
    let database = Database::new().await;
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (2, 'bluebird'), (3, 'corner');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')",
    )
    .execute(database.pool())
    .await
    .expect("seeded");
    let (legacy, of_legacy) = recorder(FINE).await;
    let (modern, of_modern) = recorder(FINE).await;
    let config = two_sides(legacy, modern) + more;
    let ficus = listening(Setup::new(database.url(), &config)).await;
    (ficus, of_legacy, of_modern)
}

#[tokio::test]
async fn a_recorded_request_is_a_tree_under_the_id_that_its_upstream_saw() {
    let mut collector = Collector::http().await;
    let more = "protocol = \"http\"\nsample = \"100%\"\nservice_name = \"edge\"\nheaders = \"authorization: Bearer told\"";
    let (ficus, _, mut modern) = two_tenants(&section(collector.address, more)).await;
    let fields = "x-tenant-id: 2\r\ncookie: MARKED\r\n";
    let answer = ask(ficus.proxy, get("/dashboard/a?token=MARKED", fields)).await;
    let (trace, parent, flags) = passed_on(&modern.next().await.head);
    let spans = collector.requests(1).await;

    let (root, attempt) = (
        named(&spans, "proxy request"),
        named(&spans, "upstream request"),
    );
    assert_eq!(
        attempt.id(),
        parent,
        "the upstream's parent is the attempt's span"
    );
    assert_eq!(flags, "01");
    assert_eq!(Some(&*trace), answer.head.get("x-request-id"));
    assert!(spans.iter().all(|span| span.trace() == trace));
    assert_eq!(
        (root.parent(), root.0.kind, attempt.0.kind),
        (String::new(), 2, 3)
    );
    for (name, parent) in [
        ("identity", root),
        ("decide", root),
        ("upstream request", root),
        ("connect", attempt),
        ("response", attempt),
    ] {
        let span = named(&spans, name);
        assert_eq!(span.parent(), parent.id(), "{name}");
        let within = root.0.start_time_unix_nano..=root.0.end_time_unix_nano;
        assert!(within.contains(&span.0.start_time_unix_nano), "{name}");
        assert!(within.contains(&span.0.end_time_unix_nano), "{name}");
    }
    assert_eq!(spans.len(), 6);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/dashboard/a"),
        ("server.address", "app.example.com"),
        ("ficus.tenant", "2"),
        ("ficus.capability", "dashboard"),
        ("ficus.side", "modern"),
        ("ficus.reason", "flag"),
        ("ficus.upstream", "modern"),
        ("ficus.attempts", "1"),
    ] {
        assert_eq!(root.get(key).as_deref(), Some(value), "{key}");
    }
    assert!(!spans.iter().any(Span::is_error));
    assert!(!format!("{spans:?}").contains("MARKED"));
    assert_eq!(collector.headers["authorization"], "Bearer told");
    assert_eq!(collector.service.as_deref(), Some("edge"));
}

#[tokio::test]
async fn only_the_named_tenants_are_recorded_over_grpc_and_others_are_after_a_reload() {
    let mut collector = Collector::grpc().await;
    let more =
        "sample = \"0%\"\ntenants = [\"bluebird\"]\nheaders = \"authorization: Bearer told\"";
    let (ficus, mut legacy, mut modern) = two_tenants(&section(collector.address, more)).await;
    let dashboard = |tenant: &str| get("/dashboard", &format!("x-tenant-id: {tenant}\r\n"));
    ask(ficus.proxy, dashboard("3")).await;
    assert_eq!(passed_on(&legacy.next().await.head).2, "00");
    ask(ficus.proxy, dashboard("2")).await;
    let (trace, _, flags) = passed_on(&modern.next().await.head);
    assert_eq!(flags, "01");
    let spans = collector.requests(1).await;
    assert!(spans.iter().all(|span| span.trace() == trace));
    assert_eq!(collector.headers["authorization"], "Bearer told");
    assert_eq!(collector.service.as_deref(), Some("ficus"));

    let text = std::fs::read_to_string(&ficus.config).expect("the file");
    std::fs::write(&ficus.config, text.replace("[\"bluebird\"]", "[\"3\"]")).expect("rewritten");
    eventually("the change is in force", || async {
        let metrics = ficus.metrics().await;
        metrics
            .contains("ficus_config_reloads_total 1")
            .then_some(())
    })
    .await;
    ask(ficus.proxy, dashboard("2")).await;
    assert_eq!(passed_on(&modern.next().await.head).2, "00");
    ask(ficus.proxy, dashboard("3")).await;
    let (trace, _, _) = passed_on(&legacy.next().await.head);
    let spans = collector.requests(2).await;
    let roots: Vec<_> = spans.iter().filter(|span| span.0.kind == 2).collect();
    assert_eq!(roots.len(), 2);
    assert_eq!(roots[1].trace(), trace);
}

#[tokio::test]
async fn a_sampled_flag_is_a_trusted_peers_to_give() {
    let mut collector = Collector::http().await;
    let more = section(collector.address, "protocol = \"http\"\nsample = \"0%\"");
    let given =
        |flags| format!("traceparent: 00-{TRACE}-b7ad6b7169203331-{flags}\r\ntracestate: a=b\r\n");
    let (legacy, mut asked) = recorder(FINE).await;

    let stranger = in_front_of(legacy, &more).await;
    ask(stranger.proxy, get("/stranger", &given("01"))).await;
    let got = asked.next().await.head;
    let (trace, _, flags) = passed_on(&got);
    assert_eq!((flags.as_str(), got.get("tracestate")), ("00", None));
    assert_ne!(trace, TRACE);

    let trusting = in_front_of(legacy, &format!("{TRUSTING}{more}")).await;
    ask(trusting.proxy, get("/unsampled", &given("00"))).await;
    let got = asked.next().await.head;
    assert_eq!(
        got.get("traceparent"),
        Some(&*format!("00-{TRACE}-b7ad6b7169203331-00"))
    );
    ask(trusting.proxy, get("/sampled", &given("01"))).await;
    let got = asked.next().await.head;
    assert_eq!(got.get("tracestate"), Some("a=b"));
    let spans = collector.requests(1).await;
    let root = named(&spans, "proxy request");
    assert_eq!(root.get("url.path").as_deref(), Some("/sampled"));
    assert_eq!(
        (root.trace(), root.parent()),
        (TRACE.into(), "b7ad6b7169203331".into())
    );
    // A load balancer's own address; a client's would not be told.
    assert_eq!(
        root.get("network.peer.address").as_deref(),
        Some("127.0.0.1")
    );
    let attempt = named(&spans, "upstream request");
    let expected = (TRACE.to_owned(), attempt.id(), "01".to_owned());
    assert_eq!(passed_on(&got), expected);
}

#[tokio::test]
async fn what_goes_wrong_is_an_error_of_its_span_and_a_clients_fault_is_none() {
    let mut collector = Collector::http().await;
    let more = section(collector.address, "protocol = \"http\"\nsample = \"100%\"")
        + "[proxy.limits]\nbody_bytes = \"16\"\n";
    let ficus = in_front_of(dead_port(), &more).await;
    assert_eq!(ask(ficus.proxy, get("/", "")).await.head.status(), 502);
    let spans = collector.requests(1).await;
    let (root, attempt) = (
        named(&spans, "proxy request"),
        named(&spans, "upstream request"),
    );
    assert!(root.is_error() && attempt.is_error());
    assert_eq!(
        root.get("http.response.status_code").as_deref(),
        Some("502")
    );
    let why = attempt.get("error.type");
    assert_eq!(why.as_deref(), Some("ConnectRefused"));
    assert_eq!(root.get("error.type"), why);
    assert!(!root.keys().contains(&"network.peer.address"));

    // Refused before any decision: its own root, and nothing else.
    let large = "POST /large HTTP/1.1\r\nhost: a\r\ncontent-length: 17\r\n\r\n";
    assert_eq!(ask(ficus.proxy, large).await.head.status(), 413);
    let spans = collector.requests(2).await;
    let refused = spans.last().expect("a span");
    assert_eq!(refused.get("url.path").as_deref(), Some("/large"));
    assert_eq!(refused.get("error.type").as_deref(), Some("body-too-large"));
    assert!(!refused.is_error());
}

#[tokio::test]
async fn a_kept_connection_is_told_apart_from_a_new_one() {
    let mut collector = Collector::http().await;
    let (legacy, _asked) = recorder(FINE).await;
    let more = section(collector.address, "protocol = \"http\"\nsample = \"100%\"");
    let ficus = in_front_of(legacy, &more).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for _ in 0..2 {
        assert_eq!(client.ask(get("/", "")).await.head.status(), 200);
    }
    let spans = collector.requests(2).await;
    let reused: Vec<_> = spans
        .iter()
        .filter_map(|span| span.get("ficus.connection.reused"))
        .collect();
    assert_eq!(reused, ["false", "true"]);
    named(&spans, "connect");
}

#[tokio::test]
async fn switched_off_it_changes_no_header_and_counts_no_span() {
    let (legacy, mut asked) = recorder(FINE).await;
    let off = format!("{TRUSTING}[telemetry.traces]\nsample = \"100%\"\n");
    let ficus = in_front_of(legacy, &off).await;
    let given = format!("00-{TRACE}-b7ad6b7169203331-01");
    ask(ficus.proxy, get("/", &format!("traceparent: {given}\r\n"))).await;
    assert_eq!(asked.next().await.head.get("traceparent"), Some(&*given));
    ask(ficus.proxy, get("/", "")).await;
    assert_eq!(passed_on(&asked.next().await.head).2, "00");
    let metrics = ficus.metrics().await;
    for name in ["ficus_spans_sent_total 0", "ficus_spans_dropped_total 0"] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
}

/// Asks many times beside a collector that is of no use, then stops.
async fn nobody_notices(collector: SocketAddr, protocol: &str) {
    let (legacy, _asked) = recorder(FINE).await;
    let more = format!("sample = \"100%\"\ntimeout = \"100ms\"\nprotocol = \"{protocol}\"");
    let mut ficus = in_front_of(legacy, &section(collector, &more)).await;
    let mut client = Wire::connect(ficus.proxy).await;
    // The queue is large, so what is dropped was in a batch that failed. What is said once would be said thrice.
    for _ in 0..3 {
        let before = spans_dropped(&ficus).await;
        for _ in 0..20 {
            assert_eq!(client.ask(get("/", "")).await.head.status(), 200);
        }
        eventually("a batch fails", || async {
            (spans_dropped(&ficus).await > before).then_some(())
        })
        .await;
    }
    let log = ficus.log();
    assert_eq!(
        log.matches("spans do not reach the collector").count(),
        1,
        "{log}"
    );
    let begun = Instant::now();
    ficus.signal("TERM");
    drop(client);
    assert_eq!(ficus.wait().await, Some(0), "{}", ficus.log());
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

async fn spans_dropped(ficus: &Ficus) -> u64 {
    let metrics = ficus.metrics().await;
    let mut lines = metrics.lines();
    let found = lines.find_map(|line| line.strip_prefix("ficus_spans_dropped_total "));
    found.expect("the counter").parse().expect("a number")
}

#[tokio::test]
async fn a_collector_that_is_away_is_noticed_by_no_request_and_said_once() {
    nobody_notices(dead_port(), "grpc").await;
}

#[tokio::test]
async fn a_collector_that_hangs_is_noticed_by_no_request_and_said_once() {
    // Takes connections into its backlog, and never looks at them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    for protocol in ["http", "grpc"] {
        nobody_notices(address, protocol).await;
    }
}

#[tokio::test]
async fn the_last_spans_are_sent_at_the_stop() {
    let mut collector = Collector::grpc().await;
    let more = section(collector.address, "sample = \"100%\"");
    let mut ficus = in_front_of(named_upstream("legacy").await, &more).await;
    ask(ficus.proxy, get("/last", "")).await;
    ficus.signal("TERM");
    assert_eq!(ficus.wait().await, Some(0));
    let spans = collector.requests(1).await;
    assert_eq!(
        named(&spans, "proxy request").get("url.path").as_deref(),
        Some("/last")
    );
}

#[tokio::test]
async fn a_recorded_request_is_an_exemplar_for_who_asks_for_openmetrics() {
    let collector = Collector::grpc().await;
    let more = section(collector.address, "sample = \"0%\"\ntenants = [\"2\"]");
    let (ficus, _legacy, mut modern) = two_tenants(&more).await;
    for tenant in [3, 2] {
        ask(
            ficus.proxy,
            get("/dashboard", &format!("x-tenant-id: {tenant}\r\n")),
        )
        .await;
    }
    let (trace, _, _) = passed_on(&modern.next().await.head);
    let scrape = || async {
        let ask = client().get(ficus.admin_url("/metrics"));
        let ask = ask.header(
            "accept",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        );
        ask.send()
            .await
            .expect("metrics")
            .text()
            .await
            .expect("text")
    };
    let text = eventually("both are counted", || async {
        let text = scrape().await;
        let counted = text.matches("ficus_requests_total{").count() == 2;
        (counted && text.contains("trace_id")).then_some(text)
    })
    .await;
    let samples = openmetrics::read(&text).expect("OpenMetrics");
    let with: Vec<_> = samples.iter().filter(|it| it.exemplar.is_some()).collect();
    assert_eq!(with.len(), 1, "{with:?}");
    assert_eq!(with[0].name, "ficus_request_seconds_bucket");
    assert_eq!(with[0].label("side"), Some("modern"));
    let exemplar = with[0].exemplar.as_ref().expect("an exemplar");
    assert_eq!(exemplar.labels, [("trace_id".to_owned(), trace)]);
    assert!(exemplar.time.is_some_and(|time| time > 1.7e9));

    let plain = ficus.metrics().await;
    assert!(!plain.contains("trace_id"));
    openmetrics::read(&plain).expect("OpenMetrics");
}
