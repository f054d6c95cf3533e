//! Tells of each change of the configuration: a good one as the new configuration, a bad one as its faults.
//!
//! Its own file, because this is the only part of the reading that waits.
//!
//! Watched are folders and not files: editors and Kubernetes put a new file or symlink in the old one's place.
//! They are the folder of the configuration file, the folder to which it leads if it is a symlink, and the folders of
//! all files that `{ file = "…" }` names. In them only these files count, and the links that lead to them: whatever else is
//! written there, such as a log, is no reason to read everything again. A folder that is taken away and comes back later is not seen to come back.
//! The environment is as it was when the process started.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
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
    /// What counts in the watched folders. Read by the watcher's own thread.
    names: Arc<ArcSwap<BTreeSet<OsString>>>,
    /// What `next` told last; the same again is not told.
    last: Result<Config, Faults>,
    /// A nudge was taken and not yet answered, if the caller has dropped `next` in between.
    is_due: bool,
}

impl Watch {
    /// Watches the source from the configuration on that is in force. What changed since that was read is told first.
    pub fn start(source: Source, in_force: Config) -> notify::Result<Self> {
        let (sender, nudges) = mpsc::channel(1);
        let names = Arc::new(ArcSwap::from_pointee(BTreeSet::new()));
        let counted = Arc::clone(&names);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event
                .as_ref()
                .map_or(true, |event| concerns(event, &counted.load()))
            {
                // Full means that one is waiting already; closed, that nobody wants to know.
                let _ = sender.try_send(());
            }
        })?;
        let mut watch = Self {
            source: Arc::new(source),
            watcher,
            nudges,
            watched: BTreeSet::new(),
            names,
            last: Ok(in_force),
            is_due: true,
        };
        if let Some(file) = watch.source.file.clone() {
            watch.names.store(Arc::new(names_of(&file)));
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
        let files = || self.source.file.iter().chain(&reading.files);
        let before = self.names.load_full();
        let mut names = BTreeSet::clone(&before);
        names.extend(files().flat_map(|file| names_of(file)));
        if names.len() > before.len() {
            // It may have changed between the reading and now, when nobody minded it.
            self.is_due = true;
            self.names.store(Arc::new(names));
        }
        let wanted: BTreeSet<PathBuf> = files().flat_map(|file| folders_of(file)).collect();
        for folder in wanted {
            // Again too, where it is watched already: the folder may be a new one of the same name.
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                // What is newly watched may have changed between the reading and the watch.
                Ok(()) => self.is_due |= self.watched.insert(folder),
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "cannot watch a folder of the configuration")
                }
            }
        }
    }
}

/// Whether it is a change of something that is called like a file of the configuration. What names nothing may be anything.
fn concerns(event: &Event, names: &BTreeSet<OsString>) -> bool {
    let is_named = |path: &PathBuf| path.file_name().is_none_or(|name| names.contains(name));
    is_change(event.kind)
        && (event.paths.is_empty() || event.need_rescan() || event.paths.iter().any(is_named))
}

/// What the file is called, what the links are called that lead to it, and the folders in which these stand: one that is
/// taken away tells so by its own name.
fn names_of(file: &Path) -> BTreeSet<OsString> {
    let mut names = BTreeSet::new();
    let mut ways = vec![file.to_owned()];
    // As many links as the kernel follows.
    for _ in 0..40 {
        let Some(way) = ways.pop() else { break };
        names.extend(way.file_name().map(ToOwned::to_owned));
        let parts: Vec<Component<'_>> = way.components().collect();
        for last in 1..=parts.len() {
            let part: PathBuf = parts[..last].iter().collect();
            let Ok(to) = std::fs::read_link(&part) else {
                continue;
            };
            names.extend(part.file_name().map(ToOwned::to_owned));
            let rest: PathBuf = parts[last..].iter().collect();
            let from = part.parent().unwrap_or(Path::new(""));
            ways.push(match rest.as_os_str().is_empty() {
                true => from.join(to),
                false => from.join(to).join(rest),
            });
            break;
        }
    }
    let folders = folders_of(file);
    let folders = folders.iter().filter_map(|folder| folder.file_name());
    names.extend(folders.map(ToOwned::to_owned));
    names
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::super::Needs;
    use super::*;

    /// A folder with `ficus.toml`, and a watch on it. No test waits longer than this for a change that does not come.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn valid(threads: u32) -> String {
        format!("[proxy]\nthreads = {threads}\n[upstream.legacy]\nurl = \"http://legacy\"\n")
    }

    fn watch(file: &Path) -> Watch {
        let source = Source::new(
            Some(file),
            std::iter::empty(),
            Needs {
                upstream: true,
                database: false,
            },
        );
        let in_force = source.load().expect("a valid file");
        Watch::start(source, in_force).expect("a watch")
    }

    fn folder_with(text: &str) -> (TempDir, PathBuf) {
        let folder = TempDir::new().expect("scratch folder");
        let file = folder.path().join("ficus.toml");
        std::fs::write(&file, text).expect("write");
        (folder, file)
    }

    async fn next(watch: &mut Watch) -> Result<Config, Faults> {
        tokio::time::timeout(PATIENCE, watch.next())
            .await
            .expect("a change is told")
    }

    async fn next_threads(watch: &mut Watch) -> usize {
        next(watch).await.expect("a valid change").proxy.threads
    }

    #[test]
    fn a_look_at_a_file_is_no_change_and_the_end_of_a_write_is() {
        assert!(!is_change(EventKind::Access(AccessKind::Open(
            AccessMode::Read
        ))));
        assert!(!is_change(EventKind::Access(AccessKind::Close(
            AccessMode::Read
        ))));
        assert!(is_change(EventKind::Access(AccessKind::Close(
            AccessMode::Write
        ))));
    }

    fn written(path: &Path) -> Event {
        Event::new(EventKind::Access(AccessKind::Close(AccessMode::Write)))
            .add_path(path.to_owned())
    }

    #[test]
    fn what_else_is_written_into_the_folder_is_no_change() {
        let (folder, file) = folder_with(&valid(1));
        let names = names_of(&file);
        assert!(concerns(&written(&file), &names));
        assert!(concerns(&written(folder.path()), &names));
        assert!(!concerns(
            &written(&folder.path().join("ficus.log")),
            &names
        ));
        assert!(!concerns(
            &written(&folder.path().join("ficus.toml.swp")),
            &names
        ));
        // Renamed into place: one of the two names is enough.
        let renamed = written(&folder.path().join("draft")).add_path(file);
        assert!(concerns(&renamed, &names));
        // The kernel's queue ran over: nobody knows what happened.
        let lost = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert!(concerns(&lost, &names));
    }

    #[test]
    fn each_link_on_the_way_to_the_file_counts() {
        let folder = TempDir::new().expect("scratch folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("..v1")).expect("folder");
        std::fs::write(at("..v1/real.toml"), "").expect("write");
        symlink("..v1", at("..data")).expect("link");
        symlink("..data/real.toml", at("ficus.toml")).expect("link");
        let names = names_of(&at("ficus.toml"));
        for name in ["ficus.toml", "..data", "real.toml", "..v1"] {
            assert!(
                names.contains(std::ffi::OsStr::new(name)),
                "{name} in {names:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_change_in_place_gives_the_new_configuration() {
        let (_folder, file) = folder_with(&valid(1));
        let mut watch = watch(&file);
        std::fs::write(&file, valid(2)).expect("write");
        assert_eq!(next_threads(&mut watch).await, 2);
    }

    #[tokio::test]
    async fn a_file_that_is_renamed_into_place_gives_the_new_configuration() {
        let (folder, file) = folder_with(&valid(1));
        let mut watch = watch(&file);
        let draft = folder.path().join("draft");
        for threads in [2, 3] {
            std::fs::write(&draft, valid(threads)).expect("write");
            std::fs::rename(&draft, &file).expect("rename");
            assert_eq!(next_threads(&mut watch).await, threads as usize);
        }
    }

    #[tokio::test]
    async fn a_swapped_config_map_gives_the_new_configuration() {
        let folder = TempDir::new().expect("scratch folder");
        let at = |name: &str| folder.path().join(name);
        for (version, threads) in [("..v1", 1), ("..v2", 2)] {
            std::fs::create_dir(at(version)).expect("folder");
            std::fs::write(at(version).join("ficus.toml"), valid(threads)).expect("write");
        }
        symlink("..v1", at("..data")).expect("link");
        symlink("..data/ficus.toml", at("ficus.toml")).expect("link");
        let mut watch = watch(&at("ficus.toml"));
        symlink("..v2", at("..data_tmp")).expect("link");
        std::fs::rename(at("..data_tmp"), at("..data")).expect("swap");
        assert_eq!(next_threads(&mut watch).await, 2);
    }

    #[tokio::test]
    async fn a_bad_change_is_told_as_its_faults_and_the_good_one_behind_it_as_a_configuration() {
        let (_folder, file) = folder_with(&valid(1));
        let mut watch = watch(&file);
        std::fs::write(&file, "[proxy]\nthreads = -1\n").expect("write");
        let faults = next(&mut watch).await.expect_err("a bad change");
        let keys: Vec<&str> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["proxy.threads", "upstream.legacy"]);
        std::fs::write(&file, valid(2)).expect("write");
        assert_eq!(next_threads(&mut watch).await, 2);
    }

    #[tokio::test]
    async fn a_write_that_changes_nothing_is_not_told() {
        let (_folder, file) = folder_with(&valid(1));
        let mut watch = watch(&file);
        std::fs::write(&file, format!("# the same\n{}", valid(1))).expect("write");
        let quiet = tokio::time::timeout(QUIET * 5, watch.next()).await;
        assert!(quiet.is_err(), "told {quiet:?}");
        std::fs::write(&file, valid(2)).expect("write");
        assert_eq!(next_threads(&mut watch).await, 2);
    }

    #[tokio::test]
    async fn a_change_before_the_watch_began_is_told_first() {
        let (_folder, file) = folder_with(&valid(1));
        let source = Source::new(Some(&file), std::iter::empty(), Needs::default());
        let in_force = source.load().expect("a valid file");
        std::fs::write(&file, valid(2)).expect("write");
        let mut watch = Watch::start(source, in_force).expect("a watch");
        assert_eq!(next_threads(&mut watch).await, 2);
    }

    #[tokio::test]
    async fn a_changed_secret_in_another_folder_is_a_change() {
        let secrets = TempDir::new().expect("scratch folder");
        let secret = secrets.path().join("url");
        std::fs::write(&secret, "postgres://one/ficus").expect("write");
        let (_folder, file) = folder_with(&format!(
            "{}[database]\nurl = {{ file = {secret:?} }}\n",
            valid(1)
        ));
        let mut watch = watch(&file);
        // The first look finds the secret's folder, and tells that it has looked by the changed count of threads.
        let text = std::fs::read_to_string(&file).expect("read");
        std::fs::write(&file, text.replace("threads = 1", "threads = 2")).expect("write");
        assert_eq!(next_threads(&mut watch).await, 2);
        std::fs::write(&secret, "postgres://two/ficus").expect("write");
        assert_eq!(
            next(&mut watch).await.expect("valid").database.url.reveal(),
            "postgres://two/ficus"
        );
    }
}
