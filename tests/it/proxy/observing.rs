//! What is written down of each request: one line, the right counters, and no secret.
//!
//! Its own file, because dashboards, alerts and auditors read these and not the answers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::wire::{FINE, Wire, ask, get, recorder};
use super::{dead_port, in_front_of, listening, transparent};
use crate::support::Database;
use crate::support::process::{Ficus, Setup, eventually, named_upstream, two_sides};

/// What may stand in a line, as `access_log.rs` documents it.
const FIELDS: [&str; 17] = [
    "attempts",
    "bytes",
    "capability",
    "client",
    "error",
    "host",
    "identity",
    "method",
    "ms",
    "path",
    "reason",
    "request_id",
    "revision",
    "side",
    "status",
    "tenant",
    "time",
];

/// The lines, when there are as many as expected. A line is written when its answer is out already.
async fn lines(ficus: &Ficus, expected: usize) -> Vec<Value> {
    let lines = eventually("the lines are written", || async {
        let lines = ficus.access_log();
        (lines.len() >= expected).then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), expected);
    lines
}

#[tokio::test]
async fn every_request_is_one_line_whatever_became_of_it() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = in_front_of(legacy, "[proxy.limits]\nuri_bytes = \"64\"\n").await;
    let fine = ask(ficus.proxy, get("/a/b?token=MARKED", "cookie: MARKED\r\n")).await;
    ask(ficus.proxy, get(&format!("/{}", "a".repeat(80)), "")).await;
    ask(ficus.proxy, "GET /nohost HTTP/1.1\r\n\r\n").await;
    let mut kept = Wire::connect(ficus.proxy).await;
    for _ in 0..3 {
        kept.ask("POST /kept HTTP/1.1\r\nhost: A.Example.com:80\r\ncontent-length: 2\r\n\r\nhi")
            .await;
    }
    // What the door refuses has a line in the other log, where a flood of it is sampled.
    let lines = lines(&ficus, 4).await;
    for line in &lines {
        for name in line.as_object().expect("an object").keys() {
            assert!(
                FIELDS.contains(&name.as_str()) || name == "upstream",
                "{name} in {line}"
            );
        }
        assert!(!line.to_string().contains("MARKED"), "{line}");
    }
    // Each thread writes its own, so two requests of two connections may change places.
    let of = |path: &str| {
        let mut found = lines.iter().filter(|line| line["path"] == path);
        found.next().expect("a line")
    };
    let first = of("/a/b");
    assert_eq!(first["request_id"].as_str(), fine.head.get("x-request-id"));
    for (name, value) in [
        ("method", Value::from("GET")),
        ("path", "/a/b".into()),
        ("host", "app.example.com".into()),
        ("status", 200.into()),
        ("bytes", 4.into()),
        ("client", "127.0.0.1".into()),
        ("capability", "none".into()),
        ("side", "legacy".into()),
        ("reason", "no-route".into()),
        ("upstream", "legacy".into()),
        ("attempts", 1.into()),
        ("revision", 0.into()),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    assert!(first["ms"].as_f64().expect("a number") > 0.0);
    let time = first["time"].as_str().expect("a time");
    assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
    let log = ficus.log();
    for (reason, status) in [("uri-too-long", 414), ("no-host", 400)] {
        let line = log
            .lines()
            .find(|line| line.contains(reason))
            .expect(reason);
        for said in [
            "refused at the door",
            "127.0.0.1",
            &format!("status={status}"),
        ] {
            assert!(line.contains(said), "{said} in {line}");
        }
    }
    assert_eq!(of("/kept")["host"], "a.example.com");
}

#[tokio::test]
async fn a_client_that_goes_away_is_a_line_without_a_status() {
    let (told, mut began) = tokio::sync::mpsc::unbounded_channel();
    let legacy = super::wire::origin(move |mut wire| {
        let told = told.clone();
        async move {
            wire.head().await.expect("a head");
            told.send(()).expect("told");
            wire.rest().await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client.send(get("/slow", "")).await;
    super::wire::in_time(began.recv())
        .await
        .expect("it reached the origin");
    drop(client);
    let lines = lines(&ficus, 1).await;
    assert_eq!(lines[0]["status"], Value::Null);
    assert!(lines[0]["error"].is_string());
    let metrics = ficus.metrics().await;
    assert_eq!(counted(&metrics, "ficus_requests_in_flight"), 0.0);
}

/// The value of a series, 0 where it is not there.
fn counted(metrics: &str, series: &str) -> f64 {
    let found = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().expect("a number"))
}

#[tokio::test]
async fn a_known_mix_of_requests_is_counted_as_it_was() {
    let database = Database::new().await;
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (2, 'bluebird'), (3, 'corner');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')",
    )
    .execute(database.pool())
    .await
    .expect("seeded");
    let (gone, _asked) = recorder("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await;
    let config = two_sides(named_upstream("legacy").await, gone);
    let ficus = listening(Setup::new(database.url(), &config)).await;
    let dashboard = |fields: &str| get("/dashboard", fields);
    for (request, times) in [
        (dashboard("x-tenant-id: 2\r\n"), 3),
        (dashboard("x-tenant-id: corner\r\n"), 2),
        (dashboard("x-tenant-id: 99\r\n"), 1),
        (dashboard(""), 4),
        (dashboard("x-tenant-id: 2\r\nx-tenant-id: 3\r\n"), 1),
        (dashboard("x-tenant-id: no slug!\r\n"), 1),
        (get("/elsewhere", "x-tenant-id: 2\r\n"), 2),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 2),
    ] {
        for _ in 0..times {
            ask(ficus.proxy, &request).await;
        }
    }
    lines(&ficus, 14).await;
    let metrics = ficus.metrics().await;
    let expected = BTreeMap::from([
        (
            r#"ficus_requests_total{capability="dashboard",side="modern",status="410"}"#,
            3.0,
        ),
        (
            r#"ficus_requests_total{capability="dashboard",side="legacy",status="200"}"#,
            9.0,
        ),
        (
            r#"ficus_requests_total{capability="none",side="legacy",status="200"}"#,
            2.0,
        ),
        (
            r#"ficus_request_seconds_count{capability="dashboard",side="modern"}"#,
            3.0,
        ),
        (
            r#"ficus_request_seconds_count{capability="dashboard",side="legacy"}"#,
            9.0,
        ),
        (
            r#"ficus_decisions_total{capability="dashboard",side="modern",reason="flag"}"#,
            3.0,
        ),
        (
            r#"ficus_decisions_total{capability="dashboard",side="legacy",reason="no-flag"}"#,
            2.0,
        ),
        (
            r#"ficus_decisions_total{capability="dashboard",side="legacy",reason="unknown-tenant"}"#,
            1.0,
        ),
        (
            r#"ficus_decisions_total{capability="dashboard",side="legacy",reason="no-tenant"}"#,
            6.0,
        ),
        (
            r#"ficus_decisions_total{capability="none",side="legacy",reason="no-route"}"#,
            2.0,
        ),
        (r#"ficus_identity_unresolved_total{reason="no_proof"}"#, 4.0),
        (
            r#"ficus_identity_unresolved_total{reason="ambiguous"}"#,
            1.0,
        ),
        (
            r#"ficus_identity_unresolved_total{reason="malformed"}"#,
            1.0,
        ),
        (
            r#"ficus_identity_unresolved_total{reason="untrusted"}"#,
            0.0,
        ),
        (r#"ficus_requests_refused_total{reason="bad-host"}"#, 2.0),
        (r#"ficus_door_refused_total{reason="no-host"}"#, 2.0),
        ("ficus_requests_in_flight", 0.0),
    ]);
    for (series, value) in expected {
        assert_eq!(counted(&metrics, series), value, "{series} in\n{metrics}");
    }
    for name in [
        "ficus_revision ",
        "ficus_snapshot_age_seconds ",
        "ficus_propagation_seconds_count ",
        "ficus_tenants ",
        "ficus_database_up ",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn failures_of_an_upstream_are_counted_by_kind() {
    let ficus = transparent(dead_port()).await;
    for _ in 0..3 {
        ask(ficus.proxy, get("/", "")).await;
    }
    lines(&ficus, 3).await;
    let metrics = ficus.metrics().await;
    for (series, value) in [
        (
            r#"ficus_upstream_failures_total{upstream="legacy",kind="connect"}"#,
            3.0,
        ),
        (r#"ficus_requests_refused_total{reason="unreachable"}"#, 3.0),
        (
            r#"ficus_requests_total{capability="none",side="legacy",status="502"}"#,
            3.0,
        ),
    ] {
        assert_eq!(counted(&metrics, series), value, "{series} in\n{metrics}");
    }
}

#[tokio::test]
async fn no_secret_is_written_anywhere() {
    // 32 bytes that are easy to find in either spelling.
    const KEY: &str = "TUFSS0VELUFQUC1LRVktTUFSS0VELUFQUC1LRVktMTI=";
    let (legacy, _asked) =
        recorder("HTTP/1.1 200 OK\r\nset-cookie: s=MARKED-SET\r\ncontent-length: 0\r\n\r\n").await;
    let config = two_sides(legacy, dead_port())
        + &format!("[[tenant]]\nresolver = \"laravel_session\"\napp_key = \"base64:{KEY}\"\n");
    let database = Database::new().await;
    let talkative = Setup::new(database.url(), &config).variable("FICUS__TELEMETRY__LOG", "debug");
    let ficus = listening(talkative).await;
    let fields = "cookie: laravel_session=MARKED-COOKIE\r\nauthorization: Bearer MARKED-TOKEN\r\nx-api-key: MARKED-API\r\n";
    for request in [
        get("/dashboard?token=MARKED-QUERY", fields),
        get("/?token=MARKED-QUERY", fields),
        get(
            "/dashboard",
            &format!("{fields}x-tenant-id: MARKED-TENANT\r\n"),
        ),
        format!("GET /?q=MARKED-QUERY HTTP/1.1\r\n{fields}\r\n"),
    ] {
        ask(ficus.proxy, request).await;
    }
    // Refused by the parser itself.
    for request in [
        format!("GET /?q=MARKED-QUERY HTTP/1.1\r\nhost: a\r\n{fields}no colon MARKED\r\n\r\n"),
        format!("GET /?q=MARKED-QUERY HTTP/1.1\r\nhost: a\r\nhost: b\r\n{fields}\r\n"),
        format!("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n{fields}\r\n"),
    ] {
        let mut client = Wire::connect(ficus.proxy).await;
        client.send(request).await;
        client.rest().await;
    }
    let mut gone = Wire::connect(ficus.proxy).await;
    gone.send(format!("GET /?q=MARKED-QUERY HTTP/1.1\r\n{fields}"))
        .await;
    drop(gone);
    let lines = lines(&ficus, 3).await;
    let written = format!("{}\n{lines:?}\n{}", ficus.log(), ficus.metrics().await);
    for secret in ["MARKED", KEY] {
        let found = written.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret} is written");
    }
}
