//! The thread that writes what the workers gathered.
//!
//! Its own file, because it alone touches the disk, and because when it sleeps decides what a line costs: it looks
//! every few milliseconds while lines come, and has itself woken only after a pause.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use super::{Shared, locked};

/// Between two looks while lines come: to wake the writer for each would cost a request more than the line itself.
const GATHER: Duration = Duration::from_millis(5);

/// What a buffer keeps of its room after a burst.
const KEPT: usize = 1 << 20;

pub(super) enum Message {
    /// There is a line.
    Wake,
    /// Write what came before, then drop this.
    Flush(SyncSender<()>),
}

/// Ends when the last sender is gone.
pub(super) fn write_lines(
    shared: &Shared,
    inbox: &Receiver<Message>,
    mut out: Box<dyn Write + Send>,
) {
    let mut failing = false;
    let mut spare = Vec::new();
    let mut write_all = || {
        let mut wrote = false;
        let mut write = |text: &[u8]| {
            wrote = true;
            match out.write_all(text).and_then(|()| out.flush()) {
                Ok(()) => failing = false,
                // Said once until it works again: a full disk must not fill the other log.
                Err(e) if !std::mem::replace(&mut failing, true) => tell(&e),
                Err(_) => {}
            }
        };
        // Copied, so that a new worker does not wait for the disk.
        let buffers = locked(&shared.buffers).clone();
        for buffer in &buffers {
            buffer.take(&mut spare, &mut write);
        }
        spare.shrink_to(KEPT);
        drop(buffers);
        // A worker that is gone, and has nothing left here: its last lines were there before it let go.
        locked(&shared.buffers)
            .retain(|buffer| Arc::strong_count(buffer) > 1 || !buffer.is_empty());
        wrote
    };
    loop {
        let next = match write_all() {
            true => inbox.recv_timeout(GATHER),
            false => {
                shared.is_asleep.store(true, Ordering::Relaxed);
                match write_all() {
                    // A line came between the look and the nap.
                    true => inbox.recv_timeout(GATHER),
                    false => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                }
            }
        };
        shared.is_asleep.store(false, Ordering::Relaxed);
        match next {
            Ok(Message::Wake) => {
                // The first line after a pause waits for company, as the others do.
                if let Ok(Message::Flush(done)) = inbox.recv_timeout(GATHER) {
                    write_all();
                    drop(done);
                }
            }
            Ok(Message::Flush(done)) => {
                write_all();
                drop(done);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                write_all();
                return;
            }
        }
    }
}

fn tell(e: &io::Error) {
    tracing::error!(error = %e, "the access log cannot be written");
}
