//! Reports as relays hand them in: what ends the sending, what is only written down, and what is refused.
//!
//! Its own file, because the bytes are strangers'.

use ficus::engine::bounce::verp;
use ficus::ids::TenantId;
use reqwest::Response;
use serde_json::Value;
use sqlx::types::Uuid;

use super::{READER, Stage, config, maker, message, send};
use crate::support::modern::detail_of_problem;

const POSTFIX: &str = include_str!("../../../fixtures/bounces/postfix-no-such-user.eml");
const DELAYED: &str = include_str!("../../../fixtures/bounces/postfix-delayed.eml");
const COMPLAINT: &str = include_str!("../../../fixtures/bounces/complaint.eml");
const AWAY: &str = include_str!("../../../fixtures/bounces/out-of-office.eml");

impl Stage {
    async fn hand_in(&self, mail: &str) -> Response {
        let request = self.served.client.post(self.served.at("/inbound/bounces"));
        let request = request
            .header("authorization", "Bearer only-for-tests-1")
            .header("content-type", "message/rfc822")
            .body(mail.to_owned());
        send(request).await
    }

    /// What became of a report, in the answer's word.
    async fn became(&self, mail: &str) -> String {
        let response = self.hand_in(mail).await;
        assert_eq!(response.status(), 202);
        let answer: Value = response.json().await.unwrap();
        answer["status"].as_str().unwrap().to_owned()
    }

    /// A fixture about this message, sent to this local part.
    fn about(&self, fixture: &str, message: Uuid, returned: &str) -> String {
        let mail = fixture.replace("{id}", &message.simple().to_string());
        mail.replace("{returned}", returned).replace('\n', "\r\n")
    }

    fn verp(&self) -> String {
        verp::local_part(maker().keys(), super::TENANT, self.message)
    }

    async fn written(&self) -> Vec<(String, Option<String>)> {
        sqlx::query_as("select kind, status from ficus.bounce order by kind, status")
            .fetch_all(self.ficus.pool())
            .await
            .unwrap()
    }

    /// What legacy has of tenant 7 besides its own row.
    async fn bounced_in_legacy(&self) -> Vec<(String, String)> {
        self.served.links.flush().await;
        sqlx::query_as("select email, reason from bounced_emails where owner_id = 7 and email not like 'reader12%' order by email")
            .fetch_all(self.legacy.pool())
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_mailbox_that_is_not_there_gets_nothing_more_and_legacy_knows_it() {
    let stage = Stage::new().await;
    let mail = stage.about(POSTFIX, stage.message, &stage.verp());
    assert_eq!(stage.became(&mail).await, "recorded");
    let reasons: Vec<String> = stage
        .suppressed()
        .await
        .into_iter()
        .map(|row| row.2)
        .collect();
    assert_eq!(reasons, ["bounced", "bounced"]);
    let expected = vec![(
        READER.to_owned(),
        "5.1.1 550 5.1.1 … Recipient address rejected: User unknown in virtual mailbox table"
            .to_owned(),
    )];
    assert_eq!(stage.bounced_in_legacy().await, expected);
    assert_eq!(stage.became(&mail).await, "known");
    assert_eq!(stage.bounced_in_legacy().await, expected);
    assert_eq!(
        stage.written().await,
        [("failed".to_owned(), Some("5.1.1".to_owned()))]
    );
}

#[tokio::test]
async fn a_delay_is_only_written_down() {
    let stage = Stage::new().await;
    let mail = stage.about(DELAYED, stage.message, &stage.verp());
    assert_eq!(stage.became(&mail).await, "recorded");
    assert_eq!(
        stage.written().await,
        [("delayed".to_owned(), Some("4.4.1".to_owned()))]
    );
    assert!(stage.suppressed().await.is_empty());
    assert!(stage.bounced_in_legacy().await.is_empty());
}

#[tokio::test]
async fn a_complaint_ends_the_sending_and_its_message_is_found_by_its_id() {
    let stage = Stage::new().await;
    let mail = stage.about(COMPLAINT, stage.message, "feedback");
    assert_eq!(stage.became(&mail).await, "recorded");
    let reasons: Vec<String> = stage
        .suppressed()
        .await
        .into_iter()
        .map(|row| row.2)
        .collect();
    assert_eq!(reasons, ["complained", "complained"]);
    let legacy = stage.bounced_in_legacy().await;
    assert_eq!(legacy, [(READER.to_owned(), "complaint: abuse".to_owned())]);
}

#[tokio::test]
async fn the_signed_address_counts_for_more_than_what_the_report_says() {
    let stage = Stage::new().await;
    let other = message(stage.ficus.pool(), TenantId(8), None).await;
    let mail = stage.about(POSTFIX, other, &stage.verp());
    assert_eq!(stage.became(&mail).await, "recorded");
    let tenants: Vec<i64> = stage
        .suppressed()
        .await
        .into_iter()
        .map(|row| row.0)
        .collect();
    assert_eq!(tenants, [7, 7]);
}

#[tokio::test]
async fn a_forged_address_or_an_unknown_message_changes_nothing() {
    let stage = Stage::new().await;
    let forged = verp::local_part(maker().keys(), TenantId(8), stage.message);
    for mail in [
        stage.about(POSTFIX, Uuid::now_v7(), &forged),
        stage.about(POSTFIX, Uuid::now_v7(), "bounces"),
        stage.about(COMPLAINT, Uuid::now_v7(), "feedback"),
    ] {
        assert_eq!(stage.became(&mail).await, "unmatched");
    }
    assert!(stage.written().await.is_empty());
    assert!(stage.suppressed().await.is_empty());
}

#[tokio::test]
async fn an_answer_of_a_person_is_taken_and_ignored() {
    let stage = Stage::new().await;
    let mail = stage.about(AWAY, stage.message, &stage.verp());
    assert_eq!(stage.became(&mail).await, "ignored");
    assert!(stage.written().await.is_empty());
}

#[tokio::test]
async fn a_report_with_a_whole_large_mail_behind_it_is_read() {
    let stage = Stage::new().await;
    let mut mail = stage.about(POSTFIX, stage.message, &stage.verp());
    mail.push_str(&"a line of an attachment\r\n".repeat(100_000));
    assert_eq!(stage.became(&mail).await, "recorded");
}

#[tokio::test]
async fn whoever_does_not_show_the_secret_is_refused() {
    let stage = Stage::new().await;
    let mail = stage.about(POSTFIX, stage.message, &stage.verp());
    for shown in [
        "",
        "Bearer ",
        "Bearer only-for-tests-2",
        "Basic only-for-tests-1",
        "only-for-tests-1",
    ] {
        let request = stage
            .served
            .client
            .post(stage.served.at("/inbound/bounces"));
        let request = request
            .header("authorization", shown)
            .header("content-type", "message/rfc822");
        let response = send(request.body(mail.clone())).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        detail_of_problem(response, 401).await;
    }
    assert!(stage.written().await.is_empty());
}

#[tokio::test]
async fn what_is_no_mail_is_refused_with_what_was_expected() {
    let stage = Stage::new().await;
    for garbage in ["", "\r\n\r\n", "\0\u{1}\u{2}", "hello", "hello there: you"] {
        let detail = detail_of_problem(stage.hand_in(garbage).await, 400).await;
        assert!(detail.contains("RFC 5322"), "{garbage:?}: {detail}");
    }
    let request = stage
        .served
        .client
        .post(stage.served.at("/inbound/bounces"));
    let request = request.header("authorization", "Bearer only-for-tests-1");
    let response = send(
        request
            .header("content-type", "application/json")
            .body("{}"),
    )
    .await;
    assert!(
        detail_of_problem(response, 415)
            .await
            .contains("message/rfc822")
    );
    let huge = "a: b\r\n\r\n".to_owned() + &"x".repeat(33 * 1024 * 1024);
    detail_of_problem(stage.hand_in(&huge).await, 413).await;
}

#[tokio::test]
async fn without_a_secret_no_report_is_taken() {
    let stage = Stage::new().await;
    let mut without = config();
    without.inbound_secret = ficus::secret::Secret::default();
    let pool = super::application(stage.ficus.url());
    let served = super::Served::start(pool, stage.legacy.pool().clone(), &without).await;
    let request = served.client.post(served.at("/inbound/bounces"));
    let response = send(request.header("authorization", "Bearer ")).await;
    detail_of_problem(response, 404).await;
}
