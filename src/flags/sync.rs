//! Keeps the snapshot current: listen, load, then changes by revision; reports what is in force.
//!
//! Its own file, because this one task is all that ties the request path to PostgreSQL: when the database
//! is away it fails, waits and tries again, and the proxy goes on with what it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::keep;
use super::presence::{self, Instance};
use super::store::{self, Stamp};
use super::writes::Report;
use super::{Config, Flags, Snapshot};
use crate::ids::Revision;
use crate::telemetry::Metrics;

/// The channel of `pg_notify` in migrations/0001.
const CHANNEL: &str = "ficus_change";
/// A query on the listening connection that takes longer than this means that the link is dead.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);
/// For a statement of one row, the wait for a connection and for its lock included.
const ROW_DEADLINE: Duration = Duration::from_secs(6);
/// For a load of everything: beyond the statement timeout that the server itself keeps.
const LOAD_DEADLINE: Duration = Duration::from_secs(90);
/// The row in `ficus.instance` says alive this often; after 10 s of silence the fleet calls us dead.
const BEAT: Duration = Duration::from_secs(2);
/// While frozen writes are under way, somebody waits for their end: it is told this often.
const DRAIN: Duration = Duration::from_millis(100);
/// Between two attempts to reach PostgreSQL.
const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);

/// One proxy's synchronisation. Owns its pool: the admin API's load must not delay a rollback.
pub struct Sync {
    pub flags: Flags,
    pub config: Config,
    pub pool: PgPool,
    pub instance: Instance,
    pub metrics: Arc<Metrics>,
}

/// Why a session with the database ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    #[error("the listening connection was lost")]
    ListenerLost,
    #[error("the listening connection did not answer within {PROBE_DEADLINE:?}")]
    ListenerSilent,
    #[error("the database did not answer within {0:?}")]
    Silent(Duration),
}

/// What is remembered from one session to the next.
#[derive(Default)]
struct Memory {
    /// The revision in force with its stamp, while the snapshot is this database's own word.
    same_history: Option<(Revision, Stamp)>,
    /// The database is older than the snapshot: said once.
    refusing: bool,
    /// Frozen writes were under way at the last report.
    draining: bool,
    /// Local actions that the database did not take: each is said once.
    complained: BTreeSet<Uuid>,
}

impl Sync {
    /// Runs until `stop`. Bound: one listening connection, one query at a time on the pool, and one disk write at a time.
    pub async fn run(mut self, stop: CancellationToken) {
        let writer = tokio::spawn(keep::write_to_disk(self.flags.clone(), stop.clone()));
        let mut wait = BACKOFF.start;
        let mut away = false;
        let mut memory = Memory::default();
        loop {
            let begun = Instant::now();
            let ended = tokio::select! {
                ended = self.session(&mut memory) => ended,
                () = stop.cancelled() => break,
            };
            // A session that held for a while was a good one: begin the waiting anew.
            if begun.elapsed() > BACKOFF.end {
                (wait, away) = (BACKOFF.start, false);
            }
            if !std::mem::replace(&mut away, true) {
                tracing::warn!(error = %ended, revision = self.flags.revision().0, "lost the database; serving from the last snapshot");
            }
            self.metrics.database_up.set(0);
            // The pool waits for connections that it lent, also for those that will never answer.
            self.pool = afresh(&self.pool);
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = sleep(wait.mul_f64(jitter)) => {}
                () = stop.cancelled() => break,
            }
            wait = (wait * 2).min(BACKOFF.end);
        }
        // A successor has this instance's row now.
        if !self.flags.has_successor() {
            let goodbye = presence::mark_stopped(&self.pool, self.instance.id);
            if !matches!(timeout(Duration::from_secs(1), goodbye).await, Ok(Ok(()))) {
                tracing::info!(
                    "stopping without telling the database: the fleet will see it in 10 s"
                );
            }
        }
        if let Err(e) = writer.await {
            tracing::error!(error = %e, "the disk writer ended badly");
        }
    }

    /// One session with the database; returns only when it ends.
    async fn session(&self, memory: &mut Memory) -> Ended {
        match self.serve(memory).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn serve(&self, memory: &mut Memory) -> Result<std::convert::Infallible, Ended> {
        // Listen before the first load: a change between the two would be lost otherwise.
        let mut listener = within(PgListener::connect_with(&self.pool)).await?;
        listener.eager_reconnect(false);
        if self.config.notify {
            within(listener.listen(CHANNEL)).await?;
        }
        let register = || presence::register(&self.pool, &self.instance, self.flags.revision());
        within(register()).await?;
        self.catch_up(memory).await?;
        self.metrics.database_up.set(1);
        tracing::info!(
            revision = self.flags.revision().0,
            "in step with the database"
        );

        let mut poll = interval(self.config.poll);
        let mut beat = interval(BEAT);
        let mut probe = interval(self.config.heartbeat);
        for timer in [&mut poll, &mut beat, &mut probe] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                heard = listener.try_recv() => match heard? {
                    Some(notification) => {
                        let named = notification.payload().parse().map(Revision).unwrap_or_default();
                        // A burst of flips is one catch-up: the later notifications find it done.
                        if named > self.flags.revision() {
                            self.follow(memory).await?;
                        }
                    }
                    None => return Err(Ended::ListenerLost),
                },
                _ = poll.tick() => self.follow(memory).await?,
                _ = beat.tick() => {
                    if !self.report_writes(memory).await? {
                        within(register()).await?;
                    }
                }
                () = sleep(DRAIN), if memory.draining => drop(self.report_writes(memory).await?),
                // A link that swallows packets raises nothing by itself: ask it something.
                _ = probe.tick() => {
                    let question = sqlx::query("select 1").execute(&mut listener);
                    timeout(PROBE_DEADLINE, question).await.map_err(|_| Ended::ListenerSilent)??;
                }
                () = self.flags.0.acted.notified() => self.catch_up(memory).await.map(drop)?,
            }
        }
    }

    /// The sign of life, with what is under way of what is frozen. False: this process has no row.
    async fn report_writes(&self, memory: &mut Memory) -> Result<bool, Ended> {
        let report = self.count_writes(memory);
        within(presence::heartbeat(
            &self.pool,
            self.instance.id,
            report.as_ref(),
        ))
        .await
    }

    /// To be called when the snapshot is in force: what is counted then includes whatever the one before let in.
    fn count_writes(&self, memory: &mut Memory) -> Option<Report> {
        let snapshot = self.flags.load_full()?;
        let now = self.flags.server_time();
        let report = self
            .flags
            .writes()
            .report(snapshot.frozen(), snapshot.revision, now);
        memory.draining = report.as_ref().is_some_and(|it| !it.frozen.is_empty());
        report
    }

    /// Catches up while in step with the database: the only time at which propagation is worth measuring.
    async fn follow(&self, memory: &mut Memory) -> Result<(), Ended> {
        if let Some(seconds) = self.catch_up(memory).await? {
            self.metrics.propagation.observe(seconds);
        }
        Ok(())
    }

    /// Makes the snapshot as new as the database, and says so there. Answers how old the change was by then, in seconds.
    /// Local actions go first, and are forgotten when the snapshot shows what became of them.
    async fn catch_up(&self, memory: &mut Memory) -> Result<Option<f64>, Ended> {
        let told = self.bring_home(memory).await?;
        let age = self.fetch(memory).await?;
        // A database whose snapshot was refused knows of the action, and this proxy does not show it.
        let shown = self.flags.revision();
        let home: Vec<Uuid> = told
            .iter()
            .filter(|(_, at)| *at <= shown)
            .map(|(id, _)| *id)
            .collect();
        if !home.is_empty() {
            self.flags.forget_actions(&home);
            tracing::info!(actions = home.len(), "brought the local rollbacks home");
        }
        Ok(age)
    }

    async fn fetch(&self, memory: &mut Memory) -> Result<Option<f64>, Ended> {
        let have = self.flags.revision();
        let (newest, stamp, now) = within(store::newest_revision(&self.pool, have)).await?;
        self.flags.set_server_time(now);
        if newest < have {
            // When it passes us by one day, its history is still another one.
            memory.same_history = None;
            return Ok(self.refuse(newest, memory));
        }
        let current = self.flags.load_full();
        let known = memory.same_history.as_ref() == Some(&(have, stamp));
        let (snapshot, stamp) = match current {
            Some(_) if known && have == newest => {
                self.flags.confirm();
                return Ok(None);
            }
            // A snapshot from a file, or of a database that has lost commits since, has no right to a delta.
            Some(old) if known => match bounded(store::load_since(&self.pool, &old)).await? {
                Some(read) => {
                    self.reject(read.rejected);
                    (old.apply(read.value), read.stamp)
                }
                None => self.load_all(Some(&old)).await?,
            },
            old => self.load_all(old.as_deref()).await?,
        };
        let revision = snapshot.revision;
        if !self.flags.install(snapshot) {
            memory.same_history = None;
            return Ok(self.refuse(revision, memory));
        }
        memory.same_history = Some((revision, stamp));
        memory.refusing = false;
        self.flags.confirm();
        self.metrics.revision.set(revision.0);
        self.metrics.tenants.set(
            self.flags
                .load()
                .as_ref()
                .map_or(0, |s| s.tenant_count() as i64),
        );
        let writes = self.count_writes(memory);
        within(presence::acknowledge(
            &self.pool,
            self.instance.id,
            revision,
            writes.as_ref(),
        ))
        .await
    }

    fn refuse(&self, database: Revision, memory: &mut Memory) -> Option<f64> {
        self.metrics.snapshots_refused.inc();
        if !std::mem::replace(&mut memory.refusing, true) {
            tracing::error!(
                database = database.0,
                in_force = self.flags.revision().0,
                "the database is older than the snapshot in force, which stays; if a backup was restored on purpose, stop the proxies and remove the snapshot in their state folders"
            );
        }
        None
    }

    async fn load_all(&self, old: Option<&Snapshot>) -> Result<(Snapshot, Stamp), Ended> {
        let begun = Instant::now();
        let read = bounded(store::load_all(&self.pool, old)).await?;
        self.reject(read.rejected);
        tracing::info!(
            tenants = read.value.tenant_count(),
            revision = read.value.revision.0,
            ms = begun.elapsed().as_millis() as u64,
            "loaded the control state"
        );
        Ok((read.value, read.stamp))
    }

    fn reject(&self, rows: usize) {
        if rows > 0 {
            self.metrics.rows_rejected.inc_by(rows as u64);
            tracing::error!(
                rows,
                "rows of the control state make no sense to this version; what was known of them stays"
            );
        }
    }

    /// Tells the database of the actions taken without it. Answers each with the revision that shows it.
    async fn bring_home(&self, memory: &mut Memory) -> Result<Vec<(Uuid, Revision)>, Ended> {
        let mut told = Vec::new();
        for action in self.flags.local_actions() {
            match within(store::replay(&self.pool, &action)).await {
                Ok(revision) => told.push((action.id, revision)),
                // Such as a capability that is not registered: it stays in force here, and the others go home.
                Err(Ended::Database(e)) if e.as_database_error().is_some() => {
                    // It is tried again at each poll; what hinders it may go away.
                    if memory.complained.insert(action.id) {
                        tracing::error!(action.id = %action.id, error = %e, "a local rollback cannot be brought home; it stays in force on this proxy");
                    }
                }
                Err(e) => return Err(e),
            }
        }
        Ok(told)
    }
}

/// A pool like this one, without its connections.
fn afresh(pool: &PgPool) -> PgPool {
    let options = (*pool.connect_options()).clone();
    pool.options().clone().connect_lazy_with(options)
}

/// A statement that reads or writes a row. A link that swallows packets must not hold us for as long as TCP hopes.
async fn within<T>(question: impl Future<Output = sqlx::Result<T>>) -> Result<T, Ended> {
    let answer = timeout(ROW_DEADLINE, question).await;
    Ok(answer.map_err(|_| Ended::Silent(ROW_DEADLINE))??)
}

/// The same for one that reads many rows.
async fn bounded<T>(question: impl Future<Output = sqlx::Result<T>>) -> Result<T, Ended> {
    let answer = timeout(LOAD_DEADLINE, question).await;
    Ok(answer.map_err(|_| Ended::Silent(LOAD_DEADLINE))??)
}
