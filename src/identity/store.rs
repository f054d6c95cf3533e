//! Asks the legacy application's database whose session an id is.
//!
//! Its own file, because it is the only SQL in the path of identity, and the statement is the operator's.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row, TypeInfo, ValueRef};
use tokio::runtime::Handle;

use super::LaravelSession;
use super::laravel::SessionId;
use super::sessions::{DEADLINE, Lookup};
use crate::db;
use crate::ids::TenantId;
use crate::secret::Secret;

/// Few, because they are the legacy application's connections: 8 at a millisecond each are 8,000 look-ups a second.
const CONNECTIONS: u32 = 8;

/// The look-up that `session` describes; `own` is ficus' database, for an empty `database_url`.
/// Connects when first asked, so that ficus starts without the legacy database. Connections live on `runtime`.
pub fn session_lookup(
    session: &LaravelSession,
    own: &Secret,
    runtime: &Handle,
) -> anyhow::Result<Lookup> {
    let url = if session.database_url.is_empty() {
        own
    } else {
        &session.database_url
    };
    // A pool of its own, so that a flood of sessions cannot take the control plane's connections.
    let limits = db::Config {
        url: Secret::default(),
        legacy_url: Secret::default(),
        pool: CONNECTIONS,
        acquire_timeout: DEADLINE,
        // The server gives up when nobody waits any more.
        statement_timeout: DEADLINE,
    };
    let _entered = runtime.enter();
    let pool = db::connect_lazily(url.reveal(), &limits).context("database_url")?;
    let (query, lifetime): (Arc<str>, Duration) = (session.query.as_str().into(), session.lifetime);
    Ok(Arc::new(move |id| {
        Box::pin(find_tenant(pool.clone(), Arc::clone(&query), id, lifetime))
    }))
}

async fn find_tenant(
    pool: PgPool,
    query: Arc<str>,
    id: SessionId,
    lifetime: Duration,
) -> anyhow::Result<Option<TenantId>> {
    // The statement is configuration: whoever writes it has the database's password as well.
    let row = sqlx::query(AssertSqlSafe(query))
        .bind(id.reveal())
        .bind(oldest_alive(lifetime)?)
        .fetch_optional(&pool)
        .await?;
    row.as_ref().map_or(Ok(None), read_tenant)
}

/// Laravel compares `last_activity` with now less its lifetime, in seconds of Unix time.
fn oldest_alive(lifetime: Duration) -> anyhow::Result<i64> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Ok(i64::try_from(now.saturating_sub(lifetime).as_secs())?)
}

/// Any integer will do: `owner_id` is an int4 in applications that began before Laravel 5.8. NULL is a guest,
/// and so is 0, which some applications write in its place.
fn read_tenant(row: &PgRow) -> anyhow::Result<Option<TenantId>> {
    let column = row
        .try_get_raw(0)
        .context("the session query answers no column")?;
    if column.is_null() {
        return Ok(None);
    }
    let id = match column.type_info().name() {
        "INT8" => row.try_get::<i64, _>(0)?,
        "INT4" => row.try_get::<i32, _>(0)?.into(),
        "INT2" => row.try_get::<i16, _>(0)?.into(),
        other => {
            anyhow::bail!("the session query answers a column of type {other}: expected bigint")
        }
    };
    Ok((id > 0).then_some(TenantId(id)))
}
