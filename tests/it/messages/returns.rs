//! `ficus message return` and `returns`: what the commands say, with and without an engine that does the work.
//!
//! Its own file, because what is promised at once and what follows are two answers.

use serde_json::{Value, json};

use super::{ACME, Messages};
use crate::queue::{accept, count};

const RUN: &str = "select ficus.begin_run('01931c5e-7a40-7000-8000-000000000001', 1, 21, 22, gen_random_uuid(), sha256('x'), '{}')";

#[tokio::test]
async fn a_tenant_without_campaigns_is_returned_at_once_and_what_stays_is_named() {
    let it = Messages::new().await;
    accept(it.stage.pool(), ACME, 2).await;
    let dry = it.table(&["message", "return", "acme", "--dry-run"]).await;
    assert!(
        dry.stdout
            .starts_with("dry run: tenant 1 would be returned, nothing was changed\n"),
        "{dry:?}"
    );
    let none = it.ficus(&["message", "returns"]).await.json();
    assert_eq!(none["items"], json!([]));

    let done = it
        .table(&["message", "return", "acme", "--reason", "INC-42"])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    for line in [
        "state       returned",
        "2 of no campaign: legacy has no place for them, they stay held here",
    ] {
        assert!(done.stdout.contains(line), "{line}: {}", done.stdout);
    }
    let again = it
        .table(&[
            "message",
            "return",
            "acme",
            "--reason",
            "INC-42",
            "--no-wait",
        ])
        .await;
    assert!(again.stdout.starts_with("no change: tenant 1"), "{again:?}");
    let holds = it
        .ficus(&["message", "holds", "--tenant", "acme"])
        .await
        .json();
    assert_eq!(holds["items"][0]["reason"], "INC-42");
    let traces = "select count(*) from ficus.message_operation where operation = 'return' and actor = 'operator' and source = 'cli'";
    assert_eq!(count(it.stage.pool(), traces).await, 1);

    // Let go of, it is the engine's again.
    it.ficus(&["message", "release", "acme", "--reason", "over"])
        .await;
    let none = it.ficus(&["message", "returns"]).await.json();
    assert_eq!(none["items"], json!([]));
    let whose = it.table(&["message", "returns", "--tenant", "acme"]).await;
    assert_eq!(whose.code, 1, "{whose:?}");
    assert!(
        whose.stderr.contains("messages are the engine's"),
        "{}",
        whose.stderr
    );
}

#[tokio::test]
async fn without_an_engine_the_return_stands_and_the_command_says_that_it_is_not_done() {
    let it = Messages::new().await;
    sqlx::raw_sql(RUN).execute(it.stage.pool()).await.unwrap();
    let args = [
        "message",
        "return",
        "acme",
        "--reason",
        "INC-42",
        "--timeout",
        "1s",
    ];
    let ran = it.table(&args).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(
        ran.stderr.contains("an engine goes on with it"),
        "{}",
        ran.stderr
    );
    let page = it.ficus(&["message", "returns"]).await.json();
    assert_eq!(
        (&page["items"][0]["open"], &page["items"][0]["is_done"]),
        (&json!(1), &Value::Bool(false))
    );
}

#[tokio::test]
async fn without_the_api_a_return_speaks_to_the_database() {
    let it = Messages::new().await;
    let url = it.stage.db.url();
    let args = ["message", "return", "acme", "--direct", "--reason", "x"];
    let ran = crate::control_stage::run(&[("DATABASE_URL", url)], &args).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let traces = "select count(*) from ficus.message_operation where operation = 'return' and actor = 'kim' and source = 'direct'";
    assert_eq!(count(it.stage.pool(), traces).await, 1);
}
