//! OFREP's stream: it says when to ask again, to whom has missed something at once, and to nobody who may not ask.
//!
//! Its own file, because these answers have no end to read to.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use ficus::rollout;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::timeout;

use super::{BULK, asks_for, evaluate, stage};
use crate::control_stage::{author, seed};
use crate::support::Database;
use crate::support::process::{PATIENCE, Setup, client, named_upstream, two_sides};

const EVENTS: &str = "/ofrep/v1/events";

/// A stream, and what was read of it.
struct Reader {
    answer: Response,
    text: String,
}

/// One event as the protocol has it.
#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: i64,
    data: Value,
}

impl Reader {
    async fn open(url: &str, token: &str, last: Option<&str>) -> Self {
        let answer = ask(url, token, last).await;
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()["content-type"].to_str().expect("text");
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next block of lines. `None`: the stream has ended.
    async fn block(&mut self) -> Option<String> {
        let next = async {
            loop {
                if let Some((block, rest)) = self.text.split_once("\n\n") {
                    let (block, rest) = (block.to_owned(), rest.to_owned());
                    self.text = rest;
                    return Some(block);
                }
                let chunk = self.answer.chunk().await.expect("a good stream")?;
                self.text += std::str::from_utf8(&chunk).expect("text");
            }
        };
        timeout(PATIENCE, next).await.expect("an event in time")
    }

    /// The next event; comments are passed over.
    async fn event(&mut self) -> Event {
        loop {
            let block = self.block().await.expect("the stream goes on");
            if block.starts_with(':') {
                continue;
            }
            let field = |name: &str| {
                let mut lines = block.lines();
                let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                found
                    .unwrap_or_else(|| panic!("no {name} in {block}"))
                    .to_owned()
            };
            return Event {
                name: field("event"),
                id: field("id").parse().expect("a revision"),
                data: serde_json::from_str(&field("data")).expect("JSON"),
            };
        }
    }
}

async fn ask(url: &str, token: &str, last: Option<&str>) -> Response {
    let mut request = client()
        .get(format!("{url}{EVENTS}"))
        .timeout(Duration::from_secs(300));
    if !token.is_empty() {
        request = request.header("x-api-key", token);
    }
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.send().await.expect("an answer")
}

fn refetch(revision: i64) -> Event {
    Event {
        name: "message".to_owned(),
        id: revision,
        data: json!({ "type": "refetchEvaluation", "etag": format!("r{revision}") }),
    }
}

async fn flip(pool: &PgPool, state: &str) {
    let sql = "update ficus.flag set state = $1 where tenant_id = 1 and capability = 'dashboard'";
    sqlx::query(sql).bind(state).execute(pool).await.unwrap();
}

#[tokio::test]
async fn each_newer_snapshot_is_told_once_and_asking_again_then_answers_with_it() {
    let (stage, app, _) = stage().await;
    let url = stage.listen().await;
    let mut reader = Reader::open(&url, &app, None).await;
    for (state, value) in [("legacy", false), ("modern", true)] {
        flip(stage.pool(), state).await;
        stage.load_snapshot().await;
        let revision = stage.revision().await;
        assert_eq!(reader.event().await, refetch(revision));
        let path = format!("{BULK}?flagConfigEtag=r{revision}");
        let answer = evaluate(&stage, ("x-api-key", &app), &path, &asks_for("acme"), None).await;
        assert_eq!(answer.body["flags"][0]["value"], value, "{}", answer.body);
    }
    // Changes that one snapshot brings are one reason to ask again.
    flip(stage.pool(), "legacy").await;
    flip(stage.pool(), "modern").await;
    stage.load_snapshot().await;
    assert_eq!(reader.event().await, refetch(stage.revision().await));
}

#[tokio::test]
async fn a_flag_that_has_not_moved_looks_as_it_did_when_another_has() {
    let (stage, app, _) = stage().await;
    let flags = async || {
        let answer = evaluate(&stage, ("x-api-key", &app), BULK, &asks_for("acme"), None).await;
        let version = answer.body["metadata"]["version"].clone();
        assert_eq!(version, stage.flags.revision().0);
        answer.body["flags"].clone()
    };
    let before = flags().await;
    flip(stage.pool(), "legacy").await;
    stage.load_snapshot().await;
    let after = flags().await;
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1], after[1], "providers would tell of a change");
}

#[tokio::test]
async fn who_comes_back_is_told_at_once_what_it_has_missed_and_a_beat_when_it_was_nothing() {
    let (stage, app, _) = stage().await;
    let url = stage.listen().await;
    let seen = stage.revision().await;
    flip(stage.pool(), "legacy").await;
    flip(stage.pool(), "modern").await;
    stage.load_snapshot().await;
    let newest = stage.revision().await;
    let mut late = Reader::open(&url, &app, Some(&seen.to_string())).await;
    assert_eq!(late.event().await, refetch(newest));
    // What follows is a sign of life, and none that a provider would take for an event.
    let mut current = Reader::open(&url, &app, Some(&newest.to_string())).await;
    for reader in [&mut late, &mut current] {
        assert_eq!(reader.block().await.as_deref(), Some(": beat"));
    }
    let bad = ask(&url, &app, Some("yesterday")).await;
    assert_eq!(bad.status(), 422);
}

#[tokio::test]
async fn the_stream_is_for_those_who_may_evaluate() {
    let (stage, app, viewer) = stage().await;
    let url = stage.listen().await;
    for (token, status) in [("", 401), ("ficus_AAAA", 401), (&app, 200), (&viewer, 200)] {
        let answer = ask(&url, token, None).await;
        assert_eq!(answer.status(), status, "{token}");
    }
    // Of the changes themselves an application's token learns nothing.
    let changes = stage
        .ask(Method::GET, "/api/v1/events", Some(&app), None)
        .await;
    assert_eq!(changes.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_process_tells_of_a_flip_in_the_database_and_stops_in_spite_of_its_readers() {
    let database = Database::new().await;
    let pool = database.pool();
    seed(pool).await;
    let sql =
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'legacy')";
    sqlx::query(sql).execute(pool).await.unwrap();
    let tenants = ["acme".parse().unwrap()];
    let app = rollout::create_ofrep_token(pool, &author(), "app", &tenants).await;
    let app = app.unwrap();
    let config = two_sides(
        named_upstream("legacy").await,
        named_upstream("modern").await,
    );
    let mut ficus = Setup::new(database.url(), &config)
        .roles("proxy,control")
        .start()
        .await;
    let url = ficus.admin_url("");
    let mut reader = Reader::open(&url, &app, None).await;
    flip(pool, "modern").await;
    let told = reader.event().await;
    let answer = client()
        .post(format!("{url}{BULK}/dashboard?flagConfigEtag=r{}", told.id))
        .header("x-api-key", &app)
        .json(&json!({ "context": { "targetingKey": "acme" } }))
        .send()
        .await
        .expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(
        (&answer["value"], &answer["variant"]),
        (&true.into(), &"modern".into())
    );
    ficus.signal("TERM");
    while reader.block().await.is_some() {}
    assert_eq!(ficus.wait().await, Some(0));
}
