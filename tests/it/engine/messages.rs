//! Messages that are handed in one by one or in a list: what is answered, what leaves, and what legacy's tables say then.
//!
//! Its own file, because this is the face by which everything but legacy's own routes speaks to the engine.

use reqwest::Method;
use serde_json::{Value, json};

use super::bed::{Engine, TENANT, Tables, message};
use crate::support::modern::detail_of_problem;
use crate::support::smtp::{Answer, Script};

const LEFT: &str = "select email::bigint from email_s_m_s_limit_rates where owner_id = 2";
const SENT: &str = "select count(*) from user_sent_records where owner_id = 2 and type = 'email' and created_at > now() at time zone 'UTC' - interval '1 hour'";

#[tokio::test]
async fn a_message_goes_through_the_tenants_server_and_is_counted_once() {
    let engine = Engine::start().await;
    let (left, sent) = (
        engine.tables.legacy(LEFT).await,
        engine.tables.legacy(SENT).await,
    );
    let answer = engine.accept(&message("Ann@example.com")).await;
    let id = answer["accepted"][0]["id"].as_str().expect("an id");
    assert_eq!(
        answer,
        json!({ "accepted": [{ "index": 0, "id": id }], "duplicate": [], "rejected": [] })
    );

    engine.mails(1).await;
    let mail = &engine.mail.seen().messages[0];
    assert_eq!(
        (mail.from.as_str(), &mail.to),
        ("shop@example.com", &vec!["Ann@example.com".to_owned()])
    );
    for header in ["Subject: News", "Hello"] {
        assert!(mail.body.contains(header), "{}", mail.body);
    }
    let shown = engine.until_status(id, "accepted").await;
    assert_eq!(
        shown["attempts"].as_array().map(Vec::len),
        Some(1),
        "{shown}"
    );
    assert_eq!(shown["attempts"][0]["code"], "250 2.0.0", "{shown}");
    engine.tables.until_legacy(SENT, sent + 1).await;
    assert_eq!(engine.tables.legacy(LEFT).await, left - 1);
}

#[tokio::test]
async fn each_of_a_list_has_its_own_fate() {
    let engine = Engine::start().await;
    sqlx::query("insert into ficus.suppression (tenant_id, channel, recipient, reason) values ($1, 'email', 'gone@example.com', 'unsubscribed')")
        .bind(TENANT)
        .execute(engine.tables.pool())
        .await
        .expect("a suppression");
    let mut keyed = message("key@example.com");
    keyed["idempotency_key"] = json!("order-7");
    let mut other = keyed.clone();
    other["content"]["subject"] = json!("Something else");
    let list = json!([
        message("ann@example.com"),
        message("no address"),
        keyed,
        keyed,
        other,
        message("Gone@Example.com"),
        { "type": "email" },
    ]);
    let left = engine.tables.legacy(LEFT).await;
    let answer = engine.accept(&list).await;
    let indexes = |part: &str| {
        let list = answer[part].as_array().expect("a list");
        list.iter()
            .map(|it| it["index"].as_u64().expect("an index"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (
            indexes("accepted"),
            indexes("duplicate"),
            indexes("rejected")
        ),
        (vec![0, 2], vec![3], vec![1, 4, 5, 6]),
        "{answer}"
    );
    let codes: Vec<_> = answer["rejected"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["code"].clone())
        .collect();
    assert_eq!(codes, ["address", "conflict", "suppressed", "shape"]);
    assert_eq!(answer["duplicate"][0]["id"], answer["accepted"][1]["id"]);
    engine.mails(2).await;
    assert_eq!(
        engine.tables.legacy(LEFT).await,
        left - 2,
        "only what is sent is paid for"
    );
}

#[tokio::test]
async fn one_that_is_refused_is_a_fault_of_the_request() {
    let engine = Engine::start().await;
    let mut keyed = message("ann@example.com");
    keyed["idempotency_key"] = json!("order-7");
    engine.accept(&keyed).await;
    let again = engine.accept(&keyed).await;
    assert_eq!(again["duplicate"][0]["index"], 0, "{again}");
    keyed["content"]["subject"] = json!("Another");
    let detail = detail_of_problem(engine.hand_in(&keyed).await, 409).await;
    assert!(detail.contains("another message"), "{detail}");
    let detail = detail_of_problem(engine.hand_in(&message("nobody")).await, 422).await;
    assert!(detail.contains("recipient.email"), "{detail}");
    for (body, status) in [("{", 400), ("7", 400), ("[]", 400)] {
        let headers = [("x-ficus-tenant", TENANT.to_string())];
        let answer = engine
            .service
            .send_body(Method::POST, "/api/v1/messages", &headers, body.to_owned())
            .await;
        detail_of_problem(answer, status).await;
    }
    let many = Value::Array(vec![message("ann@example.com"); 1001]);
    detail_of_problem(engine.hand_in(&many).await, 413).await;
    let nobody = engine
        .service
        .send_body(
            Method::POST,
            "/api/v1/messages",
            &[],
            message("a@b.test").to_string(),
        )
        .await;
    detail_of_problem(nobody, 401).await;
}

#[tokio::test]
async fn a_message_is_its_own_tenants_alone() {
    let engine = Engine::start().await;
    let answer = engine.accept(&message("ann@example.com")).await;
    let path = format!(
        "/api/v1/messages/{}",
        answer["accepted"][0]["id"].as_str().expect("an id")
    );
    let other = engine
        .service
        .get(TENANT + 1, &path, "application/json")
        .await;
    detail_of_problem(other, 404).await;
}

#[tokio::test]
async fn without_quota_a_message_is_refused_and_quota_never_falls_below_zero() {
    let engine = Engine::start().await;
    engine
        .tables
        .change_legacy("update email_s_m_s_limit_rates set email = 2 where owner_id = 2")
        .await;
    let list: Vec<Value> = (0..5)
        .map(|n| message(&format!("ann{n}@example.com")))
        .collect();
    let answer = engine.accept(&Value::Array(list)).await;
    let codes: Vec<_> = answer["rejected"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["code"].clone())
        .collect();
    assert_eq!(
        (answer["accepted"].as_array().map(Vec::len), codes),
        (Some(2), vec![json!("quota"); 3])
    );
    assert_eq!(engine.tables.legacy(LEFT).await, 0);
    detail_of_problem(engine.hand_in(&message("late@example.com")).await, 422).await;
    assert_eq!(engine.tables.legacy(LEFT).await, 0);
}

#[tokio::test]
async fn what_the_server_refuses_for_good_gives_its_quota_back() {
    let refusing = Script::answering(&[("RCPT TO:<nobody", Answer::Say("550 5.1.1 no such user"))]);
    let engine = Engine::with(Tables::new().await, refusing, "").await;
    let left = engine.tables.legacy(LEFT).await;
    let answer = engine
        .accept(&json!([
            message("nobody@example.com"),
            message("ann@example.com")
        ]))
        .await;
    let id = answer["accepted"][0]["id"].as_str().expect("an id");
    let shown = engine.until_status(id, "failed").await;
    assert_eq!(shown["attempts"][0]["code"], "550 5.1.1", "{shown}");
    engine.mails(1).await;
    engine.tables.until_legacy(LEFT, left - 1).await;
}

#[tokio::test]
async fn a_server_that_is_away_costs_no_attempt_and_what_waits_goes_when_it_is_back() {
    let engine = Engine::start().await;
    let [dead] = crate::support::process::free_ports();
    let port: i32 = dead.port().into();
    sqlx::query("update smtp_servers set host = '127.0.0.1', port = $1 where owner_id = 2")
        .bind(port)
        .execute(engine.tables.legacy.pool())
        .await
        .expect("a server");
    let answer = engine.accept(&message("ann@example.com")).await;
    let id = answer["accepted"][0]["id"].as_str().expect("an id");
    let shown = engine.status(id).await;
    assert_eq!(
        (&shown["status"], &shown["attempts"]),
        (&json!("queued"), &json!([]))
    );
    // The tenant mends its settings: no restart is needed.
    sqlx::query("update smtp_servers set port = $1 where owner_id = 2")
        .bind(i32::from(engine.mail.address.port()))
        .execute(engine.tables.legacy.pool())
        .await
        .expect("a server");
    let shown = engine.until_status(id, "accepted").await;
    assert_eq!(shown["attempts"][0]["number"], 1, "{shown}");
}

#[tokio::test]
async fn legacy_and_the_engine_take_from_the_same_quota_and_together_never_too_much() {
    let engine = Engine::start().await;
    engine
        .tables
        .change_legacy("update email_s_m_s_limit_rates set email = 50 where owner_id = 2")
        .await;
    let by_legacy = async {
        let mut taken = 0;
        for _ in 0..40 {
            let sql = "update email_s_m_s_limit_rates set email = email - 1 where owner_id = 2 and email > 0";
            let done = sqlx::query(sql).execute(engine.tables.legacy.pool()).await;
            taken += done.expect("legacy's own").rows_affected() as usize;
        }
        taken
    };
    let lists = (0..6).map(|list| {
        let messages = (0..10).map(|n| message(&format!("ann{list}-{n}@example.com")));
        let messages = Value::Array(messages.collect());
        let engine = &engine;
        async move {
            let answer = engine.accept(&messages).await;
            answer["accepted"].as_array().map_or(0, Vec::len)
        }
    });
    let (by_legacy, by_engine) = tokio::join!(by_legacy, futures_util::future::join_all(lists));
    assert_eq!(by_legacy + by_engine.iter().sum::<usize>(), 50);
    assert_eq!(engine.tables.legacy(LEFT).await, 0);
}
