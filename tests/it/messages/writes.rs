//! Sending again, settling, holding back: what each command says, and with which code it ends.
//!
//! Its own file, because scripts and runbooks stand on these answers.

use axum::body::Body;
use axum::http::Request;
use ficus::engine::message::{End, MessageId};
use ficus::engine::queue::Queue;
use serde_json::{Value, json};

use super::{ACME, Messages, ROUTE, ids};
use crate::queue::{accept, begin, count};

#[tokio::test]
async fn dead_letters_are_listed_and_retried_each_with_its_own_answer() {
    let it = Messages::new().await;
    let (dead, done) = (it.ended(End::Dead).await, it.ended(End::Accepted).await);
    let (dead, done) = (dead.to_string(), done.to_string());
    let letters = it
        .ficus(&["message", "dead-letters", "--tenant", "acme"])
        .await;
    assert_eq!(ids(&letters.json()), std::slice::from_ref(&dead));

    let nobody = MessageId::new().to_string();
    let all = ["message", "retry", &dead, &done, &nobody];
    let dry = it.ficus(&[&all[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.json()["items"][0]["became"], "due");
    let ran = it.ficus(&[&all[..], &["--reason", "x"]].concat()).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let became: Vec<Value> = ran.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["became"].clone())
        .collect();
    assert_eq!(became, ["due", "refused", "missing"]);
    assert!(ran.stderr.contains("next: "), "{}", ran.stderr);

    let again = it
        .table(&["message", "retry", &dead, "--reason", "x"])
        .await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("already due"), "{}", again.stdout);
    let letters = it.ficus(&["message", "dead-letters"]).await;
    assert!(ids(&letters.json()).is_empty(), "it is on its way");
}

#[tokio::test]
async fn an_uncertain_message_is_settled_once_and_who_wants_it_otherwise_is_told() {
    let it = Messages::new().await;
    let id = it.ended(End::Uncertain).await.to_string();
    let settle = |verdict: &'static str| {
        let id = id.clone();
        let it = &it;
        async move {
            let args = ["message", "settle", &id, verdict, "--reason", "their log"];
            it.table(&args).await
        }
    };
    let first = settle("sent").await;
    assert_eq!(
        (first.code, first.stdout.as_str()),
        (0, "settled as sent: it is accepted\n")
    );
    let same = settle("sent").await;
    assert!(
        same.code == 0
            && same
                .stdout
                .starts_with("no change: operator settled it as sent"),
        "{same:?}"
    );
    let other = settle("resend").await;
    assert_eq!(other.code, 4, "{other:?}");
    assert!(
        other.stderr.contains("was settled as sent by operator"),
        "{}",
        other.stderr
    );

    let dead = it.ended(End::Dead).await;
    let path = format!("{ROUTE}/{dead}/settle");
    let never = it.post(&path, json!({ "as": "sent", "reason": "x" })).await;
    assert_eq!(
        (never.status.as_u16(), &never.body["code"]),
        (422, &json!("not-uncertain"))
    );
    let path = format!("{ROUTE}/{}/settle", MessageId::new());
    let nobody = it.post(&path, json!({ "as": "sent", "reason": "x" })).await;
    assert_eq!(nobody.body["code"], "unknown-message");
    let why = it.post(&path, json!({ "as": "sent" })).await;
    assert_eq!(
        (why.status.as_u16(), &why.body["code"]),
        (422, &json!("invalid"))
    );
}

#[tokio::test]
async fn a_tenant_and_a_campaign_are_held_and_let_go_apart() {
    let it = Messages::new().await;
    accept(it.stage.pool(), ACME, 1).await;
    let due = it.queue.load(ACME, None, 10).await.unwrap();
    it.queue.begin(&[begin(&due[0], it.epoch)]).await.unwrap();
    let hold = ["message", "hold", "acme", "--reason", "INC-42"];
    let dry = it.table(&["message", "hold", "acme", "--dry-run"]).await;
    assert!(dry.stdout.contains("nothing was changed"), "{}", dry.stdout);

    let held = it.table(&hold).await;
    assert_eq!(
        held.stdout, "held: tenant 1\n1 attempt is under way\n",
        "{held:?}"
    );
    let again = it.table(&hold).await;
    assert_eq!(again.code, 0);
    assert!(
        again
            .stdout
            .starts_with("no change: tenant 1 is held since"),
        "{}",
        again.stdout
    );
    it.ficus(&[&hold[..], &["--campaign", "21"]].concat()).await;
    let holds = it
        .ficus(&["message", "holds", "--tenant", "acme"])
        .await
        .json();
    assert_eq!(holds["items"][0]["campaign_id"], Value::Null);
    assert_eq!(holds["items"][1]["campaign_id"], 21);

    let release = ["message", "release", "acme", "--reason", "over"];
    let released = it.table(&release).await;
    assert!(released.stdout.starts_with("released\n"), "{released:?}");
    assert!(
        released.stdout.contains("21"),
        "the campaign's stays: {released:?}"
    );
    let twice = it.table(&release).await;
    assert!(
        twice.stdout.starts_with("no change: it was not held"),
        "{twice:?}"
    );
    let nobody = it.table(&["message", "hold", "700", "--reason", "x"]).await;
    assert_eq!(nobody.code, 1);
    assert!(nobody.stderr.contains("no tenant 700"), "{}", nobody.stderr);
    let traces =
        "select count(*) from ficus.message_operation where actor = 'operator' and source = 'cli'";
    assert_eq!(count(it.stage.pool(), traces).await, 3);
}

#[tokio::test]
async fn the_same_key_is_done_once_and_answered_alike() {
    let it = Messages::new().await;
    let dead = it.ended(End::Dead).await.to_string();
    let ask = async |body: &Value| {
        let request = Request::post(format!("{ROUTE}/retry"))
            .header("authorization", format!("Bearer {}", it.operator))
            .header("content-type", "application/json")
            .header("idempotency-key", "one")
            .body(Body::from(body.to_string()));
        it.stage.send(request.unwrap()).await
    };
    let body = json!({ "ids": [dead], "reason": "x" });
    let first = ask(&body).await;
    assert_eq!(first.body["items"][0]["became"], "due");
    let second = ask(&body).await;
    assert_eq!(second.body, first.body, "and not already-due");
    assert_eq!(second.headers["idempotency-replayed"], "true");
    let other = ask(&json!({ "ids": [dead], "reason": "y" })).await;
    assert_eq!(other.body["code"], "key-reused");
}

#[tokio::test]
async fn without_the_api_the_same_commands_speak_to_the_database() {
    let it = Messages::new().await;
    let dead = it.ended(End::Dead).await.to_string();
    let url = it.stage.db.url();
    let args = ["message", "retry", &dead, "--direct", "--reason", "x"];
    let ran = crate::control_stage::run(&[("DATABASE_URL", url)], &args).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let traces =
        "select count(*) from ficus.message_operation where actor = 'kim' and source = 'direct'";
    assert_eq!(count(it.stage.pool(), traces).await, 1);
}

#[tokio::test]
async fn wrong_usage_exits_2_and_says_what_was_expected() {
    for (args, expected) in [
        (&["message", "show", "17"][..], "invalid value '17'"),
        (&["message", "retry", "--reason", "x"], "<ID>"),
        (
            &[
                "message",
                "settle",
                "01931c5e-7a40-7000-8000-000000000001",
                "lost",
                "--reason",
                "x",
            ],
            "sent, failed, resend",
        ),
        (&["message", "hold", "acme"], "--reason"),
        (
            &[
                "message",
                "hold",
                "acme",
                "--campaign",
                "0",
                "--reason",
                "x",
            ],
            "1..",
        ),
        (&["message", "list", "--state", "blue"], "uncertain"),
    ] {
        let ran = crate::control_stage::run(&[], args).await;
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{args:?}: {}", ran.stderr);
    }
}
