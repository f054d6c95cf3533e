//! Row level security: who reads as a tenant sees that tenant's messages, also through a connection that another one has used before.
//!
//! Its own file, because the statements here are the careless ones: none has a condition.

use ficus::engine::tenancy::read_as;
use ficus::ids::TenantId;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};

use super::{TENANT, accept};
use crate::support::Database;

const OTHER: TenantId = TenantId(8);
const TABLES: [&str; 4] = [
    "select count(*) from ficus.message",
    "select count(*) from ficus.attempt",
    "select count(*) from ficus.attempt_end",
    "select count(*) from ficus.later",
];

/// One connection, which everybody gets in turn.
async fn shared(database: &Database) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(1);
    pool.connect(database.url()).await.expect("a connection")
}

async fn seen(db: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(db).await.expect(sql)
}

#[tokio::test]
async fn a_tenants_request_sees_its_own_rows_and_leaves_nothing_to_the_next_on_its_connection() {
    let database = Database::new().await;
    accept(database.pool(), TENANT, 2).await;
    accept(database.pool(), OTHER, 3).await;
    let pool = shared(&database).await;
    for (tenant, expected) in [(TENANT, 2), (OTHER, 3), (TenantId(9), 0)] {
        let mut db = read_as(&pool, tenant).await.expect("a transaction");
        assert_eq!(seen(&mut db, TABLES[0]).await, expected, "{tenant}");
        db.commit().await.expect("committed");
    }
    let mut plain = pool.acquire().await.expect("the connection");
    let role: String = sqlx::query_scalar(
        "select current_user || coalesce(current_setting('ficus.tenant', true), '')",
    )
    .fetch_one(&mut *plain)
    .await
    .expect("who it is");
    assert_ne!(role, "ficus_sender");
    assert_eq!(seen(&mut plain, TABLES[0]).await, 5, "the engine sees all");
}

#[tokio::test]
async fn who_says_for_no_tenant_sees_nothing_and_nobody_writes() {
    let database = Database::new().await;
    accept(database.pool(), TENANT, 2).await;
    let pool = shared(&database).await;
    let mut db = pool.begin().await.expect("a transaction");
    sqlx::query("set local role ficus_sender")
        .execute(&mut *db)
        .await
        .expect("the role");
    for sql in TABLES {
        assert_eq!(seen(&mut db, sql).await, 0, "{sql}");
    }
    let written = sqlx::query("delete from ficus.message")
        .execute(&mut *db)
        .await;
    assert!(written.is_err(), "it may read alone");
}
