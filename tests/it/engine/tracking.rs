//! Mails of the API whose readers are counted, that come back to an address of their own, and that reach nobody.
//!
//! Its own file, because a mail's links and its envelope are seen at the mail server, and what they lead to at the engine.

use ficus::engine::bounce::verp;
use reqwest::Method;
use serde_json::{Value, json};

use super::bed::{Engine, TENANT, Tables, message};
use crate::support::process::eventually;
use crate::support::smtp::{Answer, Script};

const SIGNED: &str = "link_key = \"only-for-tests-only-for-tests-00\"\ninbound_secret = \"only-for-tests-1\"\nbounce_domain = \"bounces.acorn.test\"";
const POSTFIX: &str = include_str!("../../fixtures/bounces/postfix-no-such-user.eml");

fn linking(to: &str, tracking: Option<Value>) -> Value {
    let mut it = message(to);
    it["content"]["body_html"] =
        json!("<body><a href=\"https://shop.example/offer?a=1&amp;b=2\">offer</a></body>");
    if let Some(tracking) = tracking {
        it["tracking"] = tracking;
    }
    it
}

/// The mail to this reader, decoded as far as links need it.
fn body_to(engine: &Engine, to: &str) -> String {
    let seen = engine.mail.seen().messages;
    let mail = seen.iter().find(|it| it.to[0] == to).expect("its mail");
    let body = mail.body.replace("=\r\n", "").replace("=\n", "");
    body.replace("=3D", "=")
}

/// The path of the first link of ours of this kind.
fn path_of(body: &str, kind: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("http://mail.test/{kind}/"))?;
    let end = rest.find('"')?;
    Some(format!("/{kind}/{}", &rest[..end]))
}

#[tokio::test]
async fn opens_and_clicks_are_counted_where_the_sender_asks_for_it() {
    let engine = Engine::with(Tables::new().await, Script::default(), SIGNED).await;
    let both = json!({ "open_tracking": true, "click_tracking": true });
    let opens = json!({ "open_tracking": true, "click_tracking": false });
    let handed = json!([
        linking("both@example.com", Some(both)),
        linking("opens@example.com", Some(opens)),
        linking("none@example.com", None),
    ]);
    let answer = engine.accept(&handed).await;
    engine.mails(3).await;

    let body = body_to(&engine, "both@example.com");
    let (click, open) = (path_of(&body, "c"), path_of(&body, "o"));
    let (click, open) = (click.expect("a link of ours"), open.expect("a pixel"));
    let led = engine.service.send(Method::GET, &click, &[]).await;
    assert_eq!(led.status(), 302);
    assert_eq!(
        led.headers()["location"],
        "https://shop.example/offer?a=1&b=2"
    );
    assert_eq!(
        engine.service.send(Method::GET, &open, &[]).await.status(),
        200
    );
    let id = answer["accepted"][0]["id"].as_str().expect("an id");
    eventually("the counts are written", || async {
        let found: Option<(i64, i64)> =
            sqlx::query_as("select opens, clicks from ficus.reaction where id = $1::uuid")
                .bind(id)
                .fetch_optional(engine.tables.pool())
                .await
                .expect("the counts");
        (found == Some((1, 1))).then_some(())
    })
    .await;

    let body = body_to(&engine, "opens@example.com");
    assert!(path_of(&body, "o").is_some(), "{body}");
    assert!(body.contains("https://shop.example/offer"), "{body}");
    let body = body_to(&engine, "none@example.com");
    assert!(!body.contains("http://mail.test/"), "{body}");
}

#[tokio::test]
async fn a_mail_comes_back_to_an_address_by_which_its_message_is_found() {
    let engine = Engine::with(Tables::new().await, Script::default(), SIGNED).await;
    let answer = engine.accept(&message("gone@example.com")).await;
    engine.mails(1).await;
    let from = engine.mail.seen().messages[0].from.clone();
    let (local, domain) = from.split_once('@').expect("an address");
    assert_eq!(domain, "bounces.acorn.test");
    let returned = verp::Returned::parse(&from).expect("one of ours");
    let id = answer["accepted"][0]["id"].as_str().expect("an id");
    assert_eq!(returned.message().to_string(), id);

    // The report names another message: the address counts.
    let report = POSTFIX
        .replace("{id}", &uuid::Uuid::now_v7().simple().to_string())
        .replace("{returned}", local)
        .replace('\n', "\r\n");
    let headers = [
        ("authorization", "Bearer only-for-tests-1".to_owned()),
        ("content-type", "message/rfc822".to_owned()),
    ];
    let taken = engine
        .service
        .send_body(Method::POST, "/inbound/bounces", &headers, report)
        .await;
    let taken: Value = taken.json().await.expect("JSON");
    assert_eq!(taken["status"], "recorded");
    let again = engine.hand_in(&message("gone@example.com")).await;
    assert_eq!(again.status(), 422, "nothing more is sent there");
}

#[tokio::test]
async fn an_address_that_the_server_does_not_know_is_suppressed_here_and_in_legacy() {
    let script = Script::answering(&[
        ("RCPT TO:<gone@", Answer::Say("550 5.1.1 no such user")),
        ("RCPT TO:<spam@", Answer::Say("550 5.7.1 policy")),
    ]);
    let engine = Engine::with(Tables::new().await, script, "").await;
    let all = ["gone", "spam"].map(|it| message(&format!("{it}@example.com")));
    let answer = engine.accept(&json!(all)).await;
    for place in [0, 1] {
        let id = answer["accepted"][place]["id"].as_str().expect("an id");
        engine.until_status(id, "failed").await;
    }
    let suppressed: Vec<(i64, String, String)> =
        sqlx::query_as("select tenant_id, recipient, reason from ficus.suppression")
            .fetch_all(engine.tables.pool())
            .await
            .expect("the suppressions");
    let expected = (TENANT, "gone@example.com".to_owned(), "bounced".to_owned());
    assert_eq!(suppressed, [expected]);
    engine
        .tables
        .until_legacy("select count(*) from bounced_emails where owner_id = 2 and email = 'gone@example.com' and reason = '550 5.1.1'", 1)
        .await;
    let again = engine.hand_in(&message("Gone@example.com")).await;
    assert_eq!(again.status(), 422);
    assert_eq!(
        engine
            .tables
            .ficus("select count(*) from ficus.bounce where kind = 'failed'")
            .await,
        1
    );
}
