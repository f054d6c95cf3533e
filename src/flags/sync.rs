//! Keeps the snapshot current: listen, load, then changes by revision; reports what is in force.
//!
//! Its own file, because this one task is all that ties the request path to PostgreSQL: when the database
//! is away it fails, waits and tries again, and the proxy goes on with what it has.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::store::{self, Instance};
use super::{Config, Flags};
use crate::ids::Revision;
use crate::telemetry::Metrics;

/// The channel of `pg_notify` in migrations/0001.
const CHANNEL: &str = "ficus_change";
/// A query on the listening connection that takes longer than this means that the link is dead.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);
/// The row in `ficus.instance` says alive this often; after 10 s of silence the fleet calls us dead.
const BEAT: Duration = Duration::from_secs(2);
/// Between two attempts to reach PostgreSQL.
const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);
/// A disk snapshot that could not be written is tried again after this.
const RETRY_DISK: Duration = Duration::from_secs(10);
/// The disk writer rests this many times as long as its last write took, so that it costs at most a twentieth.
const REST: u32 = 20;

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
    #[error("keeping the local actions on disk: {0}")]
    Disk(#[from] std::io::Error),
}

impl Sync {
    /// Runs until `stop`. Bound: one listening connection, one query at a time on the pool, and one disk write at a time.
    pub async fn run(self, stop: CancellationToken) {
        let writer = tokio::spawn(write_to_disk(self.flags.clone(), stop.clone()));
        let mut wait = BACKOFF.start;
        let mut away = false;
        loop {
            let begun = Instant::now();
            let ended = tokio::select! {
                ended = self.session() => ended,
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
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = sleep(wait.mul_f64(jitter)) => {}
                () = stop.cancelled() => break,
            }
            wait = (wait * 2).min(BACKOFF.end);
        }
        let goodbye = store::mark_stopped(&self.pool, self.instance.id);
        if !matches!(timeout(Duration::from_secs(1), goodbye).await, Ok(Ok(()))) {
            tracing::info!("stopping without telling the database: the fleet will see it in 10 s");
        }
        if let Err(e) = writer.await {
            tracing::error!(error = %e, "the disk writer ended badly");
        }
    }

    /// One session with the database; returns only when it ends.
    async fn session(&self) -> Ended {
        match self.serve().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn serve(&self) -> Result<std::convert::Infallible, Ended> {
        // Listen before the first load: a change between the two would be lost otherwise.
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.eager_reconnect(false);
        if self.config.notify {
            listener.listen(CHANNEL).await?;
        }
        store::register(&self.pool, &self.instance, self.flags.revision()).await?;
        self.bring_home().await?;
        self.catch_up().await?;
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
                            self.follow().await?;
                        }
                    }
                    None => return Err(Ended::ListenerLost),
                },
                _ = poll.tick() => self.follow().await?,
                _ = beat.tick() => {
                    if !store::heartbeat(&self.pool, self.instance.id).await? {
                        store::register(&self.pool, &self.instance, self.flags.revision()).await?;
                    }
                }
                // A link that swallows packets raises nothing by itself: ask it something.
                _ = probe.tick() => {
                    let question = sqlx::query("select 1").execute(&mut listener);
                    timeout(PROBE_DEADLINE, question).await.map_err(|_| Ended::ListenerSilent)??;
                }
                () = self.flags.0.acted.notified() => {
                    self.bring_home().await?;
                    self.catch_up().await?;
                }
            }
        }
    }

    /// Catches up while in step with the database: the only time at which propagation is worth measuring.
    async fn follow(&self) -> Result<(), Ended> {
        if let Some(seconds) = self.catch_up().await? {
            self.metrics.propagation.observe(seconds);
        }
        Ok(())
    }

    /// Makes the snapshot as new as the database, and says so there. Answers how old the change was by then, in seconds.
    async fn catch_up(&self) -> Result<Option<f64>, Ended> {
        let newest = store::newest_revision(&self.pool).await?;
        let have = self.flags.revision();
        let loaded = self.flags.load_full();
        let snapshot = match loaded {
            Some(old) if have == newest && have != Revision(0) => {
                drop(old);
                self.flags.confirm();
                return Ok(None);
            }
            // A bootstrap file numbers capabilities by itself; only a whole load replaces it.
            Some(old) if have != Revision(0) => match store::load_since(&self.pool, &old).await? {
                Some(read) => {
                    self.reject(read.rejected);
                    old.apply(read.value)
                }
                None => self.load_all().await?,
            },
            _ => self.load_all().await?,
        };
        let revision = snapshot.revision;
        if !self.flags.install(snapshot) {
            self.metrics.snapshots_refused.inc();
            tracing::error!(
                database = revision.0,
                in_force = self.flags.revision().0,
                "the database is older than the snapshot in force, which stays; if a backup was restored on purpose, stop the proxies and remove their state folder"
            );
            return Ok(None);
        }
        self.flags.confirm();
        self.metrics.revision.set(revision.0);
        self.metrics.tenants.set(
            self.flags
                .load()
                .as_ref()
                .map_or(0, |s| s.tenant_count() as i64),
        );
        Ok(store::acknowledge(&self.pool, self.instance.id, revision).await?)
    }

    async fn load_all(&self) -> Result<super::Snapshot, Ended> {
        let begun = Instant::now();
        let read = store::load_all(&self.pool).await?;
        self.reject(read.rejected);
        tracing::info!(
            tenants = read.value.tenant_count(),
            revision = read.value.revision.0,
            ms = begun.elapsed().as_millis() as u64,
            "loaded the control state"
        );
        Ok(read.value)
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

    /// Tells the database of the actions taken without it, and forgets each one when the snapshot shows it.
    async fn bring_home(&self) -> Result<(), Ended> {
        let actions = self.flags.local_actions();
        if actions.is_empty() {
            return Ok(());
        }
        let mut told: Vec<Uuid> = Vec::with_capacity(actions.len());
        for action in &actions {
            match store::replay(&self.pool, action).await {
                Ok(_) => told.push(action.id),
                // Such as a capability that is not registered: it stays in force here, and the others go home.
                Err(e) if e.as_database_error().is_some() => {
                    tracing::error!(action.id = %action.id, error = %e, "a local rollback cannot be brought home; it stays in force on this proxy")
                }
                Err(e) => return Err(e.into()),
            }
        }
        // First see the rows that it moved, then let go: the tenant must not be modern for a moment in between.
        self.catch_up().await?;
        if !told.is_empty() {
            self.flags.forget_actions(&told)?;
            tracing::info!(actions = told.len(), "brought the local rollbacks home");
        }
        Ok(())
    }
}

/// Keeps the disk snapshot as new as the one in force. Writes that would come too fast are skipped, never the last.
async fn write_to_disk(flags: Flags, stop: CancellationToken) {
    let mut revisions = flags.watch();
    let mut written = None;
    loop {
        let current = flags.load_full();
        let mut rest = RETRY_DISK;
        if let Some(snapshot) =
            current.filter(|s| s.revision > Revision(0) && written != Some(s.revision))
        {
            let revision = snapshot.revision;
            let begun = Instant::now();
            let state = flags.0.state.clone();
            match tokio::task::spawn_blocking(move || state.save_snapshot(&snapshot)).await {
                Ok(Ok(())) => written = Some(revision),
                Ok(Err(e)) => {
                    tracing::error!(error = %e, "the disk snapshot was not written; the one before it stays")
                }
                Err(e) => tracing::error!(error = %e, "the disk writer's thread ended badly"),
            }
            if written == Some(revision) {
                rest = begun.elapsed() * REST;
            }
        }
        if stop.is_cancelled() {
            return;
        }
        let current_is_written = written == Some(flags.revision());
        tokio::select! {
            // What came while we rested is written after the rest.
            () = sleep(rest), if !current_is_written => {}
            _ = revisions.changed(), if current_is_written => {}
            () = stop.cancelled() => {}
        }
    }
}
