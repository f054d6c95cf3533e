//! Who a request is from, through a real `ficus serve`: what names a tenant, and what is never believed.
//!
//! This file holds what its tests share; each file beside it is about one kind of proof.

mod auth;
mod keys;
mod limits;
mod naming;

use crate::support::Database;
use crate::support::process::{Ficus, Setup, client, eventually, named_upstream, two_sides};

/// Tenants 2 (bluebird) on modern and 3 (corner) on legacy, for `/dashboard` and below.
async fn seeded() -> Database {
    let database = Database::new().await;
    let sql = "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (2, 'bluebird'), (3, 'corner');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')";
    sqlx::raw_sql(sql)
        .execute(database.pool())
        .await
        .expect("seeded");
    database
}

/// Two upstreams that say which they are, a tenant by `x-tenant-id` from loopback, and `more`.
async fn start(database: &Database, more: &str) -> Ficus {
    let sides = two_sides(
        named_upstream("legacy").await,
        named_upstream("modern").await,
    );
    Setup::new(database.url(), &(sides + more)).start().await
}

/// Who answers a request.
async fn served(ficus: &Ficus, target: &str, headers: &[(&str, &str)]) -> String {
    let mut request = client().get(ficus.url(target));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    answer.text().await.expect("a body")
}
