//! Starts without PostgreSQL: from the disk, from the bootstrap file, from nothing.

use std::path::PathBuf;

use ficus::embedded::StopMode;
use reqwest::StatusCode;
use tempfile::TempDir;

use super::*;
use crate::support::{Cluster, Database};

/// The state folder of a proxy that has seen [`seed`].
async fn state_folder(config: &str) -> (TempDir, PathBuf) {
    let database = Database::new().await;
    seed(database.pool()).await;
    let folder = tempfile::tempdir().expect("a scratch folder");
    let state = folder.path().join("state");
    let mut ficus = Setup::new(database.url(), config)
        .state(&state)
        .start()
        .await;
    ficus.signal("TERM");
    assert_eq!(ficus.wait().await, Some(0));
    (folder, state)
}

async fn status(url: String) -> StatusCode {
    client().get(url).send().await.expect("an answer").status()
}

#[tokio::test]
async fn the_disk_snapshot_serves_at_once_and_gets_in_step_later() {
    let mut cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    let config = sides().await;
    let mut first = Setup::new(cluster.url(), &config).start().await;
    set(&cluster.pool(), 3, "modern").await;
    until_served(&first, "3", "modern").await;
    first.signal("TERM");
    assert_eq!(first.wait().await, Some(0));
    cluster.stop(StopMode::Fast).await;

    let ficus = Setup::new(cluster.url(), &config)
        .state(&first.state)
        .start()
        .await;
    for (tenant, side) in [("2", "modern"), ("corner", "modern"), ("4", "legacy")] {
        assert_eq!(served(&ficus, tenant).await, side, "{tenant}");
    }
    cluster.start().await;
    set(&cluster.pool(), 4, "modern").await;
    until_served(&ficus, "4", "modern").await;
}

#[tokio::test]
async fn a_damaged_disk_snapshot_gives_way_to_the_bootstrap_file() {
    let config = sides().await;
    let (folder, state) = state_folder(&config).await;
    let snapshot = state.join("snapshot");
    let mut bytes = std::fs::read(&snapshot).expect("a disk snapshot");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&snapshot, bytes).expect("damaged");
    let bootstrap = folder.path().join("bootstrap.json");
    let text = r#"{"capabilities": {"dashboard": "read"}, "tenants": [{"id": 4, "slug": "dawn", "flags": {"dashboard": "modern"}}]}"#;
    std::fs::write(&bootstrap, text).expect("written");

    let ficus = Setup::new(NOWHERE, &config)
        .state(&state)
        .variable("FICUS__FLAGS__BOOTSTRAP", &bootstrap.display().to_string())
        .start()
        .await;
    assert_eq!(served(&ficus, "dawn").await, "modern");
    assert!(ficus.log().contains("the disk snapshot is not taken"));
}

#[tokio::test]
async fn a_bootstrap_file_gives_way_to_the_database() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let folder = tempfile::tempdir().expect("a scratch folder");
    let bootstrap = folder.path().join("bootstrap.json");
    let text = r#"{"capabilities": {"dashboard": "read"}, "tenants": [{"id": 4, "flags": {"dashboard": "modern"}}]}"#;
    std::fs::write(&bootstrap, text).expect("written");
    let ficus = Setup::new(database.url(), &sides().await)
        .variable("FICUS__FLAGS__BOOTSTRAP", &bootstrap.display().to_string())
        .start()
        .await;
    until_served(&ficus, "2", "modern").await;
    assert_eq!(served(&ficus, "4").await, "legacy");
}

#[tokio::test]
async fn without_any_control_state_everyone_is_told_to_come_back_until_there_is_one() {
    let mut cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    cluster.stop(StopMode::Fast).await;
    let ficus = Setup::new(cluster.url(), &sides().await)
        .not_ready()
        .start()
        .await;
    let answer = client().get(ficus.url("/dashboard")).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(
        status(ficus.admin_url("/health/ready")).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        status(ficus.admin_url("/health/live")).await,
        StatusCode::OK
    );

    cluster.start().await;
    eventually("it is ready", || async {
        (status(ficus.admin_url("/health/ready")).await == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(served(&ficus, "2").await, "modern");
}

#[tokio::test]
async fn who_asks_for_a_cold_start_on_legacy_gets_legacy() {
    let ficus = Setup::new(NOWHERE, &sides().await)
        .argument("--cold-start")
        .argument("legacy")
        .start()
        .await;
    assert_eq!(served(&ficus, "2").await, "legacy");
}

#[tokio::test]
async fn a_proxy_that_is_killed_right_after_a_flip_starts_again_with_it() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let config = sides().await;
    let mut first = Setup::new(database.url(), &config).start().await;
    set(database.pool(), 3, "modern").await;
    until_served(&first, "3", "modern").await;
    // The writer is told after the swap. A busy disk may take its time, but not the ten seconds after which everything that did not
    // get there is written again.
    let written = eventually("the snapshot is on disk", || async {
        let path = first.state.join("snapshot");
        let snapshot = ficus::flags::disk::decode(&std::fs::read(path).unwrap_or_default());
        snapshot.is_ok_and(|s| s.revision.0 == 4).then_some(())
    });
    let written = tokio::time::timeout(std::time::Duration::from_secs(8), written).await;
    assert!(written.is_ok(), "only the retry would write it");
    first.signal("KILL");
    first.wait().await;
    let again = Setup::new(NOWHERE, &config)
        .state(&first.state)
        .start()
        .await;
    assert_eq!(served(&again, "3").await, "modern");
}
