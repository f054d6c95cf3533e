//! A tenant's server that fails: it is left alone, its messages wait, people are told once, and everything leaves when it is back.
//!
//! Its own file, because what counts here is what the server sees of us: connections and logins, and none of them for nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bed::{Engine, Tables, message};
use crate::support::process::eventually;
use crate::support::smtp::{Answer, Script};

/// With which the two passwords are sealed, as `encrypt()` does: "wrong" and "right".
const APP_KEY: &str = "base64:b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDE=";
const WRONG: &str = "eyJpdiI6Ik1ERXlNelExTmpjNE9XRmlZMlJsWmc9PSIsInZhbHVlIjoiOGN0VWpncXdPL3Z2ZGF0NFk4d1F5Zz09IiwibWFjIjoiMzJiY2ZlMTQxNDBlNDM5MGY1ZGNhMThlNDljNmNiMzlmZGNiNzgzNDJmMzNlNDBlODBjZmQ3YjkyMTE3MGY5MiJ9";
const RIGHT: &str = "eyJpdiI6IlptVmtZMkpoT1RnM05qVTBNekl4TUE9PSIsInZhbHVlIjoid3hvSTBDYnJRV3FmVVF1c3VNMUdqUT09IiwibWFjIjoiMTEwNGE0NjEyMzU4NGNiNTc5ZTk0ZTYyZTg1MWI2YzM5MDMyMzNmZTlhYTliN2Y3Yjk0MDgwYmE2ZGZkNDFhMiJ9";
/// What the wrong one is at the server: user "tim".
const WRONG_LOGIN: &str = "AUTH PLAIN AHRpbQB3cm9uZw==";

const ATTEMPTS: &str = "select count(*) from ficus.attempt";
const ALERTS: &str = "select count(*) from ficus.alert";
const OPEN_ALERTS: &str =
    "select count(*) from ficus.alert where key = 'mail-server/2' and resolved_at is null";

fn readers(count: usize) -> Value {
    (0..count)
        .map(|n| message(&format!("reader{n}@example.com")))
        .collect()
}

async fn set_password(engine: &Engine, sealed: &str) {
    sqlx::query("update smtp_servers set host = '127.0.0.1', port = $1, username = 'tim', password = $2 where owner_id = 2")
        .bind(i32::from(engine.mail.address.port()))
        .bind(sealed)
        .execute(engine.tables.legacy.pool())
        .await
        .expect("a server");
}

#[tokio::test]
async fn a_thousand_messages_before_a_dead_server_make_few_connections_and_leave_when_it_is_back() {
    let cuts = Arc::new(AtomicUsize::new(0));
    let (counted, first) = (Arc::clone(&cuts), OnceLock::new());
    let answer = move |line: &str| match line {
        "CONNECT" if first.get_or_init(Instant::now).elapsed() < Duration::from_secs(5) => {
            counted.fetch_add(1, Ordering::Relaxed);
            Answer::Cut
        }
        _ => Answer::Usual,
    };
    let script = Script {
        answer: Box::new(answer),
        ..Script::default()
    };
    let engine = Engine::with(Tables::new().await, script, "").await;
    engine.accept(&readers(1000)).await;
    engine.mails(1000).await;
    let cuts = cuts.load(Ordering::Relaxed);
    assert!(
        (2..=25).contains(&cuts),
        "{cuts} connections to a server that was away for five seconds"
    );
    // Nothing was tried that could not leave.
    assert_eq!(engine.tables.ficus(ATTEMPTS).await, 1000);
    assert_eq!(
        engine.tables.ficus(ALERTS).await,
        0,
        "it was away for less than five minutes"
    );
}

#[tokio::test]
async fn a_refused_login_holds_the_messages_with_one_alert_until_the_password_is_mended() {
    let script = Script {
        offers: vec!["PIPELINING", "AUTH PLAIN"],
        answer: Box::new(|line| match line {
            WRONG_LOGIN => Answer::Say("535 5.7.8 tim, that is not it"),
            _ => Answer::Usual,
        }),
        ..Script::default()
    };
    let more = format!("app_key = \"{APP_KEY}\"\naccount_wait = \"1s\"");
    let engine = Engine::with(Tables::new().await, script, &more).await;
    set_password(&engine, WRONG).await;
    let answer = engine.accept(&readers(3)).await;
    let logins = |lines: &[String]| lines.iter().filter(|it| *it == WRONG_LOGIN).count();
    let first = engine.mail.until(|seen| logins(&seen.lines) > 0).await;
    // Two more probes.
    let most = logins(&first.lines).max(3) + 2;
    engine.mail.until(|seen| logins(&seen.lines) >= most).await;

    for accepted in answer["accepted"].as_array().expect("a list") {
        let shown = engine.status(accepted["id"].as_str().expect("an id")).await;
        assert_eq!(
            (&shown["status"], &shown["attempts"]),
            (&json!("queued"), &json!([]))
        );
    }
    assert_eq!(engine.tables.ficus(ALERTS).await, 1);
    let alert: (String, String) = sqlx::query_as("select title, body from ficus.alert")
        .fetch_one(engine.tables.pool())
        .await
        .expect("the alert");
    let server = engine.mail.address;
    assert_eq!(alert.0, format!("tenant 2: {server} refuses us"));
    assert!(alert.1.contains("535 5.7.8"), "{}", alert.1);
    assert!(
        !alert.1.contains("tim,"),
        "not what the server says: {}",
        alert.1
    );

    set_password(&engine, RIGHT).await;
    engine.mails(3).await;
    eventually("the alert is over", || async {
        (engine.tables.ficus(OPEN_ALERTS).await == 0).then_some(())
    })
    .await;
    assert_eq!(engine.tables.ficus(ALERTS).await, 1);
    assert_eq!(engine.tables.ficus(ATTEMPTS).await, 3);
}
