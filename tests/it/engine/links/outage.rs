//! Readers while the database is away: who is known is led on, who is not is asked to come again, and nothing hangs.
//!
//! Its own file, because these tests stop a server of their own.

use std::time::{Duration, Instant};

use ficus::embedded::StopMode;
use ficus::engine::links::Source;
use ficus::engine::tracking::Purpose;
use futures_util::future::join_all;

use super::{
    Served, TEMPLATE, TENANT, application, config, content, location, message, path, reactions,
    send, store,
};
use crate::support::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_led_on_without_the_database_and_counted_when_it_is_back() {
    let mut cluster = Cluster::new().await;
    let pool = cluster.pool();
    let shared = content(&pool, TENANT).await;
    let known = message(&pool, TENANT, Some(shared)).await;
    let unknown = message(&pool, TENANT, Some(shared)).await;
    store(&pool, Source::Content(shared), TEMPLATE)
        .await
        .unwrap();
    let ficus = application(cluster.url());
    let served = Served::start(ficus.clone(), ficus, &config()).await;
    let click = path(TENANT, known, Purpose::Click(1));
    assert_eq!(served.get(&click).await.status(), 302);
    served.links.flush().await;

    cluster.stop(StopMode::Immediate).await;
    let since = Instant::now();
    for response in join_all((0..500).map(|_| served.get(&click))).await {
        assert_eq!(location(&response), "http://blog.test/");
    }
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    let response = served.get(&path(TENANT, unknown, Purpose::Click(1))).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "10");
    let unsubscribe = path(TENANT, known, Purpose::Unsubscribe);
    let response = send(served.client.post(served.at(&unsubscribe))).await;
    assert_eq!(response.status(), 503);
    let pixel = served.get(&path(TENANT, unknown, Purpose::Open)).await;
    assert_eq!(pixel.headers()["content-type"], "image/gif");
    served.links.flush().await;
    assert_eq!(served.links.lost(), 1);
    assert!(served.links.unanswered() >= 2);

    cluster.start().await;
    served.links.flush().await;
    assert_eq!(reactions(&cluster.pool(), known).await, (0, 501));
    assert_eq!(
        served
            .get(&path(TENANT, unknown, Purpose::Click(1)))
            .await
            .status(),
        302
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_links_that_nobody_knows_ends_in_503_within_its_time() {
    let mut cluster = Cluster::new().await;
    let ficus = application(cluster.url());
    let served = Served::start(ficus.clone(), ficus, &config()).await;
    cluster.stop(StopMode::Immediate).await;
    let since = Instant::now();
    let links = (0..200).map(|_| path(TENANT, sqlx::types::Uuid::now_v7(), Purpose::Click(0)));
    let asked = links.map(|link| {
        let served = &served;
        async move { served.get(&link).await.status() }
    });
    for status in join_all(asked).await {
        assert_eq!(status, 503);
    }
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
}
