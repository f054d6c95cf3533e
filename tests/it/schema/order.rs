//! Revisions follow the order of commits, whatever two transactions do at once.
//!
//! Its own file, because it needs transactions that wait for each other.

use sqlx::PgPool;

use super::{count, revision, run, with_tenants};

const FLIP_1: &str =
    "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern')";
const FLIP_2: &str =
    "insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')";

#[tokio::test]
async fn the_transaction_that_writes_first_commits_first() {
    let db = with_tenants(2).await;
    let before = revision(db.pool()).await;
    let mut first = db.pool().begin().await.unwrap();
    sqlx::raw_sql(FLIP_1).execute(&mut *first).await.unwrap();
    let second = tokio::spawn(flip_2(db.pool().clone()));
    until_one_waits(db.pool()).await;
    assert!(!second.is_finished());

    first.commit().await.unwrap();

    second.await.unwrap();
    let order: Vec<(i64, i64)> =
        sqlx::query_as("select tenant_id, revision from ficus.flag order by revision")
            .fetch_all(db.pool())
            .await
            .unwrap();
    assert_eq!(order, [(1, before + 1), (2, before + 2)]);
}

#[tokio::test]
async fn a_transaction_that_rolls_back_gives_its_revision_to_the_next() {
    let db = with_tenants(2).await;
    let before = revision(db.pool()).await;
    let mut first = db.pool().begin().await.unwrap();
    sqlx::raw_sql(FLIP_1).execute(&mut *first).await.unwrap();
    let second = tokio::spawn(flip_2(db.pool().clone()));
    until_one_waits(db.pool()).await;

    first.rollback().await.unwrap();

    second.await.unwrap();
    assert_eq!(revision(db.pool()).await, before + 1);
    assert_eq!(
        count(
            db.pool(),
            "select revision from ficus.flag where tenant_id = 2"
        )
        .await,
        before + 1
    );
}

async fn flip_2(pool: PgPool) {
    run(&pool, FLIP_2).await;
}

/// Until some session of this database waits for a lock.
async fn until_one_waits(pool: &PgPool) {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while count(pool, waiting).await == 0 {
        tokio::task::yield_now().await;
    }
}
