//! The frame of every write: author set, clock locked, revision compared, then committed or taken back.
//!
//! Its own file, because the promise "one transaction, audited, in commit order, never waiting without end" is
//! kept here once and not in each operation.

use std::future::Future;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;
use sqlx::{PgPool, Row, Transaction};
use tokio::time::{sleep, timeout};

use super::history::{ITEMS_SINCE, PREVIEW};
use super::idempotency::{RequestKey, is_taken, take};
use super::{Blocker, Change, Error, Terms};
use crate::ids::Revision;

/// For a read, and for each step before a write's own statement: with it, nothing here hangs past five seconds
/// on a database that has gone away without a word.
pub(super) const PATIENCE: Duration = Duration::from_millis(4500);

/// Into the wait for a lock, shortly before its timeout of 3 s: then it is worth asking who holds it.
const ASK_WHO_BLOCKS: Duration = Duration::from_secs(2);

/// Runs a read within bounds.
pub(crate) async fn within<T>(
    read: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    match timeout(PATIENCE, read).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Unavailable("no answer in time".to_owned())),
    }
}

/// A write in progress. Dropped unfinished, it is rolled back.
pub(super) struct Write {
    tx: Transaction<'static, Postgres>,
    pool: PgPool,
    pid: i32,
    dry_run: bool,
    /// Whose write it is, and the key that it takes.
    key: Option<(String, RequestKey)>,
    /// The newest revision before the write.
    pub(super) base: Revision,
}

impl Write {
    pub(super) async fn begin(pool: &PgPool, terms: &Terms) -> Result<Self, Error> {
        let mut tx = within(pool.begin()).await?;
        let author = &terms.author;
        // What a dry run writes is taken back, so it needs no reason; the schema asks for one all the same.
        let unsaid = if terms.dry_run { "dry run" } else { "" };
        let settings = sqlx::query(
            "select pg_backend_pid() as pid, set_config('ficus.actor', $1, true), set_config('ficus.source', $2, true),
                    set_config('ficus.reason', $3, true), set_config('ficus.evidence', $4, true),
                    set_config('ficus.requested_at', $5, true), set_config('lock_timeout', '3s', true)",
        )
        .bind(&author.actor)
        .bind(author.source.as_str())
        .bind(author.reason.as_deref().unwrap_or(unsaid))
        .bind(author.evidence.as_ref().map_or_else(String::new, ToString::to_string))
        .bind(author.requested_at.map_or_else(String::new, |at| at.to_rfc3339()));
        let pid = within(settings.fetch_one(&mut *tx)).await?.try_get("pid")?;
        let lock =
            sqlx::query_scalar("select revision from ficus.clock for update").fetch_one(&mut *tx);
        let base = Revision(naming_blockers(pool, pid, within(lock)).await?);
        // Before the expected revision is compared: what was done has moved it.
        if let Some(key) = &author.key
            && is_taken(&mut tx, &author.actor, key).await?
        {
            return Err(Error::Repeated);
        }
        if let Some(expected) = terms.expect_revision.filter(|expected| *expected != base) {
            return Err(Error::Conflict {
                expected,
                actual: base,
            });
        }
        Ok(Self {
            tx,
            pool: pool.clone(),
            pid,
            dry_run: terms.dry_run,
            key: author.key.clone().map(|key| (author.actor.clone(), key)),
            base,
        })
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Runs one statement and answers how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, Error> {
        let Self { tx, pool, pid, .. } = self;
        let run = async { Ok(statement.execute(&mut **tx).await?) };
        Ok(naming_blockers(pool, *pid, run).await?.rows_affected())
    }

    /// Commits, or takes everything back after a dry run.
    pub(super) async fn finish(mut self, changed: u64) -> Result<Change, Error> {
        let (revision, at) = sqlx::query_as(
            "select k.revision, coalesce((select c.at from ficus.change as c where c.revision = k.revision and c.revision > $1),
                                         clock_timestamp())
             from ficus.clock as k",
        )
        .bind(self.base.0)
        .fetch_one(&mut *self.tx)
        .await?;
        let mut change = Change {
            revision: Revision(revision),
            changed,
            at,
            preview: Vec::new(),
        };
        if self.dry_run {
            let items = sqlx::query_as(ITEMS_SINCE).bind(self.base.0).bind(PREVIEW);
            change.preview = items.fetch_all(&mut *self.tx).await?;
            change.revision = self.base;
            self.tx.rollback().await?;
            return Ok(change);
        }
        if let Some((actor, key)) = &self.key {
            take(&mut self.tx, actor, key, &change).await?;
        }
        match timeout(PATIENCE, self.tx.commit()).await {
            Ok(Ok(())) => Ok(change),
            Ok(Err(sqlx::Error::Io(_))) | Err(_) => Err(Error::Unsure),
            Ok(Err(refused)) => Err(refused.into()),
        }
    }
}

/// Runs something that may wait for a lock. Fails it at the lock timeout, it says who held the lock.
async fn naming_blockers<T>(
    pool: &PgPool,
    pid: i32,
    run: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::pin!(run);
    let late = async {
        sleep(ASK_WHO_BLOCKS).await;
        // A look that takes longer would come after the lock timeout, when nobody blocks any more.
        timeout(Duration::from_millis(800), blockers(pool, pid))
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default()
    };
    let (answer, blockers) = tokio::select! {
        answer = &mut run => (answer, Vec::new()),
        blockers = late => (run.await, blockers),
    };
    match answer {
        Err(Error::Locked(_)) => Err(Error::Locked(blockers)),
        answer => answer,
    }
}

/// The sessions at the head of the queue that `pid` stands in: those that wait for nobody themselves.
async fn blockers(pool: &PgPool, pid: i32) -> Result<Vec<Blocker>, sqlx::Error> {
    let rows = sqlx::query(
        "with recursive queue (pid) as (
             select unnest(pg_blocking_pids($1))
             union
             select b.pid from queue as q cross join lateral unnest(pg_blocking_pids(q.pid)) as b (pid)
         )
         select q.pid, coalesce(a.application_name, '') as application, a.query_start
         from queue as q left join pg_stat_activity as a on a.pid = q.pid
         where cardinality(pg_blocking_pids(q.pid)) = 0
         order by q.pid limit 5",
    )
    .bind(pid)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Blocker {
                pid: row.try_get("pid")?,
                application: row.try_get("application")?,
                query_start: row.try_get("query_start")?,
            })
        })
        .collect()
}
