//! The migration plan's own column: `users.messaging_service_enabled` flips as well as any command.
//!
//! Its own file, because here ficus' schema stands in the application's own database.

use ficus::demo::legacy::Legacy;
use sqlx::PgPool;

use super::visitor::{JSON, Visitor};
use super::{Site, legacy, legacy_pool};
use crate::support::process::eventually;
use crate::support::shared_server;

async fn revision(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select revision from ficus.clock")
        .fetch_one(pool)
        .await
        .expect("the clock")
}

async fn run(pool: &PgPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.expect(sql);
}

/// Who answers the visitor's send. The campaign does not exist, so that nothing is sent by asking.
async fn sender(visitor: &Visitor) -> String {
    let path = "/campaign/send-email/campaign-999999/template-1";
    let answer = visitor.clone().get(path, JSON).await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    answer.served_by().to_owned()
}

async fn sends_by(visitor: &Visitor, side: &str) {
    eventually(side, || async {
        (sender(visitor).await == side).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_plans_own_statements_on_legacys_users_flip_tenants_and_take_all_back_in_one_revision()
{
    legacy().await;
    let pool = legacy_pool().await;
    let url = Legacy::database_url(shared_server().await);
    ficus::db::migrate(&url)
        .await
        .expect("our schema beside legacy's");
    let site = Site::start(&url).await;
    eventually("the capabilities are registered", || async {
        let known: i64 = sqlx::query_scalar("select count(*) from ficus.capability")
            .fetch_one(&pool)
            .await
            .expect("a count");
        (known == 2).then_some(())
    })
    .await;
    run(
        &pool,
        "select ficus.bridge_legacy_column('users', 'id', 'messaging_service_enabled', 'messaging')",
    )
    .await;
    let zoe = Visitor::log_in(site.first.proxy, "owner@zoe.test").await;
    let corner = Visitor::log_in(site.second.proxy, "owner@corner.test").await;
    sends_by(&zoe, "legacy").await;

    run(
        &pool,
        "update users set messaging_service_enabled = true where id in (3, 8)",
    )
    .await;
    sends_by(&zoe, "modern").await;
    sends_by(&corner, "modern").await;

    let before = revision(&pool).await;
    run(&pool, "UPDATE users SET messaging_service_enabled = false").await;
    assert_eq!(revision(&pool).await, before + 1);
    sends_by(&zoe, "legacy").await;
    sends_by(&corner, "legacy").await;
    let rows: i64 =
        sqlx::query_scalar("select count(*) from ficus.change_item where revision = $1")
            .bind(before + 1)
            .fetch_one(&pool)
            .await
            .expect("the audit");
    assert_eq!(rows, 2, "one item a tenant that moved");
}
