//! The messages that wait for a connection to one server, and the count of its connections.
//!
//! Its own file, because both are decided under one lock: whether a message waits for a connection that is there, or one
//! more is opened.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::job::Job;
use super::outcome::Fault;

/// A server that refuses one more connection while it serves others is not asked again for so long.
const PAUSE: Duration = Duration::from_secs(5);

pub struct Queue {
    state: Mutex<State>,
    arrived: Notify,
    connections: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    closed: bool,
    /// Connections, those that are being opened included.
    open: usize,
    /// Those of them that the server has let in.
    up: usize,
    /// Those of them that wait for a message.
    idle: usize,
    not_before: Option<Instant>,
}

impl Queue {
    /// With at most so many connections.
    pub fn new(connections: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            connections,
        }
    }

    pub fn push(&self, job: Job) {
        self.put(job, VecDeque::push_back);
    }

    /// For another connection, before all others.
    pub fn put_back(&self, mut job: Job) {
        job.put_back = true;
        self.put(job, VecDeque::push_front);
    }

    /// The next message, if one waits.
    pub fn try_take(&self) -> Option<Job> {
        loop {
            // The lock is not held while one is dropped: its intent is the caller's code.
            let job = self.lock().waiting.pop_front()?;
            if !job.is_abandoned() {
                return Some(job);
            }
        }
    }

    /// The next message, once there is one. Cancelled, it has taken none.
    pub async fn take(&self) -> Job {
        loop {
            let arrived = self.arrived.notified();
            let idle = Idle::begin(self);
            if let Some(job) = self.try_take() {
                return job;
            }
            arrived.await;
            drop(idle);
        }
    }

    /// Whether one more connection is to be opened. If so, it counts from here on, until [`Self::ended`].
    pub fn may_open(&self) -> bool {
        let mut state = self.lock();
        let coming = state.idle + (state.open - state.up);
        // The last of them to fail gives back what waits, so one of those that fail must be the last.
        let is_paused =
            state.open > 0 && state.not_before.is_some_and(|until| Instant::now() < until);
        let may = !state.closed
            && !is_paused
            && state.open < self.connections
            && state.waiting.len() > coming;
        state.open += usize::from(may);
        may
    }

    pub fn came_up(&self) {
        self.lock().up += 1;
    }

    pub fn ended(&self, was_up: bool) {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(1);
        state.up = state.up.saturating_sub(usize::from(was_up));
    }

    /// A connection could not be opened. What waits is left to the others; if there are none, it shares the fault: a
    /// server that cannot be had for one message cannot be had for the next.
    pub fn failed_to_open(&self, fault: &Fault) {
        let mut state = self.lock();
        state.not_before = Some(Instant::now() + PAUSE);
        let failed = match state.open {
            0 | 1 => std::mem::take(&mut state.waiting),
            _ => VecDeque::new(),
        };
        drop(state);
        for job in failed {
            job.finish(fault.clone().into());
        }
    }

    /// Takes nothing more, and gives back what waits.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for job in waiting {
            job.finish(closing());
        }
    }

    fn put(&self, job: Job, at: fn(&mut VecDeque<Job>, Job)) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return job.finish(closing());
        }
        at(&mut state.waiting, job);
        drop(state);
        // The one that was used last, so that those which are not needed get old and close.
        self.arrived.notify_last();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn closing() -> super::outcome::Outcome {
    Fault::not_sent("the pool is closing").into()
}

/// A connection that waits, for as long as it does.
struct Idle<'a>(&'a Queue);

impl<'a> Idle<'a> {
    fn begin(queue: &'a Queue) -> Self {
        queue.lock().idle += 1;
        Self(queue)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.lock().idle -= 1;
    }
}
