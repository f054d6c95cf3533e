//! One session, two sides: who is logged in at legacy is known to the proxy and answered by either.
//!
//! Its own file, because it is what the product is for.

use serde_json::Value;

use super::Site;
use super::visitor::{Answer, BROWSER, JSON, Visitor};
use crate::support::Database;
use crate::support::process::eventually;

/// What both sides must answer alike, for tenant 2.
const PAGES: [&str; 4] = [
    "/dashboard/stats",
    "/dashboard/campaigns",
    "/dashboard/campaigns/21",
    "/dashboard/campaigns/23",
];

/// What each side answered, and what it said of itself.
async fn read_all(visitor: &mut Visitor, side: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for path in PAGES {
        let answer = visitor.get(path, JSON).await;
        assert_eq!(
            (answer.status, answer.served_by()),
            (200, side),
            "{path}: {}",
            answer.body
        );
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn a_session_begun_at_legacy_is_answered_by_modern_in_the_same_bytes_and_back() {
    let database = Database::new().await;
    let site = Site::start(database.url()).await;
    site.know(&["2", "3"]).await;
    let mut owner = Visitor::log_in(site.first.proxy, "owner@bluebird.test").await;
    let mut colleague = Visitor::log_in(site.first.proxy, "editor@bluebird.test").await;
    let mut stranger = Visitor::log_in(site.first.proxy, "owner@corner.test").await;
    let at_legacy = read_all(&mut owner, "legacy").await;
    assert_eq!(at_legacy[0].json()["owner_id"], 2);

    site.flip("2", "dashboard", "modern").await;
    // A copy each: the cookies are those that legacy gave before the flip, and stay so.
    let at_modern = read_all(&mut owner.clone(), "modern").await;
    for ((path, legacy), modern) in PAGES.iter().zip(&at_legacy).zip(&at_modern) {
        assert_eq!(modern.body, legacy.body, "{path}");
    }
    read_all(&mut owner.moved_to(site.second.proxy), "modern").await;
    let seen = colleague.get("/dashboard/stats", JSON).await;
    assert_eq!(
        (seen.served_by(), &seen.body),
        ("modern", &at_legacy[0].body)
    );
    let other = stranger.get("/dashboard/stats", JSON).await;
    assert_eq!(
        (other.served_by(), &other.json()["owner_id"]),
        ("legacy", &Value::from(3))
    );

    site.flip("2", "dashboard", "legacy").await;
    let again = read_all(&mut owner, "legacy").await;
    assert_eq!(again[0].body, at_legacy[0].body);
}

#[tokio::test]
async fn a_page_says_who_serves_it_and_both_know_the_account() {
    let database = Database::new().await;
    let site = Site::start(database.url()).await;
    site.know(&["7"]).await;
    let mut owner = Visitor::log_in(site.first.proxy, "owner@fern.test").await;
    let legacy = owner.get("/dashboard", BROWSER).await;
    assert!(
        legacy.body.contains("Legacy application (Laravel)"),
        "{}",
        legacy.body
    );
    assert!(legacy.body.contains("account 7"));
    site.flip("7", "dashboard", "modern").await;
    let modern = owner.get("/dashboard", BROWSER).await;
    assert_eq!((modern.status, modern.served_by()), (200, "modern"));
    assert!(modern.body.contains("account 7"), "{}", modern.body);
    // The links of the modern page lead back into legacy, which still knows the session.
    let schedule = owner.get("/campaign/schedule-emails", BROWSER).await;
    assert_eq!((schedule.status, schedule.served_by()), (200, "legacy"));
    assert!(schedule.body.contains("account 7"), "{}", schedule.body);
}

#[tokio::test]
async fn who_logs_out_is_unknown_to_the_proxy_once_the_cache_has_forgotten() {
    let database = Database::new().await;
    let site = Site::start(database.url()).await;
    site.know(&["4"]).await;
    let mut owner = Visitor::log_in(site.first.proxy, "owner@marina.test").await;
    let page = owner.get("/dashboard", BROWSER).await;
    site.flip("4", "dashboard", "modern").await;
    let stolen = owner.clone();
    assert_eq!(
        owner.get("/dashboard/stats", JSON).await.served_by(),
        "modern"
    );

    let bye = owner.log_out(&page).await;
    assert_eq!((bye.status, bye.served_by()), (302, "legacy"));
    // The cookie of the ended session, kept by somebody: legacy answers it, and lets nobody in.
    let refused = eventually("the ended session is unresolved", || async {
        let answer = stolen.clone().get("/dashboard/stats", JSON).await;
        (answer.served_by() == "legacy").then_some(answer)
    })
    .await;
    assert_eq!(refused.status, 401, "{}", refused.body);
    let fresh = owner.get("/dashboard/stats", JSON).await;
    assert_eq!((fresh.status, fresh.served_by()), (401, "legacy"));
}

#[tokio::test]
async fn a_cookie_that_was_altered_names_no_tenant() {
    let database = Database::new().await;
    let site = Site::start(database.url()).await;
    site.know(&["5"]).await;
    let mut owner = Visitor::log_in(site.first.proxy, "owner@alpine.test").await;
    site.flip("5", "dashboard", "modern").await;
    let whole = owner.get("/dashboard/stats", JSON).await;
    assert_eq!(whole.served_by(), "modern");
    owner.alter_session();
    let altered = owner.get("/dashboard/stats", JSON).await;
    assert_eq!((altered.status, altered.served_by()), (401, "legacy"));
}
