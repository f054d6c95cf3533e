//! Tells of each change of the configuration: a good one as the new configuration, a bad one as its faults.
//!
//! Its own file, because this is the only part of the reading that waits.
//!
//! Watched are folders and not files: editors and Kubernetes put a new file or symlink in the old one's place.
//! They are the folder of the configuration file, the folder to which it leads if it is a symlink, and the folders of
//! all files that `{ file = "…" }` names. The environment is as it was when the process started.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::{Config, Faults, Reading, Source};

/// A change counts when nothing more has happened for this long: writers truncate, write and rename.
const QUIET: Duration = Duration::from_millis(100);
/// A folder in which something always happens is read after this long all the same.
const LONGEST: Duration = Duration::from_secs(2);

/// Owned by the task that applies changes; dropping it ends the watching.
pub struct Watch {
    source: Arc<Source>,
    watcher: RecommendedWatcher,
    /// Bounded at one: a nudge says "look again", and two say no more than one.
    nudges: mpsc::Receiver<()>,
    watched: BTreeSet<PathBuf>,
    /// What `next` told last; the same again is not told.
    last: Result<Config, Faults>,
    /// A nudge was taken and not yet answered, if the caller has dropped `next` in between.
    is_due: bool,
}

impl Watch {
    /// Watches the source from the configuration on that is in force. What changed since that was read is told first.
    pub fn start(source: Source, in_force: Config) -> notify::Result<Self> {
        let (sender, nudges) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.as_ref().map_or(true, |event| is_change(event.kind)) {
                // Full means that one is waiting already; closed, that nobody wants to know.
                let _ = sender.try_send(());
            }
        })?;
        let mut watch = Self {
            source: Arc::new(source),
            watcher,
            nudges,
            watched: BTreeSet::new(),
            last: Ok(in_force),
            is_due: true,
        };
        if let Some(file) = watch.source.file.clone() {
            for folder in folders_of(&file) {
                watch.watcher.watch(&folder, RecursiveMode::NonRecursive)?;
                watch.watched.insert(folder);
            }
        }
        Ok(watch)
    }

    /// Waits for the next change that makes a difference: the new configuration, checked, or why it is refused;
    /// then what was in force stays. May be dropped at any time without losing a change.
    pub async fn next(&mut self) -> Result<Config, Faults> {
        loop {
            if !self.is_due {
                match self.nudges.recv().await {
                    Some(()) => self.is_due = true,
                    // The watcher is gone, and with it every further change.
                    None => std::future::pending().await,
                }
                self.settle().await;
            }
            let source = Arc::clone(&self.source);
            let reading = tokio::task::spawn_blocking(move || source.read()).await;
            self.is_due = false;
            // Only a runtime that shuts down refuses to read.
            let Ok(reading) = reading else { continue };
            self.watch_folders(&reading);
            if reading.result != self.last {
                self.last = reading.result.clone();
                return reading.result;
            }
        }
    }

    async fn settle(&mut self) {
        let until_quiet = async {
            while let Ok(Some(())) = tokio::time::timeout(QUIET, self.nudges.recv()).await {}
        };
        // Quiet or not, it is read now.
        let _ = tokio::time::timeout(LONGEST, until_quiet).await;
    }

    /// Follows what the newest reading has looked into. A folder that was left is watched on: that costs an idle look.
    fn watch_folders(&mut self, reading: &Reading) {
        let files = self.source.file.iter().chain(&reading.files);
        let wanted: BTreeSet<PathBuf> = files.flat_map(|file| folders_of(file)).collect();
        for folder in wanted.difference(&self.watched.clone()) {
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder.clone());
                    // It may have changed between the reading and the watch.
                    self.is_due = true;
                }
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "cannot watch a folder of the configuration")
                }
            }
        }
    }
}

/// Reading a file is an event too, and would make the watch chase itself.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// The folder of the file, and that of the file to which it leads.
fn folders_of(file: &Path) -> BTreeSet<PathBuf> {
    let folder = |file: &Path| match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    };
    let real = std::fs::canonicalize(file).ok();
    std::iter::once(folder(file))
        .chain(real.as_deref().map(folder))
        .collect()
}
