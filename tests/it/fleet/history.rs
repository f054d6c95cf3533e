//! Databases with another past than the snapshot's: a restored backup, a standby that lost commits, a wrong address.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::support::Database;

/// The state folder of a proxy that knew tenant 2 on modern at revision 3 and a few more changes after that.
async fn state_of_another_database(config: &str, changes: usize) -> (TempDir, PathBuf) {
    let database = Database::new().await;
    seed(database.pool()).await;
    for change in 0..changes {
        let state = ["modern", "legacy"][change % 2];
        set(database.pool(), 4, state).await;
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let state = folder.path().join("state");
    let mut ficus = Setup::new(database.url(), config)
        .state(&state)
        .start()
        .await;
    assert_eq!(served(&ficus, "2").await, "modern");
    ficus.signal("TERM");
    assert_eq!(ficus.wait().await, Some(0));
    (folder, state)
}

/// Another database, whose three changes left tenant 2 on legacy.
async fn on_legacy() -> Database {
    let database = Database::new().await;
    run(
        database.pool(),
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (2, 'bluebird'), (3, 'corner');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'legacy')",
    )
    .await;
    database
}

#[tokio::test]
async fn a_younger_database_is_refused_until_it_has_passed_and_then_believed_whole() {
    let config = sides().await;
    let (_folder, state) = state_of_another_database(&config, 6).await;
    let younger = Database::new().await;
    seed(younger.pool()).await;
    set(younger.pool(), 2, "legacy").await;

    let ficus = Setup::new(younger.url(), &config)
        .state(&state)
        .start()
        .await;
    until_metric(&ficus, "ficus_snapshots_refused_total", |refused| {
        refused >= 1.0
    })
    .await;
    assert_eq!(served(&ficus, "2").await, "modern", "its snapshot stays");
    assert!(
        ficus
            .log()
            .contains("the database is older than the snapshot in force")
    );

    // That tenant 2 is on legacy was said before the revision that the snapshot had.
    for change in 0..8 {
        set(younger.pool(), 3, ["modern", "legacy"][change % 2]).await;
    }
    until_served(&ficus, "2", "legacy").await;
}

#[tokio::test]
async fn a_snapshot_of_another_database_is_no_base_for_a_delta() {
    let config = sides().await;
    let (_folder, state) = state_of_another_database(&config, 0).await;
    let other = on_legacy().await;
    set(other.pool(), 3, "modern").await;
    let ficus = Setup::new(other.url(), &config).state(&state).start().await;
    until_served(&ficus, "2", "legacy").await;
}

#[tokio::test]
async fn the_same_number_of_another_history_is_another_revision() {
    let config = sides().await;
    let (_folder, state) = state_of_another_database(&config, 0).await;
    let other = on_legacy().await;
    let ficus = Setup::new(other.url(), &config).state(&state).start().await;
    until_served(&ficus, "2", "legacy").await;
}
