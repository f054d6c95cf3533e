//! The connections to one server: as many as there is work for, within bounds.
//!
//! Its own file, because it owns the tasks: it opens them, and ends them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::dial::dial;
use super::job::{Job, Pending, Withheld};
use super::message::Message;
use super::outcome::Outcome;
use super::queue::{Queue, closing};
use super::server::{Server, ServerError};
use super::tls::{self, Tls};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At once. At least one.
    pub connections: usize,
    /// How long one may wait for the next message before it is closed. RFC 5321 lets servers give up after five minutes.
    pub idle: Duration,
    /// After so many a connection is closed and another opened, 0: never. SwiftMailer's AntiFlood has 99.
    pub messages_per_connection: u32,
    /// Messages that the pool holds, those on their way included: [`Pool::submit`] waits when there are more. At least one.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10,
            idle: Duration::from_secs(60),
            messages_per_connection: 99,
            messages: 1000,
        }
    }
}

/// One server's connections, shared by whoever has a clone. When the last clone is dropped they are cut off, and what is
/// on its way is told: not sent, or uncertain.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
    _cut_off: Arc<DropGuard>,
}

struct Shared {
    server: Server,
    tls: Option<Tls>,
    limits: Limits,
    queue: Queue,
    /// One for each message that the pool holds.
    places: Arc<Semaphore>,
    closing: CancellationToken,
    cut_off: CancellationToken,
    connections: TaskTracker,
}

impl Pool {
    /// Opens nothing yet. Reads the system's roots if it needs them, which are files.
    ///
    /// # Errors
    ///
    /// If the server's name or ours cannot be one, or there are no roots.
    pub fn new(server: Server, limits: Limits) -> Result<Self, ServerError> {
        server.check()?;
        let cut_off = CancellationToken::new();
        let shared = Shared {
            tls: tls::of(&server)?,
            server,
            queue: Queue::new(limits.connections.max(1)),
            places: Arc::new(Semaphore::new(limits.messages.max(1))),
            limits,
            closing: CancellationToken::new(),
            cut_off: cut_off.clone(),
            connections: TaskTracker::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            _cut_off: Arc::new(cut_off.drop_guard()),
        })
    }

    /// Takes the message, waiting while the pool holds as many as it may. What comes back is its outcome.
    ///
    /// `intent` is polled from when the envelope is written, and has to be done before the first byte of the body is; it
    /// is never polled for a message that fails before. See the module's page.
    pub async fn submit<I>(&self, message: Message, intent: I) -> Pending
    where
        I: Future<Output = Result<(), Withheld>> + Send + 'static,
    {
        let places = Arc::clone(&self.shared.places);
        let Ok(place) = places.acquire_owned().await else {
            return Pending::of(closing());
        };
        let (job, pending) = Job::new(message, intent, place);
        self.shared.queue.push(job);
        grow(&self.shared);
        pending
    }

    /// Sends one message.
    pub async fn send<I>(&self, message: Message, intent: I) -> Outcome
    where
        I: Future<Output = Result<(), Withheld>> + Send + 'static,
    {
        self.submit(message, intent).await.await
    }

    /// Sends many, over as many connections as there may be, each with its pipeline full. The outcomes are in the order
    /// of the messages.
    pub async fn send_all<I>(
        &self,
        messages: impl IntoIterator<Item = (Message, I)>,
    ) -> Vec<Outcome>
    where
        I: Future<Output = Result<(), Withheld>> + Send + 'static,
    {
        let mut pending = Vec::new();
        for (message, intent) in messages {
            pending.push(self.submit(message, intent).await);
        }
        let mut outcomes = Vec::with_capacity(pending.len());
        for it in pending {
            outcomes.push(it.await);
        }
        outcomes
    }

    /// Gives back what waits as not sent, lets what is on its way come to its end, and takes leave of the server. It may
    /// take as long as the reply to a body: whoever cannot wait drops it and the pool.
    pub async fn close(&self) {
        let Shared {
            places,
            queue,
            closing,
            connections,
            ..
        } = &*self.shared;
        places.close();
        queue.close();
        closing.cancel();
        connections.close();
        connections.wait().await;
    }
}

/// Opens a connection for each message that finds none. Their number is bounded by the queue; each ends when it is idle,
/// when the pool closes, or when it is dropped.
fn grow(shared: &Arc<Shared>) {
    while shared.queue.may_open() {
        let slot = Slot {
            shared: Arc::clone(shared),
            is_up: false,
        };
        let cut_off = shared.cut_off.clone();
        let task = async move { cut_off.run_until_cancelled(serve(slot)).await };
        shared.connections.spawn(task);
    }
}

/// One connection, from its opening to its end.
async fn serve(mut slot: Slot) {
    let shared = Arc::clone(&slot.shared);
    let Shared {
        server,
        tls,
        limits,
        queue,
        closing,
        ..
    } = &*shared;
    let dialled = tokio::select! {
        () = closing.cancelled() => return,
        dialled = dial(server, tls.as_ref()) => dialled,
    };
    match dialled {
        Ok(session) => {
            slot.come_up();
            let connection = Connection::new(session, server, limits, queue, closing);
            connection.run().await;
        }
        Err(fault) => {
            tracing::debug!(host = server.host, %fault, "a mail server could not be reached");
            queue.failed_to_open(&fault);
        }
    }
    drop(slot);
    // What came meanwhile may have counted on this one.
    grow(&shared);
}

/// A connection's place among those that may be open, given back however it ends.
struct Slot {
    shared: Arc<Shared>,
    is_up: bool,
}

impl Slot {
    fn come_up(&mut self) {
        self.is_up = true;
        self.shared.queue.came_up();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.queue.ended(self.is_up);
    }
}
