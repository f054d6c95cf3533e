//! The processes that have registered, and their revisions.
//!
//! Its own file, because it owns the reading of `ficus.instance`; each proxy writes its own row (flags::sync).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::Error;
use super::transaction::within;
use crate::ids::Revision;

/// Without a heartbeat for this long, a process is dead: five heartbeats missed.
pub(super) const DEAD_AFTER_MS: f64 = 10_000.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Instance {
    pub id: Uuid,
    pub name: String,
    pub roles: Vec<String>,
    pub version: String,
    pub listen: Vec<String>,
    pub started_at: DateTime<Utc>,
    /// By the database's clock.
    pub heartbeat_age_ms: f64,
    #[sqlx(try_from = "i64")]
    pub applied_revision: Revision,
    pub applied_at: DateTime<Utc>,
    pub stopped_at: Option<DateTime<Utc>>,
}

impl Instance {
    /// Whether a change must reach it to be confirmed.
    pub fn is_live(&self) -> bool {
        is_live(self.stopped_at.is_some(), self.heartbeat_age_ms)
    }
}

pub(super) fn is_live(stopped: bool, heartbeat_age_ms: f64) -> bool {
    !stopped && heartbeat_age_ms < DEAD_AFTER_MS
}

/// All of them, by name.
pub async fn instances(pool: &PgPool) -> Result<Vec<Instance>, Error> {
    let query = sqlx::query_as(
        "select id, name, roles, version, listen, started_at, applied_revision, applied_at, stopped_at,
                (extract(epoch from clock_timestamp() - heartbeat_at) * 1000)::float8 as heartbeat_age_ms
         from ficus.instance order by name, id limit $1",
    )
    .bind(super::page(u32::MAX));
    within(query.fetch_all(pool)).await
}

/// Forgets the processes that have been dead for more than a day. Answers how many.
pub async fn prune_instances(pool: &PgPool) -> Result<u64, Error> {
    let prune = sqlx::query(
        "delete from ficus.instance where heartbeat_at < clock_timestamp() - interval '1 day'",
    );
    Ok(within(prune.execute(pool)).await?.rows_affected())
}
