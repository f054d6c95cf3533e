//! A send, on either side: legacy's mail by SMTP within the request, modern's 202 and its mail right after.
//!
//! Its own file, because nobody may get an e-mail twice, and nobody none.

use ficus::demo::mail::MailCatcher;

use super::visitor::{JSON, Visitor};
use super::{Site, legacy, legacy_pool};
use crate::support::process::eventually;
use crate::support::{Database, scratch_folder};

#[tokio::test]
async fn a_send_of_a_moved_tenant_is_accepted_by_modern_and_anothers_is_mailed_by_legacy() {
    let database = Database::new().await;
    legacy().await;
    let mail = MailCatcher::start(0, 0, &scratch_folder())
        .await
        .expect("a mail catcher");
    // These two tenants bring a mail server of their own, as tenants do.
    sqlx::query("update smtp_servers set host = '127.0.0.1', port = $1 where owner_id in (9, 10)")
        .bind(i32::from(mail.smtp.port()))
        .execute(&legacy_pool().await)
        .await
        .expect("mail servers");
    let site = Site::start(database.url()).await;
    site.know(&["9", "10"]).await;
    let mut moved = Visitor::log_in(site.first.proxy, "owner@harbour.test").await;
    let mut stayed = Visitor::log_in(site.first.proxy, "owner@summit.test").await;

    site.flip("9", "messaging", "modern").await;
    let accepted = moved
        .get("/campaign/send-email/campaign-91/template-91", JSON)
        .await;
    assert_eq!(
        (accepted.status, accepted.served_by()),
        (202, "modern"),
        "{}",
        accepted.body
    );
    let id = accepted.json()["id"].as_str().expect("an id").to_owned();
    let stored: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "select id::text, tenant_id, campaign_id, template_id from ficus.campaign_run",
    )
    .fetch_all(database.pool())
    .await
    .expect("the stored sends");
    assert_eq!(stored, [(id, 9, 91, 91)]);
    eventually("the engine's three mails", || async {
        (mail.received() == 3).then_some(())
    })
    .await;
    let recipients = |of: &str| {
        let mut all: Vec<String> = mail
            .messages()
            .iter()
            .flat_map(|m| m.recipients.clone())
            .collect();
        all.retain(|it| it.contains(of));
        all.sort();
        all
    };
    assert_eq!(
        recipients(".harbour@"),
        [1, 2, 3].map(|n| format!("reader{n}.harbour@example.test")),
        "each once, and none by legacy"
    );

    let sent = stayed
        .get("/campaign/send-email/campaign-101/template-101", JSON)
        .await;
    assert_eq!(
        (sent.status, sent.served_by()),
        (200, "legacy"),
        "{}",
        sent.body
    );
    assert_eq!(
        sent.json(),
        serde_json::json!({ "status": "sent", "sent": 3, "failed": 0, "skipped": 0 })
    );
    assert_eq!(
        recipients(".summit@"),
        [1, 2, 3].map(|n| format!("reader{n}.summit@example.test"))
    );
    assert_eq!(mail.received(), 6);
    // The links in the mail lead to where the visitor was, not to the upstream behind the proxy.
    let text = String::from_utf8_lossy(&mail.messages()[0].raw)
        .replace("=\r\n", "")
        .replace("=3D", "=");
    assert!(
        text.contains(&format!("http://{}/tracker/", super::visitor::SITE)),
        "{text}"
    );
}
