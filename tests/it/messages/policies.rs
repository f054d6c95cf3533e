//! `ficus message policy`: a tenant's own rule for what nobody settles, set, listed and taken away.
//!
//! Its own file, because it is a rule; what it does to messages is tested in `queue/operations/settling.rs`.

use serde_json::json;

use super::Messages;
use crate::queue::count;

#[tokio::test]
async fn a_policy_is_set_listed_and_taken_away_and_twice_is_once() {
    let it = Messages::new().await;
    let set = [
        "message",
        "policy",
        "acme",
        "at-least-once",
        "--reason",
        "theirs are idempotent",
    ];
    let dry = it
        .table(&["message", "policy", "acme", "at-least-once", "--dry-run"])
        .await;
    assert!(dry.stdout.starts_with("dry run: tenant 1"), "{dry:?}");
    let done = it.table(&set).await;
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "tenant 1: at_least_once\n"),
        "{done:?}"
    );
    let again = it.table(&set).await;
    assert!(again.stdout.starts_with("no change: tenant 1"), "{again:?}");
    let all = it.ficus(&["message", "policy"]).await.json();
    assert_eq!(
        (&all["items"][0]["tenant_id"], &all["items"][0]["policy"]),
        (&json!(1), &json!("at_least_once"))
    );
    it.ficus(&["message", "policy", "acme", "default", "--reason", "over"])
        .await;
    let all = it.ficus(&["message", "policy"]).await.json();
    assert_eq!(all["items"], json!([]));
    let traces = "select count(*) from ficus.message_operation where operation = 'policy' and actor = 'operator'";
    assert_eq!(count(it.stage.pool(), traces).await, 2);

    for args in [
        &["message", "policy", "acme"][..],
        &["message", "policy", "acme", "at-least-once"],
    ] {
        let usage = it.ficus(args).await;
        assert_eq!(usage.code, 2, "{usage:?}");
    }
}
