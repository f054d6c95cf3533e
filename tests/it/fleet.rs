//! Flags, from a row in PostgreSQL to the side that answers, on real processes.

use sqlx::PgPool;

use crate::support::Database;
use crate::support::process::{Ficus, Setup, client, eventually, named_upstream, two_sides};

async fn seed(pool: &PgPool) {
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (2, 'bluebird'), (3, 'corner');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')",
    )
    .execute(pool)
    .await
    .expect("seeded");
}

/// Who answers `/dashboard` for a tenant.
async fn served(ficus: &Ficus, tenant: &str) -> String {
    let request = client()
        .get(ficus.url("/dashboard"))
        .header("x-tenant-id", tenant);
    let answer = request.send().await.expect("an answer");
    let said = answer.headers()["x-ficus-served-by"]
        .to_str()
        .expect("text")
        .to_owned();
    assert_eq!(
        answer.text().await.expect("a body"),
        said,
        "the header tells the truth"
    );
    said
}

#[tokio::test]
async fn a_row_written_in_sql_moves_a_tenant_on_every_proxy() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let config = two_sides(
        named_upstream("legacy").await,
        named_upstream("modern").await,
    );
    let fleet = [
        Setup::new(database.url(), &config).start().await,
        Setup::new(database.url(), &config).start().await,
    ];
    for ficus in &fleet {
        assert_eq!(served(ficus, "2").await, "modern");
        assert_eq!(served(ficus, "bluebird").await, "modern");
        assert_eq!(served(ficus, "3").await, "legacy");
    }
    let flip =
        "insert into ficus.flag (tenant_id, capability, state) values (3, 'dashboard', 'modern')";
    sqlx::query(flip)
        .execute(database.pool())
        .await
        .expect("flipped");
    for ficus in &fleet {
        eventually("tenant 3 is modern", || async {
            (served(ficus, "3").await == "modern").then_some(())
        })
        .await;
    }
}
