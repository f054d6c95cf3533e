//! `ficus guard status`, `show` and `test`, and the routes behind them: what they print, to whom, and what a bad file is told.
//!
//! Its own file, because people decide by these tables whether a wave goes on.

use axum::http::{Method, StatusCode};
use ficus::rollout::{Author, Role, Scope, Source, Terms, roll_back};
use serde_json::{Value, json};

use crate::control_stage::{Stage, run};

/// A recording of six minutes: `dashboard` with few requests, then enough, then a release that is bad for tenant 7; `messaging`,
/// whose two sides lose their database together.
const TRACE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/guard/trace.csv"
);

/// The dashboard passes, and tenant 2 was taken back in the last hour; nobody has judged messaging.
async fn judged() -> Stage {
    let stage = Stage::new().await;
    sqlx::raw_sql(
        r#"insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern');
           insert into ficus.verdict (capability, tenant_id, at, verdict, evidence) values
               ('dashboard', null, clock_timestamp(), 'pass',
                '{"words": "3 errors of 900 requests", "modern": {"p50_ms": 50, "p95_ms": 200, "p99_ms": null}, "legacy": {"p50_ms": 100}}'),
               ('dashboard', 2, clock_timestamp() - interval '10 minutes', 'fail', '{"words": "5 of 5 requests in a row failed"}')"#,
    )
    .execute(stage.pool())
    .await
    .unwrap();
    let guard = Author::new(
        "guard",
        Source::Guard,
        "tenant 2: 5 of 5 requests in a row failed",
    );
    let tenant = vec!["2".parse().unwrap()];
    roll_back(
        stage.pool(),
        &Terms::of(guard),
        &Scope::Flags("dashboard".to_owned(), tenant),
    )
    .await
    .unwrap();
    stage
}

/// The rows of a table, cell by cell, without the times.
fn cells(table: &str) -> Vec<Vec<String>> {
    let is_time = |cell: &str| cell.len() >= 10 && cell.starts_with("20");
    let row = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|it| !it.is_empty());
        cells.filter(|it| !is_time(it)).map(str::to_owned).collect()
    };
    table.lines().map(row).collect()
}

#[tokio::test]
async fn status_tells_each_capability_its_verdict_and_why() {
    let stage = judged().await;
    let token = stage.token(Role::Viewer).await;
    let ran = stage
        .ficus(&token, &["guard", "status", "--output", "table"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        cells(&ran.stdout),
        [
            vec!["CAPABILITY", "VERDICT", "JUDGED (UTC)", "WHY"],
            vec!["dashboard", "pass", "3 errors of 900 requests"],
            vec![
                "messaging",
                "no-data",
                "never",
                "nobody has judged this capability yet"
            ],
        ]
    );
    let told = stage.ficus(&token, &["guard", "status"]).await.json();
    let items = told["items"].as_array().unwrap();
    assert_eq!(
        (&items[0]["verdict"], &items[1]["at"]),
        (&"pass".into(), &Value::Null)
    );

    // Whoever judged is gone: what it measured then is no reason any more.
    let age = "update ficus.verdict set at = at - interval '2 minutes'";
    sqlx::query(age).execute(stage.pool()).await.unwrap();
    let ran = stage
        .ficus(&token, &["guard", "status", "--output", "table"])
        .await;
    let why = "nobody has judged it for a minute; the last verdict was pass";
    assert_eq!(cells(&ran.stdout)[1], ["dashboard", "no-data", why]);
}

#[tokio::test]
async fn show_tells_what_was_measured_who_failed_and_what_was_taken_back() {
    let stage = judged().await;
    let revision = stage.revision().await.to_string();
    let token = stage.token(Role::Viewer).await;
    let ran = stage
        .ficus(&token, &["guard", "show", "dashboard", "--output", "table"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = cells(&ran.stdout);
    for row in [
        vec!["dashboard", "pass", "3 errors of 900 requests"],
        vec!["modern", "50 ms", "200 ms", "-"],
        vec!["legacy", "100 ms", "-", "-"],
        vec!["2", "5 of 5 requests in a row failed"],
        vec![&revision, "1", "tenant 2: 5 of 5 requests in a row failed"],
    ] {
        assert!(rows.iter().any(|it| *it == row), "{row:?}: {rows:?}");
    }
    let told = stage
        .ficus(&token, &["guard", "show", "dashboard"])
        .await
        .json();
    assert_eq!(told["failing"][0]["tenant"], 2, "{told}");
    assert_eq!(told["rollbacks"][0]["rows"], 1, "{told}");
    assert_eq!(told["evidence"]["modern"]["p95_ms"], 200, "{told}");

    let ran = stage.ficus(&token, &["guard", "show", "nothing"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("ficus capability list"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn a_viewer_reads_the_guard_and_only_an_operator_reports_to_it() {
    let stage = judged().await;
    let viewer = stage.token(Role::Viewer).await;
    let operator = stage.token(Role::Operator).await;
    let outcomes = |kind: &str| json!({ "outcomes": [{ "capability": "dashboard", "tenant": 2, "kind": kind, "good": 9, "bad": 1 }] });
    for path in ["/api/v1/guard", "/api/v1/guard/dashboard"] {
        let status = async |token: Option<&str>| {
            let answer = stage.ask(Method::GET, path, token, None).await;
            answer.status
        };
        assert_eq!(status(None).await, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(status(Some(&viewer)).await, StatusCode::OK, "{path}");
    }
    let report = async |token: &str, body: Value| {
        let answer = stage
            .ask(Method::POST, "/api/v1/outcomes", Some(token), Some(body))
            .await;
        (answer.status, answer.body)
    };
    assert_eq!(
        report(&viewer, outcomes("send")).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        report(&operator, outcomes("send")).await,
        (StatusCode::OK, json!({ "told": 1 }))
    );
    for kind in ["", "Send", "9send", "a b"] {
        let (status, _) = report(&operator, outcomes(kind)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{kind:?}");
    }
    let told: i64 = sqlx::query_scalar("select sum(good + bad)::bigint from ficus.outcome")
        .fetch_one(stage.pool())
        .await
        .unwrap();
    assert_eq!(told, 10, "what was refused is not counted");
    let ran = stage.ficus("ficus_wrong", &["guard", "status"]).await;
    assert_eq!(ran.code, 7, "{ran:?}");
}

#[tokio::test]
async fn a_recording_is_given_the_verdicts_that_are_documented() {
    let ran = run(&[], &["guard", "test", TRACE]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let steps = ran.json();
    // When, the verdict, which rule spoke, and what is taken back.
    let of = |capability: &str| -> Vec<Value> {
        let steps = steps.as_array().unwrap().iter();
        let of = steps.filter(|it| it["capability"] == capability);
        of.map(|it| {
            json!([
                it["at"],
                it["verdict"],
                it["finding"]["rule"],
                it["taken_back"]
            ])
        })
        .collect()
    };
    let seven = json!([{ "tenants": [7] }]);
    assert_eq!(
        of("dashboard"),
        [
            // Two requests in 10 s prove nothing.
            json!(["2026-03-02T09:00:10Z", "insufficient", "within", null]),
            json!(["2026-03-02T09:01:30Z", "pass", "within", null]),
            // The bad release begins at 9:04:00. Over the limit, then proven to be.
            json!(["2026-03-02T09:04:10Z", "insufficient", "over", null]),
            json!(["2026-03-02T09:04:30Z", "fail", "proven", seven]),
            // What is left is judged by what came after the rollback alone.
            json!(["2026-03-02T09:04:40Z", "insufficient", "within", null]),
            json!(["2026-03-02T09:05:30Z", "pass", "within", null]),
        ]
    );
    assert_eq!(
        of("messaging"),
        [
            json!(["2026-03-02T09:00:10Z", "insufficient", "within", null]),
            json!(["2026-03-02T09:00:50Z", "pass", "within", null]),
            // A quarter fails on both sides: going back would not help.
            json!(["2026-03-02T09:03:10Z", "insufficient", "shared", null]),
        ]
    );
    let ran = run(&[], &["guard", "test", TRACE, "--output", "table"]).await;
    let rows = cells(&ran.stdout);
    let titles = ["AT (UTC)", "CAPABILITY", "VERDICT", "TAKEN BACK", "WHY"];
    assert_eq!(rows[0], titles, "{}", ran.stdout);
    let failed = rows.iter().find(|it| it[1] == "fail").unwrap();
    assert_eq!(failed[2], "tenant 7", "{}", ran.stdout);
    assert!(failed[3].contains("errors"), "{}", ran.stdout);
}

#[tokio::test]
async fn a_bad_recording_exits_2_and_names_line_and_column() {
    let stage = Stage::new().await;
    let head = "at,capability,side,tenant,requests,errors\n1000,a,modern,7,4,0\n";
    for (row, expected) in [
        ("1010,a,modern,7,4,five", "line 3, column errors: "),
        (
            "1010,a,modern,7,4,5",
            "line 3, column errors: 5 errors of 4 requests",
        ),
        (
            "1010,a,old,7,4,0",
            "line 3, column side: \"old\": expected legacy or modern",
        ),
        ("soon,a,modern,7,4,0", "line 3, column at: \"soon\""),
        ("1010,a", "line 3"),
    ] {
        let file = stage.file("trace.csv", &format!("{head}{row}\n"));
        let ran = run(&[], &["guard", "test", &file]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{row}: {ran:?}");
        assert!(
            ran.stderr.contains(&format!("{file}: {expected}")),
            "{row}: {}",
            ran.stderr
        );
    }
    let file = stage.file("trace.csv", "at,side\n1000,modern\n");
    let ran = run(&[], &["guard", "test", &file]).await;
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("missing field"), "{}", ran.stderr);
    let ran = run(&[], &["guard", "test", "/no/such/trace.csv"]).await;
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("cannot be read"), "{}", ran.stderr);
}
