//! This process's own row in `ficus.instance`: what it has applied, that it lives, and which frozen writes it has under way.
//!
//! Its own file, because a change is confirmed by what stands there.

use std::time::Instant;

use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use super::writes::Report;
use crate::ids::Revision;

/// A process as it introduces itself to the fleet.
#[derive(Clone, Debug)]
pub struct Instance {
    pub id: Uuid,
    pub started: Instant,
    pub name: String,
    pub roles: Vec<String>,
    /// The proxy's listeners, for people.
    pub listen: Vec<String>,
}

/// Introduces this process, or re-introduces it after a restart.
pub async fn register(pool: &PgPool, instance: &Instance, applied: Revision) -> sqlx::Result<()> {
    let sql = "insert into ficus.instance as i (id, name, roles, version, listen, applied_revision, started_at)
        values ($1, $2, $3, $4, $5, $6, clock_timestamp() - make_interval(secs => $7))
        on conflict on constraint instance_pkey do update set
            name = excluded.name, roles = excluded.roles, version = excluded.version, listen = excluded.listen,
            started_at = excluded.started_at, heartbeat_at = clock_timestamp(), stopped_at = null, writes = null,
            applied_revision = excluded.applied_revision,
            applied_at = case when i.applied_revision = excluded.applied_revision then i.applied_at else clock_timestamp() end";
    let query = sqlx::query(sql)
        .bind(instance.id)
        .bind(&instance.name)
        .bind(&instance.roles);
    query
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(&instance.listen)
        .bind(applied.0)
        .bind(instance.started.elapsed().as_secs_f64())
        .execute(pool)
        .await
        .map(drop)
}

/// Reports the revision in force, and what is under way of what is frozen. Answers how long the revision's change took to
/// get here, by the database's clock.
pub async fn acknowledge(
    pool: &PgPool,
    id: Uuid,
    applied: Revision,
    writes: Option<&Report>,
) -> sqlx::Result<Option<f64>> {
    let sql = "update ficus.instance set applied_revision = $2, applied_at = clock_timestamp(), heartbeat_at = clock_timestamp(), writes = $3
        where id = $1
        returning extract(epoch from clock_timestamp() - (select at from ficus.change where revision = $2))::float8";
    let row: Option<Option<f64>> = sqlx::query_scalar(sql)
        .bind(id)
        .bind(applied.0)
        .bind(writes.map(Json))
        .fetch_optional(pool)
        .await?;
    Ok(row.flatten())
}

/// False where the row is gone: somebody pruned an instance that was away for long.
pub async fn heartbeat(pool: &PgPool, id: Uuid, writes: Option<&Report>) -> sqlx::Result<bool> {
    let sql =
        "update ficus.instance set heartbeat_at = clock_timestamp(), writes = $2 where id = $1";
    sqlx::query(sql)
        .bind(id)
        .bind(writes.map(Json))
        .execute(pool)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// An orderly stop: nobody waits for this instance any more.
pub async fn mark_stopped(pool: &PgPool, id: Uuid) -> sqlx::Result<()> {
    sqlx::query("update ficus.instance set stopped_at = clock_timestamp() where id = $1")
        .bind(id)
        .execute(pool)
        .await
        .map(drop)
}
