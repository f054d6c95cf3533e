//! The list of alerts, by the API and by `ficus alert list`.
//!
//! Its own file, because it is read by people; the rest of the folder is about telling them.

use axum::http::{Method, StatusCode};
use ficus::rollout::Role;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::control_stage::Stage;

/// Four alerts, the oldest first: a critical one that stands and was told, a warning that stands and waits, one that was given
/// up, and an information that has ended.
async fn raised() -> (Stage, String) {
    let stage = Stage::new().await;
    let alert = |key: &str, severity: &str, minutes: i64, ended: bool| {
        format!(
            "insert into ficus.alert (key, severity, capability, title, raised_at, seen, resolved_at)
             values ('{key}', '{severity}', {}, 'it is {key}', clock_timestamp() - interval '{minutes} minutes', {minutes}, {});",
            if severity == "info" { "null" } else { "'dashboard'" },
            if ended { "clock_timestamp()" } else { "null" },
        )
    };
    let sql = [
        alert("first", "critical", 40, false),
        alert("second", "warning", 30, false),
        alert("third", "warning", 20, false),
        alert("fourth", "info", 10, true),
        "insert into ficus.alert_delivery (alert_id, channel, event, due_at, delivered_at, given_up_at)
         select a.id, d.channel, 'raise', a.raised_at, case when d.word = 'told' then a.raised_at end, case when d.word = 'up' then a.raised_at end
         from (values ('first', 'pagerduty', 'told'), ('first', 'slack', 'told'), ('second', 'slack', 'due'), ('third', 'slack', 'up'))
             as d (key, channel, word) join ficus.alert as a using (key)"
            .to_owned(),
    ]
    .concat();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(stage.pool())
        .await
        .unwrap();
    let token = stage.token(Role::Viewer).await;
    (stage, token)
}

fn keys(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|it| it["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn alerts_are_listed_newest_first_by_severity_and_by_whether_they_stand() {
    let (stage, token) = raised().await;
    let list = async |query: &str| {
        let path = format!("/api/v1/alerts{query}");
        stage.ask(Method::GET, &path, Some(&token), None).await
    };
    for (query, expected) in [
        ("", &["fourth", "third", "second", "first"][..]),
        ("?state=open", &["third", "second", "first"]),
        ("?state=closed", &["fourth"]),
        ("?severity=warning", &["third", "second"]),
        ("?severity=info&state=open", &[]),
    ] {
        let answer = list(query).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(keys(&answer.body), expected, "{query}");
    }
    // Page by page nothing is left out and nothing comes twice.
    let (mut seen, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = list(&query).await.body;
        seen.extend(keys(&page).iter().map(|it| (*it).to_owned()));
        match page["next"].as_str() {
            Some(next) => query = format!("?limit=3&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["fourth", "third", "second", "first"]);
    for query in ["?state=half", "?severity=loud", "?before=1", "?colour=red"] {
        let answer = list(query).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (StatusCode::BAD_REQUEST, &"bad-query".into()),
            "{query}"
        );
    }
}

#[tokio::test]
async fn the_command_prints_who_was_told_and_what_still_waits() {
    let (stage, token) = raised().await;
    let ran = stage
        .ficus(&token, &["alert", "list", "--output", "table"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let told: Vec<Vec<&str>> = ran.stdout.lines().map(cells).collect();
    let titles = [
        "RAISED (UTC)",
        "SEVERITY",
        "ENDED (UTC)",
        "SEEN",
        "CAPABILITY",
        "TITLE",
        "TOLD",
    ];
    assert_eq!(told[0], titles, "{}", ran.stdout);
    let without_times = |row: &Vec<&str>| row[3..].join("|");
    assert_eq!(
        told[1..].iter().map(without_times).collect::<Vec<_>>(),
        [
            "10|-|it is fourth|nobody",
            "20|dashboard|it is third|slack given up",
            "30|dashboard|it is second|slack waits",
            "40|dashboard|it is first|pagerduty, slack",
        ]
    );
    assert_eq!(
        (told[1][2].len(), told[2][2]),
        ("2026-01-01 00:00:00".len(), "open")
    );

    let filter = ["alert", "list", "--state", "open", "--severity", "critical"];
    let page = stage.ficus(&token, &filter).await.json();
    assert_eq!(keys(&page), ["first"]);
    let page = stage
        .ficus(&token, &["alert", "list", "--limit", "1"])
        .await;
    assert!(
        page.stderr.contains("there may be more: --before "),
        "{page:?}"
    );
    let ran = stage
        .ficus(&token, &["alert", "list", "--severity", "loud"])
        .await;
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = stage.ficus("ficus_wrong", &["alert", "list"]).await;
    assert_eq!(ran.code, 7, "{ran:?}");
}

/// Two blanks stand between columns.
fn cells(row: &str) -> Vec<&str> {
    let cells = row.split("  ").map(str::trim);
    cells.filter(|it| !it.is_empty()).collect()
}
