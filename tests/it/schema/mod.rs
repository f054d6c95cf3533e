//! The promises of the schema, each asked of a real PostgreSQL.
//!
//! Its own folder, because the schema keeps them for every client, ficus being one of them.

mod api_key;
mod bridge;
mod changes;
mod freeze;
mod local_rollback;
mod migrating;
mod order;
mod rights;
mod wave;

use sqlx::{AssertSqlSafe, PgPool};

use crate::support::Database;

/// A database with tenants 1 to `tenants` and the capabilities `dashboard` and `messaging`.
async fn with_tenants(tenants: i64) -> Database {
    let db = Database::new().await;
    run(db.pool(), "insert into ficus.capability (name, effect) values ('dashboard', 'read'), ('messaging', 'send')").await;
    run(
        db.pool(),
        &format!("insert into ficus.tenant (id) select generate_series(1, {tenants})"),
    )
    .await;
    db
}

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}

/// The message of the refusal that `sql` must meet, in a transaction of its own.
async fn refusal(pool: &PgPool, sql: &str) -> String {
    let mut transaction = pool.begin().await.unwrap();
    let outcome = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut *transaction)
        .await;
    transaction.rollback().await.unwrap();
    outcome.expect_err(sql).to_string()
}

/// One number.
async fn count(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}

/// One text, or null.
async fn text(pool: &PgPool, sql: &str) -> Option<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn revision(pool: &PgPool) -> i64 {
    count(pool, "select revision from ficus.clock").await
}

async fn state(pool: &PgPool, tenant: i64, capability: &str) -> Option<String> {
    sqlx::query_scalar("select state from ficus.flag where tenant_id = $1 and capability = $2")
        .bind(tenant)
        .bind(capability)
        .fetch_optional(pool)
        .await
        .unwrap()
}
