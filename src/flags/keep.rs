//! Keeps the disk snapshot as new as the one in force.
//!
//! Its own file, because a slow or full disk must hold nothing up: this task alone waits for it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Flags;
use crate::ids::Revision;

/// A disk snapshot that could not be written is tried again after this.
const RETRY_DISK: Duration = Duration::from_secs(10);
/// The disk writer rests this many times as long as its last write took, so that it costs at most a twentieth.
const REST: u32 = 20;

/// Keeps the disk snapshot as new as the one in force. Writes that would come too fast are skipped, never the last.
pub(super) async fn write_to_disk(flags: Flags, stop: CancellationToken) {
    let mut changes = flags.watch();
    // What was read from the disk is there already.
    let mut due = false;
    loop {
        if !due {
            tokio::select! {
                _ = changes.changed() => {}
                () = stop.cancelled() => {
                    if !changes.has_changed().unwrap_or(false) {
                        return;
                    }
                }
            }
            due = true;
        }
        changes.mark_unchanged();
        let begun = Instant::now();
        let rest = match save(&flags).await {
            Ok(()) => {
                due = false;
                begun.elapsed() * REST
            }
            Err(problem) => {
                tracing::error!(%problem, "the disk snapshot was not written; the one before it stays");
                if stop.is_cancelled() {
                    return;
                }
                RETRY_DISK
            }
        };
        // What comes meanwhile is written after the rest, or before the end.
        tokio::select! {
            () = sleep(rest) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// A snapshot at revision 0 is a bootstrap file's or an empty database's: nothing that a start would need. After a successor's
/// it would be an older one.
async fn save(flags: &Flags) -> Result<(), String> {
    if flags.has_successor() {
        return Ok(());
    }
    let current = flags.load_full().filter(|s| s.revision > Revision(0));
    let Some(snapshot) = current else {
        return Ok(());
    };
    let state = flags.0.state.clone();
    let written = tokio::task::spawn_blocking(move || state.save_snapshot(&snapshot)).await;
    written
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())
}
