//! Unsubscribing: a page that asks, a POST that does it, and what legacy's tables say then.
//!
//! Its own file, because a scanner's GET and a mailbox provider's POST must not be confused.

use ficus::engine::tracking::Purpose;
use ficus::ids::TenantId;

use super::{READER, Stage, path, send};

#[tokio::test]
async fn the_page_asks_and_changes_nothing_however_often_scanners_follow_it() {
    let stage = Stage::new().await;
    let link = stage.path(Purpose::Unsubscribe);
    for _ in 0..3 {
        let response = stage.get(&link).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["referrer-policy"], "no-referrer");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        let page = response.text().await.unwrap();
        for part in [
            "<html lang=\"en\">",
            "<h1>Unsubscribe</h1>",
            "Fern &amp; Moss &quot;Florists&quot;",
            "<form method=\"post\"><button type=\"submit\">Unsubscribe</button></form>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(
            !page.contains("example.test") && !page.contains("<script"),
            "{page}"
        );
    }
    let head = send(stage.served.client.head(stage.served.at(&link))).await;
    assert_eq!(head.status(), 200);
    assert!(stage.suppressed().await.is_empty());
    assert_eq!(unsubscribed(&stage).await, before());
}

#[tokio::test]
async fn one_click_unsubscribes_without_a_cookie_or_a_redirect_and_legacy_knows_it() {
    let stage = Stage::new().await;
    let link = stage.path(Purpose::Unsubscribe);
    for _ in 0..2 {
        let request = stage.served.client.post(stage.served.at(&link));
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body("List-Unsubscribe=One-Click");
        let response = send(request).await;
        assert_eq!(response.status(), 200);
        for none in ["set-cookie", "location"] {
            assert!(response.headers().get(none).is_none(), "{none}");
        }
        let page = response.text().await.unwrap();
        assert!(page.contains("<h1>You are unsubscribed</h1>"), "{page}");
    }
    stage.served.links.flush().await;
    let row = |recipient: &str| (7, recipient.to_owned(), "unsubscribed".to_owned());
    let expected = [row(READER), row(&READER.to_lowercase())];
    let mut suppressed = stage.suppressed().await;
    suppressed.sort();
    assert_eq!(suppressed, expected);
    assert_eq!(unsubscribed(&stage).await, [1, 11]);
    assert_eq!(stage.number("select count(*) from ficus.untold").await, 0);
}

#[tokio::test]
async fn the_pages_own_button_unsubscribes_as_well() {
    let stage = Stage::new().await;
    let response = stage.post(&stage.path(Purpose::Unsubscribe)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(stage.suppressed().await.len(), 2);
}

#[tokio::test]
async fn a_link_of_another_purpose_unsubscribes_nobody() {
    let stage = Stage::new().await;
    for purpose in [Purpose::Open, Purpose::Click(0)] {
        assert_eq!(stage.post(&stage.path(purpose)).await.status(), 405);
    }
    let forged = path(TenantId(8), stage.message, Purpose::Unsubscribe);
    assert_eq!(stage.post(&forged).await.status(), 404);
    assert!(stage.suppressed().await.is_empty());
}

#[tokio::test]
async fn an_sms_is_unsubscribed_from_without_a_word_to_legacys_contacts() {
    let stage = Stage::new().await;
    sqlx::raw_sql("update ficus.message set channel = 'sms', recipient = '+4915112345678'")
        .execute(stage.ficus.pool())
        .await
        .unwrap();
    let response = stage.post(&stage.path(Purpose::Unsubscribe)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        stage
            .number("select count(*) from ficus.suppression where channel = 'sms'")
            .await,
        1
    );
    assert_eq!(stage.number("select count(*) from ficus.untold").await, 0);
}

#[tokio::test]
async fn what_legacy_could_not_be_told_is_told_when_it_can() {
    let stage = Stage::new().await;
    sqlx::raw_sql("alter table email_contacts rename to away")
        .execute(stage.legacy.pool())
        .await
        .unwrap();
    let response = stage.post(&stage.path(Purpose::Unsubscribe)).await;
    assert_eq!(response.status(), 200);
    stage.served.links.flush().await;
    assert_eq!(stage.number("select count(*) from ficus.untold").await, 1);
    sqlx::raw_sql("alter table away rename to email_contacts")
        .execute(stage.legacy.pool())
        .await
        .unwrap();
    stage.served.links.flush().await;
    assert_eq!(stage.number("select count(*) from ficus.untold").await, 0);
    assert_eq!(unsubscribed(&stage).await, [1, 11]);
}

/// The tenant's contacts that have unsubscribed. The eleventh has from the beginning.
async fn unsubscribed(stage: &Stage) -> Vec<i64> {
    sqlx::query_scalar(
        "select id - 700 from email_contacts where owner_id = 7 and is_unsubscribed order by id",
    )
    .fetch_all(stage.legacy.pool())
    .await
    .unwrap()
}

fn before() -> Vec<i64> {
    vec![11]
}
