//! Asks the legacy application's database whose session an id is.
//!
//! Its own file, because it is the only SQL in the path of identity, and the statement is the operator's.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Executor, Row, TypeInfo, ValueRef};
use tokio::runtime::Handle;

use super::LaravelSession;
use super::laravel::SessionId;
use super::sessions::{DEADLINE, Lookup};
use crate::ids::TenantId;
use crate::secret::Secret;

/// Few, because they are the legacy application's connections: 8 at a millisecond each are 8,000 look-ups a second.
const CONNECTIONS: u32 = 8;

/// The look-up that `session` describes; `own` is ficus' database, for an empty `database_url`.
/// Connects when first asked, so that ficus starts without the legacy database. Connections live on `runtime`.
pub fn session_lookup(session: &LaravelSession, own: &Secret, runtime: &Handle) -> anyhow::Result<Lookup> {
    let url = if session.database_url.is_empty() { own } else { &session.database_url };
    // The parser's own error may quote the address, password and all.
    let options = PgConnectOptions::from_str(url.reveal())
        .map_err(|_| anyhow::anyhow!("database_url is no PostgreSQL address: expected postgres://user:password@host/database"))?
        .application_name("ficus sessions");
    let _entered = runtime.enter();
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(DEADLINE)
        // The server gives up when nobody waits any more.
        .after_connect(|connection, _| {
            Box::pin(async move {
                let statement = format!("set statement_timeout = {}", DEADLINE.as_millis());
                connection.execute(AssertSqlSafe(statement)).await.map(drop)
            })
        })
        .connect_lazy_with(options);
    let (query, lifetime): (Arc<str>, Duration) = (session.query.as_str().into(), session.lifetime);
    Ok(Arc::new(move |id| Box::pin(find_tenant(pool.clone(), Arc::clone(&query), id, lifetime))))
}

async fn find_tenant(pool: PgPool, query: Arc<str>, id: SessionId, lifetime: Duration) -> anyhow::Result<Option<TenantId>> {
    // The statement is configuration: whoever writes it has the database's password as well.
    let row = sqlx::query(AssertSqlSafe(query)).bind(id.reveal()).bind(oldest_alive(lifetime)?).fetch_optional(&pool).await?;
    row.as_ref().map_or(Ok(None), read_tenant)
}

/// Laravel compares `last_activity` with now less its lifetime, in seconds of Unix time.
fn oldest_alive(lifetime: Duration) -> anyhow::Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(i64::try_from(now.saturating_sub(lifetime).as_secs())?)
}

/// Any integer will do: `owner_id` is an int4 in applications that began before Laravel 5.8. NULL is a guest.
fn read_tenant(row: &PgRow) -> anyhow::Result<Option<TenantId>> {
    let column = row.try_get_raw(0).context("the session query answers no column")?;
    if column.is_null() {
        return Ok(None);
    }
    let id = match column.type_info().name() {
        "INT8" => row.try_get::<i64, _>(0)?,
        "INT4" => row.try_get::<i32, _>(0)?.into(),
        "INT2" => row.try_get::<i16, _>(0)?.into(),
        other => anyhow::bail!("the session query answers a column of type {other}: expected bigint"),
    };
    anyhow::ensure!(id > 0, "the session query answers the tenant {id}: expected a positive number");
    Ok(Some(TenantId(id)))
}
