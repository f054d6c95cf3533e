//! `ficus message runs|pause|resume|cancel`: what each command says of a campaign's send, and what it refuses.
//!
//! Its own file, because a run's state decides what may be done with it; that nothing of it begins is tested with an engine.

use axum::http::StatusCode;
use serde_json::json;

use super::{Messages, ids};
use crate::queue::count;

const ID: &str = "01931c5e-7a40-7000-8000-000000000001";
const RUN: &str = "select ficus.begin_run('01931c5e-7a40-7000-8000-000000000001', 1, 21, 22, gen_random_uuid(), sha256('x'), '{}')";

async fn with_a_run() -> Messages {
    let it = Messages::new().await;
    sqlx::raw_sql(RUN).execute(it.stage.pool()).await.unwrap();
    it
}

#[tokio::test]
async fn runs_are_listed_while_they_last_and_all_of_them_when_asked() {
    let it = with_a_run().await;
    let page = it
        .ficus(&["message", "runs", "--tenant", "acme"])
        .await
        .json();
    assert_eq!(ids(&page), [ID]);
    assert_eq!(page["items"][0]["state"], "expanding");
    let table = it.table(&["message", "runs"]).await;
    assert!(table.stdout.contains(ID), "{table:?}");
    sqlx::raw_sql("update ficus.campaign_run set state = 'done'")
        .execute(it.stage.pool())
        .await
        .unwrap();
    assert!(ids(&it.ficus(&["message", "runs"]).await.json()).is_empty());
    assert_eq!(
        ids(&it.ficus(&["message", "runs", "--all"]).await.json()),
        [ID]
    );
}

#[tokio::test]
async fn a_run_is_paused_resumed_and_cancelled_and_twice_is_once() {
    let it = with_a_run().await;
    for (verb, expected) in [
        ("pause", "campaign 21 of tenant 1 is expanding, paused"),
        (
            "pause",
            "no change: campaign 21 of tenant 1 is expanding, paused",
        ),
        ("resume", "campaign 21 of tenant 1 is expanding: 0 of 0"),
        ("resume", "no change: campaign 21 of tenant 1 is expanding"),
        ("cancel", "campaign 21 of tenant 1 is cancelling"),
        ("cancel", "no change: campaign 21 of tenant 1 is cancelling"),
    ] {
        let dry = it.table(&["message", verb, ID, "--dry-run"]).await;
        assert_eq!(dry.code, 0, "{dry:?}");
        let ran = it.table(&["message", verb, ID, "--reason", "x"]).await;
        assert_eq!(ran.code, 0, "{verb}: {ran:?}");
        assert!(ran.stdout.starts_with(expected), "{verb}: {}", ran.stdout);
    }
    let late = it.table(&["message", "pause", ID, "--reason", "x"]).await;
    assert_eq!(late.code, 1, "{late:?}");
    assert!(
        late.stderr.contains("it is too late to pause it"),
        "{}",
        late.stderr
    );
    let traces = "select count(*) from ficus.message_operation where run_id is not null and campaign_id = 21 and actor = 'operator'";
    assert_eq!(count(it.stage.pool(), traces).await, 3);
}

#[tokio::test]
async fn a_run_that_is_not_there_is_named() {
    let it = Messages::new().await;
    let path = format!("/api/v1/runs/{ID}/cancel");
    let answer = it.post(&path, json!({ "reason": "x" })).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (StatusCode::NOT_FOUND, &json!("unknown-run"))
    );
    let usage = crate::control_stage::run(&[], &["message", "pause", "17", "--reason", "x"]).await;
    assert_eq!(usage.code, 2, "{usage:?}");
}
