//! Each migration, applied to a database that is in use.
//!
//! Its own file, because it starts from databases without the schema.

use ficus::db;
use sqlx::{Connection, PgConnection};

use super::{count, run};
use crate::support::Database;

#[tokio::test]
async fn every_migration_finds_and_leaves_the_rows_of_the_version_before() {
    let versions: Vec<i64> = sqlx::migrate!().iter().map(|it| it.version).collect();
    for pair in versions.windows(2) {
        let db = Database::empty().await;
        run(
            db.pool(),
            "create table users (id bigint primary key); insert into users values (1)",
        )
        .await;
        migrate_to(&db, pair[0]).await;
        run(
            db.pool(),
            "insert into ficus.capability (name) values ('dashboard');
             insert into ficus.tenant (id) select generate_series(1, 100);
             insert into ficus.flag (tenant_id, capability, state) select id, 'dashboard', 'modern' from ficus.tenant",
        )
        .await;

        migrate_to(&db, pair[1]).await;

        assert_eq!(
            count(
                db.pool(),
                "select count(*) from ficus.flag where state = 'modern'"
            )
            .await,
            100,
            "to {}",
            pair[1]
        );
        assert_eq!(
            count(db.pool(), "select revision from ficus.clock").await,
            3,
            "to {}",
            pair[1]
        );
        run(db.pool(), "update ficus.flag set state = 'legacy'").await;
    }
}

#[tokio::test]
async fn migrating_again_and_from_two_processes_at_once_changes_nothing() {
    let db = Database::empty().await;
    let (one, other) = tokio::join!(db::migrate(db.url()), db::migrate(db.url()));
    one.unwrap();
    other.unwrap();
    run(db.pool(), "insert into ficus.tenant (id) values (1)").await;
    db::migrate(db.url()).await.unwrap();
    assert_eq!(
        count(db.pool(), "select count(*) from ficus.tenant").await,
        1
    );
}

#[tokio::test]
async fn sqlx_keeps_its_own_table_in_our_schema() {
    let db = Database::new().await;
    let applied = sqlx::migrate!().iter().count() as i64;
    assert_eq!(
        count(
            db.pool(),
            "select count(*) from ficus._sqlx_migrations where success"
        )
        .await,
        applied
    );
    assert_eq!(
        count(
            db.pool(),
            "select count(*) from pg_tables where schemaname = 'public'"
        )
        .await,
        0
    );
}

async fn migrate_to(db: &Database, version: i64) {
    let mut connection = PgConnection::connect(db.url()).await.unwrap();
    sqlx::raw_sql("create schema if not exists ficus; set search_path = ficus")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::migrate!()
        .run_to(version, &mut connection)
        .await
        .unwrap();
}
