//! The control state inside this process: a handle over one immutable snapshot.
//!
//! [`Flags::load`] is all that the hot path calls: no lock, no database. [`sync`] keeps the snapshot
//! current, [`disk`] keeps it for a start without PostgreSQL, [`local`] keeps what this proxy alone was told.

pub mod bootstrap;
pub mod bucket;
pub mod decide;
pub mod disk;
pub mod freeze;
mod keep;
pub mod local;
pub mod model;
pub mod presence;
pub mod split;
pub mod store;
pub mod sync;
pub mod table;
pub mod words;
pub mod writes;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use chrono::Utc;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub use decide::{Caller, Decision, Keys, Reason, decide, decide_for};
pub use freeze::{FreezeScope, Frozen, ServerTime};
pub use model::Snapshot;
pub use split::{Split, Sticky};
pub use words::{Effect, Side, State};

use self::disk::StateDir;
use self::local::{Action, LocalApplied, LocalError, LocalScope, Pins};
use self::writes::Writes;
use crate::ids::Revision;

/// What `[flags]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Asks for the revision this often, whatever NOTIFY says.
    pub poll: Duration,
    /// Proves the listening connection alive this often.
    pub heartbeat: Duration,
    /// Off only to test the poll.
    pub notify: bool,
    /// Where the disk snapshot, the local actions and the instance's id live.
    pub state_dir: PathBuf,
    /// Read when there is neither a database nor a disk snapshot.
    pub bootstrap: Option<PathBuf>,
    pub cold_start: ColdStart,
}

/// What a proxy does that finds no control state anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColdStart {
    /// 503 until there is one: a tenant whose writes live on the modern side must not be split.
    Refuse,
    /// Everything to legacy, because the operator said so.
    Legacy,
}

/// The handle on this process's control state. Clones share it.
#[derive(Clone)]
pub struct Flags(Arc<Shared>);

struct Shared {
    current: ArcSwapOption<Snapshot>,
    /// The local actions in force, and the lock that puts writers of `current` in order. Never held on the hot path.
    pins: Mutex<Pins>,
    /// Tells the sync task of a new local action.
    acted: Notify,
    /// The revision in force, for whoever waits for it.
    revision: watch::Sender<Revision>,
    started: Instant,
    /// What the database's clock showed at `started`, in milliseconds since 1970: this machine's until the database has
    /// been asked. From there on the time that passes is counted, so that a clock that is set moves no freeze's end.
    server_at_start: AtomicI64,
    writes: Writes,
    /// Milliseconds after `started` at which the database last confirmed the snapshot, plus one; 0: never.
    confirmed: AtomicU64,
    state: StateDir,
    instance: String,
    cold_start: ColdStart,
    succeeded: AtomicBool,
}

/// Where the first snapshot came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Disk,
    Bootstrap,
    Nowhere,
}

impl Flags {
    /// Opens the state folder and takes what it holds: the last snapshot, else the bootstrap file, and the local
    /// actions, which are in force before the first request. A file that cannot be trusted is logged and passed over.
    pub fn open(config: &Config, instance: &str) -> anyhow::Result<(Self, Origin)> {
        let state = StateDir::open(&config.state_dir).map_err(|e| {
            anyhow::anyhow!(
                "opening the state folder {}: {e}",
                config.state_dir.display()
            )
        })?;
        let actions = state.load_actions().unwrap_or_else(|e| {
            tracing::error!(error = %e, "the local actions on disk cannot be read; roll back again where it is needed");
            Vec::new()
        });
        let (snapshot, origin) = first_snapshot(&state, config.bootstrap.as_deref());
        let pins = Pins::new(actions);
        let snapshot = snapshot.map(|s| Arc::new(s.with_local(pins.clone())));
        let revision = snapshot.as_ref().map_or(Revision(0), |s| s.revision);
        let shared = Shared {
            current: ArcSwapOption::new(snapshot),
            pins: Mutex::new(pins),
            acted: Notify::new(),
            revision: watch::Sender::new(revision),
            started: Instant::now(),
            server_at_start: AtomicI64::new(Utc::now().timestamp_millis()),
            writes: Writes::default(),
            confirmed: AtomicU64::new(0),
            state,
            instance: instance.to_owned(),
            cold_start: config.cold_start,
            succeeded: AtomicBool::new(false),
        };
        Ok((Self(Arc::new(shared)), origin))
    }

    /// The snapshot in force. The guard is cheap and short-lived: decide, then drop it.
    pub fn load(&self) -> Guard<Option<Arc<Snapshot>>> {
        self.0.current.load()
    }

    /// The snapshot in force, to keep.
    pub fn load_full(&self) -> Option<Arc<Snapshot>> {
        self.0.current.load_full()
    }

    /// Whether there is a snapshot to decide by, or leave to do without.
    pub fn is_ready(&self) -> bool {
        self.load().is_some() || self.0.cold_start == ColdStart::Legacy
    }

    /// Whether to serve from legacy while there is no snapshot.
    pub fn may_start_cold(&self) -> bool {
        self.0.cold_start == ColdStart::Legacy
    }

    /// The revision of the snapshot in force; 0 without one.
    pub fn revision(&self) -> Revision {
        *self.0.revision.borrow()
    }

    /// Follows the revision in force.
    pub fn watch(&self) -> watch::Receiver<Revision> {
        self.0.revision.subscribe()
    }

    /// How long ago the database last confirmed that the snapshot is current. `None`: never since the start.
    pub fn age(&self) -> Option<Duration> {
        let at = self.0.confirmed.load(Ordering::Relaxed).checked_sub(1)?;
        Some(
            self.0
                .started
                .elapsed()
                .saturating_sub(Duration::from_millis(at)),
        )
    }

    /// The writes of this process that are under way.
    pub fn writes(&self) -> &Writes {
        &self.0.writes
    }

    /// What the database's clock shows, or a little less: a freeze never ends early by it.
    pub fn server_time(&self) -> ServerTime {
        let passed = self.0.started.elapsed().as_millis() as i64;
        ServerTime(self.0.server_at_start.load(Ordering::Relaxed) + passed)
    }

    /// Sets the clock by an answer of the database that has just come: `shown` is older than now by the way back.
    fn set_server_time(&self, shown: ServerTime) {
        let passed = self.0.started.elapsed().as_millis() as i64;
        let at_start = shown.0 - passed;
        self.0.server_at_start.store(at_start, Ordering::Relaxed);
    }

    /// Another process goes on with this instance's state folder and its row: this one writes to neither any more.
    pub fn hand_over(&self) {
        self.0.succeeded.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_successor(&self) -> bool {
        self.0.succeeded.load(Ordering::Relaxed)
    }

    /// Takes the local actions from the disk once more: what a predecessor was told while this process started.
    pub fn reread_actions(&self) {
        let mut pins = self.pins();
        match self.0.state.load_actions() {
            Ok(actions) => {
                *pins = Pins::new(actions);
                self.publish(&pins, None);
            }
            Err(e) => tracing::error!(error = %e, "the local actions on disk cannot be read"),
        }
    }

    pub fn instance(&self) -> &str {
        &self.0.instance
    }

    /// The local actions that the database does not know yet.
    pub fn local_actions(&self) -> Vec<Action> {
        self.pins().actions().to_vec()
    }

    /// Rolls back on this proxy alone: kept on disk, and in force, before this returns; home to the database when it
    /// is back. A disk that does not keep it is told and does not stop it: a full disk must not hold a rollback.
    pub async fn roll_back_locally(
        &self,
        scope: LocalScope,
        actor: &str,
        reason: &str,
    ) -> Result<LocalApplied, LocalError> {
        let begun = Instant::now();
        let id = Uuid::new_v4();
        let kept;
        {
            let mut pins = self.pins();
            let current = self.0.current.load_full();
            let scope = local::resolve(current.as_deref(), scope)?;
            // Without a snapshot of the database's own nothing can be called a later word.
            let known = current.map_or(Revision(0), |s| s.revision);
            let base_revision = if known == Revision(0) {
                Revision(i64::MAX)
            } else {
                known
            };
            let next = pins.with(Action {
                id,
                at: Utc::now(),
                actor: actor.to_owned(),
                reason: reason.to_owned(),
                base_revision,
                scope,
            });
            kept = self.0.state.save_actions(next.actions());
            *pins = next;
            self.publish(&pins, None);
        }
        self.0.acted.notify_one();
        if let Err(e) = &kept {
            tracing::error!(action.id = %id, error = %e, "a local rollback is in force and not kept on disk");
        }
        Ok(LocalApplied {
            action_id: id,
            instance: self.0.instance.clone(),
            micros: begun.elapsed().as_micros() as u64,
            not_kept: kept.err().map(|e| e.to_string()),
        })
    }

    /// Puts a newer snapshot in force. An older one is refused: whatever it comes from, it is stale.
    fn install(&self, snapshot: Snapshot) -> bool {
        let pins = self.pins();
        // Bootstrap and disk are only ever first, so an equal revision is a re-read of the same state.
        if self
            .0
            .current
            .load()
            .as_ref()
            .is_some_and(|current| current.revision > snapshot.revision)
        {
            return false;
        }
        self.publish(&pins, Some(snapshot));
        true
    }

    /// Forgets the local actions that the database has and the snapshot shows. One that the disk goes on keeping is
    /// told to the database again after a restart, which knows it by its id.
    fn forget_actions(&self, ids: &[Uuid]) {
        let mut pins = self.pins();
        let next = pins.without(ids);
        if let Err(e) = self.0.state.save_actions(next.actions()) {
            tracing::error!(error = %e, "the disk still keeps local rollbacks that the database has");
        }
        *pins = next;
        self.publish(&pins, None);
    }

    /// Swaps in `fresh`, or the snapshot in force, with these pins. The caller holds the lock of `pins`.
    fn publish(&self, pins: &Pins, fresh: Option<Snapshot>) {
        let Some(base) = fresh.or_else(|| self.0.current.load_full().map(|s| (*s).clone())) else {
            return;
        };
        let revision = base.revision;
        self.0
            .current
            .store(Some(Arc::new(base.with_local(pins.clone()))));
        self.0.revision.send_replace(revision);
    }

    fn confirm(&self) {
        self.0.confirmed.store(
            self.0.started.elapsed().as_millis() as u64 + 1,
            Ordering::Relaxed,
        );
    }

    fn pins(&self) -> std::sync::MutexGuard<'_, Pins> {
        // Nothing under this lock panics half-way through a change of it.
        self.0.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first_snapshot(
    state: &StateDir,
    bootstrap: Option<&std::path::Path>,
) -> (Option<Snapshot>, Origin) {
    match state.load_snapshot() {
        Some(Ok(snapshot)) => return (Some(snapshot), Origin::Disk),
        Some(Err(e)) => {
            tracing::error!(error = %e, file = %state.path("snapshot").display(), "the disk snapshot is not taken")
        }
        None => {}
    }
    let Some(path) = bootstrap else {
        return (None, Origin::Nowhere);
    };
    match bootstrap::load_bootstrap(path) {
        Ok(snapshot) => (Some(snapshot), Origin::Bootstrap),
        Err(e) => {
            tracing::error!(error = %e, file = %path.display(), "the bootstrap file is not taken");
            (None, Origin::Nowhere)
        }
    }
}
