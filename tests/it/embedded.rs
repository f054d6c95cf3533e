//! The private server: made once, stopped and started, and gone with its process.
//!
//! Its own file, because it needs servers of its own.

use ficus::embedded::StopMode;

use crate::support::Cluster;

#[tokio::test]
async fn a_stopped_server_continues_where_it_was() {
    let mut cluster = Cluster::new().await;
    for mode in [StopMode::Fast, StopMode::Immediate] {
        let pool = cluster.pool();
        sqlx::query(
            "insert into ficus.tenant (id) select coalesce(max(id), 0) + 1 from ficus.tenant",
        )
        .execute(&pool)
        .await
        .unwrap();
        cluster.stop(mode).await;
        assert!(
            sqlx::query("select").execute(&pool).await.is_err(),
            "{mode:?}"
        );
        cluster.start().await;
    }
    let tenants: i64 = sqlx::query_scalar("select count(*) from ficus.tenant")
        .fetch_one(&cluster.pool())
        .await
        .unwrap();
    assert_eq!(tenants, 2);
}
