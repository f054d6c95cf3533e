//! What readers do with a mail: its links lead where they led when it was made, and are counted exactly.
//!
//! Its own file, because this is the case that is not an attack.

use ficus::engine::links::{Source, StoreFault};
use ficus::engine::message::MessageId;
use ficus::engine::tracking::{LinkKeys, Purpose};
use ficus::secret::Secret;
use futures_util::future::join_all;
use sqlx::types::Uuid;

use super::{
    OWN, Served, Stage, TEMPLATE, TENANT, application, config, content, location, maker, message,
    number, path, reactions, send, store,
};
use crate::support::Database;
use crate::support::process::{Setup, client};

#[tokio::test]
async fn a_mails_links_lead_where_its_template_led_and_the_readers_own_link_is_left_alone() {
    let stage = Stage::new().await;
    let pool = stage.ficus.pool();
    let stored = store(pool, Source::Content(stage.content), TEMPLATE)
        .await
        .unwrap();
    let body = TEMPLATE.replace("{id}", "ann");
    let html = maker().rewrite(&body, TENANT, stage.message, &stored);
    assert!(html.contains("'https://shop.test/ann'"), "{html}");

    let paths: Vec<&str> = html
        .split(['"', '\''])
        .filter_map(|word| word.strip_prefix(OWN))
        .collect();
    let mut led = Vec::new();
    for path in &paths {
        let response = stage.get(path).await;
        match response.status().as_u16() {
            302 => led.push(location(&response).to_owned()),
            200 => assert_eq!(response.headers()["content-type"], "image/gif"),
            other => panic!("{other} for {path}"),
        }
    }
    assert_eq!(led, ["https://shop.test/?a=1&b=2", "http://blog.test/"]);
    assert_eq!(stage.reactions(stage.message).await, (1, 2));
}

#[tokio::test]
async fn a_flood_of_clicks_is_counted_exactly_and_in_one_row() {
    let stage = Stage::new().await;
    let other = message(stage.ficus.pool(), TENANT, Some(stage.content)).await;
    let click = stage.path(Purpose::Click(1));
    let open = path(TENANT, other, Purpose::Open);
    let asked = (0..300).map(|n| stage.get(if n % 3 == 0 { &open } else { &click }));
    for response in join_all(asked).await {
        assert!(response.status() == 302 || response.status() == 200);
    }
    assert_eq!(stage.reactions(stage.message).await, (0, 200));
    assert_eq!(stage.reactions(other).await, (100, 0));
    assert_eq!(stage.number("select count(*) from ficus.reaction").await, 2);
    stage.get(&click).await;
    assert_eq!(stage.reactions(stage.message).await, (0, 201));
}

#[tokio::test]
async fn a_scanners_head_is_answered_and_not_counted() {
    let stage = Stage::new().await;
    for (purpose, status) in [(Purpose::Click(0), 302), (Purpose::Open, 200)] {
        let url = stage.served.at(&stage.path(purpose));
        let response = send(stage.served.client.head(url)).await;
        assert_eq!(response.status(), status);
    }
    assert_eq!(stage.reactions(stage.message).await, (0, 0));
}

#[tokio::test]
async fn a_stop_writes_what_was_counted() {
    let stage = Stage::new().await;
    for _ in 0..5 {
        stage.get(&stage.path(Purpose::Click(0))).await;
    }
    stage.served.stop().await;
    assert_eq!(reactions(stage.ficus.pool(), stage.message).await, (0, 5));
}

#[tokio::test]
async fn a_process_that_is_told_to_stop_writes_what_it_has_counted() {
    let database = Database::new().await;
    let pool = database.pool();
    let shared = content(pool, TENANT).await;
    let message = message(pool, TENANT, Some(shared)).await;
    let stored = store(pool, Source::Content(shared), TEMPLATE).await;
    assert!(stored.is_ok());
    let mut ficus = Setup::new(database.url(), "")
        .roles("engine")
        .variable("FICUS__ENGINE__PUBLIC_URL", OWN)
        .variable("FICUS__ENGINE__LINK_KEY", &"k".repeat(32))
        .start()
        .await;
    let click = path(TENANT, message, Purpose::Click(1));
    let clicked = client().get(format!("http://{}{click}", ficus.engine));
    assert_eq!(location(&send(clicked).await), "http://blog.test/");
    ficus.signal("TERM");
    assert_eq!(ficus.wait().await, Some(0));
    assert_eq!(reactions(pool, message).await, (0, 1));
}

#[tokio::test]
async fn a_link_of_an_older_key_still_leads() {
    let stage = Stage::new().await;
    let older = LinkKeys::new(&Secret::new("o".repeat(32)), &[]).unwrap();
    let path = older.path(TENANT, stage.message, Purpose::Click(1));
    assert_eq!(location(&stage.get(&path).await), "http://blog.test/");
}

#[tokio::test]
async fn a_message_that_shares_no_text_has_targets_of_its_own() {
    let stage = Stage::new().await;
    let pool = stage.ficus.pool();
    let alone = message(pool, TENANT, None).await;
    let source = Source::Message(MessageId(alone));
    let html = "<a href='https://once.test/'>";
    for _ in 0..2 {
        store(pool, source, html).await.unwrap();
    }
    let response = stage.get(&path(TENANT, alone, Purpose::Click(0))).await;
    assert_eq!(location(&response), "https://once.test/");
    assert_eq!(
        number(pool, "select count(*) from ficus.message_target").await,
        1
    );
}

#[tokio::test]
async fn a_number_that_was_given_once_keeps_its_target() {
    let stage = Stage::new().await;
    let pool = stage.ficus.pool();
    let more =
        "<a href='https://new.test/'><a href='http://blog.test/'><a href='https://new.test/2'>";
    let stored = store(pool, Source::Content(stage.content), more)
        .await
        .unwrap();
    let stored: Vec<_> = stored.iter().map(|target| target.as_str()).collect();
    let expected = [
        "https://shop.test/?a=1&b=2",
        "http://blog.test/",
        "https://new.test/",
        "https://new.test/2",
    ];
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn a_text_has_a_thousand_targets_at_most_and_the_rest_is_left_alone() {
    let stage = Stage::new().await;
    let pool = stage.ficus.pool();
    let html: String = (0..999)
        .map(|n| format!("<a href='https://x.test/{n}'>"))
        .collect();
    let stored = store(pool, Source::Content(stage.content), &html)
        .await
        .unwrap();
    assert_eq!(stored.iter().count(), 1000);
    let last = maker().targets("<a href='https://x.test/998'>");
    assert_eq!(stored.number_of(last.iter().next().unwrap()), None);
}

#[tokio::test]
async fn targets_of_another_tenants_text_are_not_stored() {
    let stage = Stage::new().await;
    let pool = stage.ficus.pool();
    for id in [content(pool, ficus::ids::TenantId(8)).await, Uuid::now_v7()] {
        let stored = store(pool, Source::Content(id), TEMPLATE).await;
        assert!(matches!(stored, Err(StoreFault::NoContent(found)) if found == id));
    }
}

#[tokio::test]
async fn the_days_of_reactions_and_bounces_go_with_those_of_messages() {
    let stage = Stage::new().await;
    let pool = stage.ficus.pool();
    let parts = "select count(*) from pg_class where relnamespace = 'ficus'::regnamespace
        and relname ~ '^(message|message_target|reaction|bounce)_[0-9]{8}$'";
    let before = number(pool, parts).await;
    assert_eq!(before % 4, 0, "{before}");
    sqlx::raw_sql("set role ficus_app; select ficus.keep_days(9, -1); reset role")
        .execute(pool)
        .await
        .unwrap();
    // Two days more ahead, and yesterday and today gone.
    assert_eq!(number(pool, parts).await, before + 4 * 2 - 4 * 2);
}

#[tokio::test]
async fn without_a_key_no_link_is_ours() {
    let stage = Stage::new().await;
    let mut without = config();
    without.key = Secret::default();
    let pool = application(stage.ficus.url());
    let served = Served::start(pool, stage.legacy.pool().clone(), &without).await;
    for purpose in [Purpose::Click(0), Purpose::Open, Purpose::Unsubscribe] {
        assert_eq!(served.get(&stage.path(purpose)).await.status(), 404);
    }
}
