//! The guard as users meet it: real processes that count, judge and take back, and a simulation of whole hours.
//!
//! Its own folder, because it is tested at three distances: the processes, the database, and the pure rules at length.

mod commands;
mod counting;
mod held;
mod leader;
mod rollback;
mod simulation;
mod split;

use axum::extract::Request;
use axum::http::StatusCode;
use sqlx::PgPool;

use crate::support::process::{Ficus, Setup, client, named_upstream, two_sides, upstream};

/// Tenants 2 and 3 on modern, 4 on legacy.
async fn seed(pool: &PgPool) {
    let sql = "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id) values (2), (3), (4);
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern'), (3, 'dashboard', 'modern')";
    sqlx::raw_sql(sql).execute(pool).await.expect("the tenants");
}

/// A ficus that counts and judges, before a modern side that behaves as `modern` says.
async fn guarded<F, Fut>(url: &str, limits: &str, modern: F) -> Ficus
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StatusCode> + Send,
{
    let config = two_sides(named_upstream("legacy").await, upstream(modern).await);
    let config = format!("{config}\n[defaults.capability.guard]\n{limits}\n");
    Setup::new(url, &config)
        .roles("proxy,control")
        .start()
        .await
}

/// A request of a tenant; who answered it, and how.
async fn ask(ficus: &Ficus, tenant: i64) -> (String, StatusCode) {
    let request = client()
        .get(ficus.url("/dashboard"))
        .header("x-tenant-id", tenant.to_string());
    let answer = request.send().await.expect("an answer");
    let side = answer.headers().get("x-ficus-served-by");
    let side = side.and_then(|it| it.to_str().ok()).unwrap_or_default();
    (side.to_owned(), answer.status())
}

fn tenant_of(request: &Request) -> &str {
    let tenant = request.headers().get("x-ficus-tenant");
    tenant.and_then(|it| it.to_str().ok()).unwrap_or_default()
}
