//! The promises of the schema, each asked of a real PostgreSQL.
//!
//! Its own file, because the schema keeps them for every client, ficus being one of them.

use crate::support::Database;

#[tokio::test]
async fn a_fresh_database_is_at_revision_zero() {
    let db = Database::new().await;
    let revision: i64 = sqlx::query_scalar("select revision from ficus.clock")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(revision, 0);
}
