//! One line a request: JSON, gathered where the request runs and written by a thread of its own.
//!
//! Its own folder, because a slow disk or a stopped reader of stdout must never hold a request: a line that finds its
//! buffers full is dropped and counted. How a line is spelt is [`mod@line`]; the thread that writes is [`writer`].

mod line;
mod writer;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;

pub use line::Line;

use crate::telemetry::AccessLog as Config;
use line::Clock;
use writer::{Message, write_lines};

/// Bytes that wait for the writer at most in one half of a worker's buffer: some 20,000 lines, a second of its peak.
const HALF: usize = 8 << 20;

/// The sending end. Each clone has a buffer of its own, so that workers do not meet; all share the writer.
pub struct AccessLog {
    /// `None`: switched off.
    own: Option<Sender>,
    dropped: Counter,
}

struct Sender {
    buffer: Arc<Buffer>,
    shared: Arc<Shared>,
    messages: SyncSender<Message>,
}

/// What the senders and the writer share.
#[derive(Default)]
struct Shared {
    buffers: Mutex<Vec<Arc<Buffer>>>,
    /// The writer has seen every buffer empty and waits to be told of the next line.
    is_asleep: AtomicBool,
}

/// Two halves: while the writer empties one, for as long as it takes to exchange two pointers, lines go into the other.
#[derive(Default)]
struct Buffer([Mutex<Half>; 2]);

#[derive(Default)]
struct Half {
    text: Vec<u8>,
    clock: Clock,
}

impl AccessLog {
    /// Starts the writer's thread. It ends, with all lines written, when the log and its clones are dropped.
    pub fn start(config: &Config, dropped: Counter) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = match config {
            Config::Off => return Ok(Self { own: None, dropped }),
            Config::Stdout => Box::new(io::stdout()),
            Config::File(path) => {
                Box::new(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        Self::start_to(out, dropped)
    }

    fn start_to(out: Box<dyn Write + Send>, dropped: Counter) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        // A message more than one finds the writer awake already, but for flushes, which wait.
        let (messages, inbox) = sync_channel(16);
        let of_writer = Arc::clone(&shared);
        thread::Builder::new()
            .name("access log".to_owned())
            .spawn(move || write_lines(&of_writer, &inbox, out))?;
        Ok(Self {
            own: Some(Sender::new(shared, messages)),
            dropped,
        })
    }

    pub fn is_on(&self) -> bool {
        self.own.is_some()
    }

    pub fn write(&self, line: &Line<'_>) {
        let Some(own) = &self.own else { return };
        if !own.buffer.append(line) {
            self.dropped.inc();
        }
        // Read after the buffer's lock was let go, and written before the writer takes it: who comes second sees the
        // other. So no line is forgotten, and a busy proxy, whose writer never sleeps, wakes nobody.
        if own.shared.is_asleep.load(Ordering::Relaxed)
            && own.shared.is_asleep.swap(false, Ordering::Relaxed)
        {
            let _ = own.messages.try_send(Message::Wake);
        }
    }

    /// Waits until every line so far is written, at most `patience`. For the end of the process, never for a request.
    pub fn flush(&self, patience: Duration) {
        let Some(own) = &self.own else { return };
        let (done, written) = sync_channel(1);
        if own.messages.try_send(Message::Flush(done)).is_ok() {
            // An error is the writer's answer too: it dropped its end after the last line.
            let _ = written.recv_timeout(patience);
        }
    }
}

impl Clone for AccessLog {
    fn clone(&self) -> Self {
        Self {
            own: self
                .own
                .as_ref()
                .map(|own| Sender::new(Arc::clone(&own.shared), own.messages.clone())),
            dropped: self.dropped.clone(),
        }
    }
}

impl Sender {
    fn new(shared: Arc<Shared>, messages: SyncSender<Message>) -> Self {
        let buffer = Arc::new(Buffer::default());
        locked(&shared.buffers).push(Arc::clone(&buffer));
        Self {
            buffer,
            shared,
            messages,
        }
    }
}

impl Buffer {
    /// Answers whether there was room.
    fn append(&self, line: &Line<'_>) -> bool {
        let [first, second] = &self.0;
        for half in [first, second] {
            let mut half = match half.try_lock() {
                Ok(half) => half,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            if half.append(line) {
                return true;
            }
        }
        // Both are full, or both were taken as the writer went from one to the other: it never holds one for longer than
        // an exchange of pointers takes.
        locked(first).append(line)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|half| locked(half).text.is_empty())
    }

    /// Exchanges each half's text for `spare`, which is empty, and hands it to `write`.
    fn take(&self, spare: &mut Vec<u8>, mut write: impl FnMut(&[u8])) {
        for half in &self.0 {
            std::mem::swap(&mut locked(half).text, spare);
            if !spare.is_empty() {
                write(spare);
                spare.clear();
            }
        }
    }
}

impl Half {
    fn append(&mut self, line: &Line<'_>) -> bool {
        let has_room = self.text.len() < HALF;
        if has_room {
            line.append(&mut self.text, &mut self.clock, SystemTime::now());
        }
        has_room
    }
}

/// Nothing under these locks panics half-way through a change.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
