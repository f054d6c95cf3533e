//! The configuration's own queries of legacy's database: volumes of tenants, and reconciliations that must find nothing.
//!
//! Its own file, because these statements are written by operators: they run read-only, bounded in time and in rows, on
//! connections of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::timeout;

use super::Error;
use super::wave::Reconciled;

/// Rows of a reconciliation that are counted; one is too many already.
const MAX_DIFFERENCES: usize = 1000;
/// Characters of a differing row that are shown and stored.
const MAX_SHOWN: usize = 300;
/// Tenants that the query of volumes may answer.
const MAX_TENANTS: usize = 1_000_000;

/// What `[rollout]` and `[[reconcile]]` say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Answers each tenant's id and its sends a day.
    pub volume: Query,
    pub reconcile: BTreeMap<String, Query>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    pub sql: String,
    pub deadline: Duration,
}

/// The queries, and where they are asked.
#[derive(Debug)]
pub struct Queries {
    legacy: PgPool,
    config: Config,
}

impl Queries {
    /// `legacy`: legacy's database.
    pub fn new(legacy: PgPool, config: Config) -> Self {
        Self { legacy, config }
    }

    /// Of the reconciliations.
    pub fn names(&self) -> BTreeSet<String> {
        self.config.reconcile.keys().cloned().collect()
    }

    /// Asks these, all at once.
    pub(super) async fn reconcile(&self, names: Vec<&String>) -> BTreeMap<String, Reconciled> {
        let asked = names.into_iter().map(|name| async move {
            let answer = match self.config.reconcile.get(name) {
                Some(query) => self.differences(query).await,
                None => Reconciled::Unknown,
            };
            (name.clone(), answer)
        });
        join_all(asked).await.into_iter().collect()
    }

    async fn differences(&self, query: &Query) -> Reconciled {
        let wrapped = format!(
            "select to_jsonb(r)::text from (\n{}\n) as r limit {MAX_DIFFERENCES}",
            statement(&query.sql)
        );
        match self.ask::<String>(query.deadline, wrapped).await {
            Err(why) => Reconciled::Failed(why),
            Ok(rows) => match rows.first() {
                None => Reconciled::Equal,
                Some(first) => Reconciled::Differs {
                    rows: rows.len(),
                    first: first.chars().take(MAX_SHOWN).collect(),
                },
            },
        }
    }

    /// Each tenant's sends a day.
    pub(super) async fn volumes(&self) -> Result<Vec<(i64, f64)>, Error> {
        let query = &self.config.volume;
        let wrapped = format!(
            "select v.tenant::bigint || ' ' || v.sends::float8 from (\n{}\n) as v (tenant, sends) limit {}",
            statement(&query.sql),
            MAX_TENANTS + 1
        );
        let refuse = |why| Err(Error::Invalid(format!("rollout.volume_query: {why}")));
        let rows = match self.ask::<Option<String>>(query.deadline, wrapped).await {
            Ok(rows) => rows,
            Err(why) => return refuse(why),
        };
        if rows.len() > MAX_TENANTS {
            return refuse(format!("more than {MAX_TENANTS} rows"));
        }
        let read = |row: &Option<String>| {
            let (tenant, sends) = row.as_deref()?.split_once(' ')?;
            Some((tenant.parse().ok()?, sends.parse().ok()?))
        };
        match rows.iter().map(read).collect::<Option<Vec<_>>>() {
            Some(volumes) => Ok(volumes),
            None => refuse("a row has no tenant or no number of sends".to_owned()),
        }
    }

    /// One read-only transaction. The fault is PostgreSQL's own words.
    async fn ask<T>(&self, deadline: Duration, sql: String) -> Result<Vec<T>, String>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let asked = async {
            let mut tx = self.legacy.begin().await?;
            let bounds = format!(
                "set transaction read only; set local statement_timeout = {}",
                deadline.as_millis()
            );
            sqlx::raw_sql(AssertSqlSafe(bounds))
                .execute(&mut *tx)
                .await?;
            let rows = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_all(&mut *tx)
                .await?;
            tx.rollback().await?;
            Ok(rows)
        };
        match timeout(deadline, asked).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(sqlx::Error::Database(refused))) => Err(refused.message().to_owned()),
            Ok(Err(other)) => Err(other.to_string()),
            Err(_) => Err(format!("no answer within {} ms", deadline.as_millis())),
        }
    }
}

/// Without the semicolon at its end, so that it can stand within another.
fn statement(sql: &str) -> &str {
    sql.trim_end().trim_end_matches(';')
}
