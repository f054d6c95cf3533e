//! Links of legacy's mails, which are out for years.
//!
//! Its own file, because these carry no proof of ours, and the package's were open redirects.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ficus::engine::tracking::PIXEL;
use futures_util::future::join_all;
use sqlx::types::Uuid;

use super::{Stage, location, send};

const HASH: &str = "abcdefghijABCDEFGHIJ0123456789xy";

async fn tracker(stage: &Stage, link: Option<&str>) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query("insert into email_trackers (tracker, owner_id, campaign_id, email, link, opens) values ($1, 7, 71, 'a@x.test', $2, 3)")
        .bind(id)
        .bind(link)
        .execute(stage.legacy.pool())
        .await
        .unwrap();
    id
}

async fn counts(stage: &Stage, tracker: Uuid) -> (i32, i32) {
    stage.served.links.flush().await;
    sqlx::query_as("select opens, clicks from email_trackers where tracker = $1")
        .bind(tracker)
        .fetch_one(stage.legacy.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_trackers_click_leads_to_its_link_and_is_counted_where_legacy_counts() {
    let stage = Stage::new().await;
    let id = tracker(&stage, Some("https://shop.test/ü?a=1")).await;
    let click = format!("/tracker/{id}/click");
    let open = format!("/tracker/{id}/open");
    let asked = (0..60).map(|n| stage.get(if n % 2 == 0 { &click } else { &open }));
    for response in join_all(asked).await {
        match response.status().as_u16() {
            302 => assert_eq!(location(&response), "https://shop.test/%C3%BC?a=1"),
            status => assert_eq!(status, 200),
        }
    }
    let head = send(stage.served.client.head(stage.served.at(&click))).await;
    assert_eq!(head.status(), 302);
    assert_eq!(counts(&stage, id).await, (33, 30));
}

#[tokio::test]
async fn a_tracker_without_a_link_leads_home_and_one_that_is_no_url_leads_nowhere() {
    let stage = Stage::new().await;
    let home = tracker(&stage, None).await;
    let response = stage.get(&format!("/tracker/{home}/click")).await;
    assert_eq!(
        (response.status().as_u16(), location(&response)),
        (302, "/")
    );
    assert_eq!(counts(&stage, home).await, (3, 1));
    for link in ["javascript:alert(1)", "//evil.test", "shop.test", ""] {
        let id = tracker(&stage, Some(link)).await;
        let response = stage
            .get(&format!("/tracker/{id}/click?url=https://evil.test"))
            .await;
        assert_eq!(response.status(), 404, "{link}");
        assert_eq!(counts(&stage, id).await, (3, 0));
    }
}

#[tokio::test]
async fn the_pixel_is_shown_whatever_the_tracker_and_a_click_of_none_leads_nowhere() {
    let stage = Stage::new().await;
    let id = Uuid::now_v7();
    let response = stage.get(&format!("/tracker/{id}/open")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "image/gif");
    assert_eq!(response.bytes().await.unwrap(), PIXEL.as_slice());
    assert_eq!(
        stage.get(&format!("/tracker/{id}/click")).await.status(),
        404
    );
    assert_eq!(stage.get("/tracker/1/click").await.status(), 404);
    stage.served.links.flush().await;
    assert_eq!(stage.served.links.lost(), 0);
}

#[tokio::test]
async fn a_counter_that_is_full_stands_still_and_holds_nothing_up() {
    let stage = Stage::new().await;
    let full = tracker(&stage, None).await;
    sqlx::raw_sql("update email_trackers set opens = 2147483647")
        .execute(stage.legacy.pool())
        .await
        .unwrap();
    let other = tracker(&stage, None).await;
    for id in [full, other] {
        stage.get(&format!("/tracker/{id}/open")).await;
    }
    assert_eq!(counts(&stage, full).await, (i32::MAX, 0));
    assert_eq!(counts(&stage, other).await, (4, 0));
}

#[tokio::test]
async fn the_packages_links_lead_to_stored_targets_and_nowhere_else() {
    let stage = Stage::new().await;
    assert_eq!(stage.get(&format!("/email/t/{HASH}")).await.status(), 200);
    for (url, status) in [
        ("http://blog.test/", 302),
        ("https://shop.test/?a=1&b=2", 302),
        ("https://evil.test/", 404),
        ("http://blog.test/x", 404),
        ("http://blog.test", 404),
        ("javascript:alert(1)", 404),
    ] {
        let encoded = STANDARD.encode(url).replace('/', "$");
        let mut query = reqwest::Url::parse("http://x/email/n").unwrap();
        query
            .query_pairs_mut()
            .append_pair("l", url)
            .append_pair("h", HASH);
        for path in [
            format!("/email/l/{encoded}/{HASH}"),
            format!("/email/n?{}", query.query().unwrap()),
        ] {
            let response = stage.get(&path).await;
            assert_eq!(response.status(), status, "{path}");
            if status == 302 {
                assert_eq!(location(&response), url);
            }
        }
    }
    assert_eq!(stage.get("/email/t/short").await.status(), 404);
}
