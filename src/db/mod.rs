//! PostgreSQL: the pool, the schema's migrations and the few commands that have no table of their own.
//!
//! Its own folder, because every connection that ficus opens is opened here, with its limits.

pub mod leader;
mod migrate;

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};

use crate::secret::Secret;

pub use migrate::migrate;

/// What `pg_stat_activity` and the audit show of us.
pub const APPLICATION_NAME: &str = "ficus";

/// What `[database]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `postgres://user:password@host/database`; empty in embedded mode.
    pub url: Secret,
    /// The legacy application's database, for the modern services. Empty: the same.
    pub legacy_url: Secret,
    /// Connections at most, of each pool.
    pub pool: u32,
    /// To get a connection.
    pub acquire_timeout: Duration,
    /// For one statement of the control plane.
    pub statement_timeout: Duration,
}

/// Reads a URL into the options that every connection of ours has. The error never repeats the URL.
pub fn connect_options(url: &str) -> anyhow::Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        // Without its cause, which quotes what it could not read.
        anyhow::anyhow!(
            "the database's URL cannot be read: expected postgres://user:password@host/database"
        )
    })?;
    Ok(options
        .application_name(APPLICATION_NAME)
        .disable_statement_logging())
}

/// A pool that connects when it is first used: a process starts without its database.
pub fn connect_lazily(url: &str, config: &Config) -> anyhow::Result<PgPool> {
    let statement_timeout = format!(
        "set statement_timeout = {}",
        config.statement_timeout.as_millis()
    );
    let pool = PgPoolOptions::new()
        .max_connections(config.pool)
        .acquire_timeout(config.acquire_timeout)
        // A statement of the connection's own, since a pooler between us may refuse options at the start.
        .after_connect(move |connection, _| {
            let statement_timeout = statement_timeout.clone();
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(statement_timeout))
                    .execute(connection)
                    .await
                    .map(|_| ())
            })
        });
    Ok(pool.connect_lazy_with(connect_options(url)?))
}

/// A pool that has reached its database.
pub async fn connect(url: &str, config: &Config) -> anyhow::Result<PgPool> {
    let pool = connect_lazily(url, config)?;
    pool.acquire()
        .await
        .context("could not connect to the database")?;
    Ok(pool)
}

/// Whether a server at `url` takes connections.
pub async fn answers(url: &str) -> bool {
    let Ok(options) = connect_options(url) else {
        return false;
    };
    match PgConnection::connect_with(&options).await {
        Ok(connection) => connection.close().await.is_ok(),
        Err(_) => false,
    }
}

/// Makes a database, unless there is one of that name; `url` leads to another one of the same server.
pub async fn create_database(url: &str, name: &str, template: Option<&str>) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&connect_options(url)?)
        .await
        .context("could not connect to make a database")?;
    let there: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await?;
    if !there {
        let template = template
            .map(|it| format!(" template {}", quote_name(it)))
            .unwrap_or_default();
        let statement = format!("create database {}{template}", quote_name(name));
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .with_context(|| format!("could not make the database {name}"))?;
    }
    connection.close().await?;
    Ok(())
}

/// Removes a database with the sessions in it, if it is there; `url` leads to another one of the same server.
pub async fn drop_database(url: &str, name: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&connect_options(url)?)
        .await
        .context("could not connect to drop a database")?;
    let statement = format!("drop database if exists {} with (force)", quote_name(name));
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .with_context(|| format!("could not drop the database {name}"))?;
    connection.close().await?;
    Ok(())
}

/// A name as SQL quotes it.
fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_read_is_not_repeated() {
        for url in [
            "hunter2",
            "postgres://u@host/d?sslmode=hunter2",
            "postgres://u:hunter2@host:x/d",
        ] {
            let error = connect_options(url).expect_err(url);
            assert!(!format!("{error:#} {error:?}").contains("hunter2"));
        }
    }
}
