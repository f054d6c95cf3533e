//! One attempt at a request: the places that it holds, and the words for why it got none or failed.
//!
//! Its own file, because what is taken here is given back by `Drop` alone: a client that goes away runs no other code.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Endpoint;
use super::breaker::{Admission, Breaker, Outcome};
use super::failover::Failure;

/// How an attempt failed, as far as it is the upstream's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    Connect,
    Broken,
    Timeout,
    BadAnswer,
    /// Its own 502, 503 or 504.
    Status,
}

impl Failed {
    /// In the order of their declaration, as they stand in the metrics.
    pub(super) const KINDS: [&'static str; 5] =
        ["connect", "broken", "timeout", "bad-answer", "status"];

    /// `None` for what is no attempt's failure.
    pub const fn of(failure: Failure) -> Option<Self> {
        match failure {
            Failure::Unreachable => Some(Self::Connect),
            Failure::Broken => Some(Self::Broken),
            Failure::Timeout => Some(Self::Timeout),
            Failure::BadAnswer => Some(Self::BadAnswer),
            Failure::Open | Failure::Busy | Failure::Miss | Failure::NotTheirs => None,
        }
    }
}

/// Why there is no place for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub failure: Failure,
    /// When it is worth asking again.
    pub again: Duration,
}

impl Taken {
    pub(super) const BUSY: Self = Self {
        failure: Failure::Busy,
        again: Duration::from_secs(1),
    };
    pub(super) const NOWHERE: Self = Self {
        failure: Failure::Unreachable,
        again: Duration::ZERO,
    };
}

/// One attempt at a request: dropped, it leaves its place, however the request ended.
#[derive(Debug)]
pub struct Leg {
    pub endpoint: Arc<Endpoint>,
    pub(super) is_counted: bool,
    pub(super) _seat: Option<Seat>,
    pub(super) ticket: Option<Ticket>,
}

impl Drop for Leg {
    fn drop(&mut self) {
        if self.is_counted {
            self.endpoint.leave();
        }
    }
}

/// What the breaker let through. One that nobody uses is given back.
#[derive(Debug)]
pub struct Ticket {
    pub(super) breaker: Arc<Breaker>,
    pub(super) admission: Admission,
    pub(super) is_used: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_used {
            // No time passes by giving back.
            self.breaker.note(0, self.admission, Outcome::Abandoned);
        }
    }
}

/// One of a bounded number of places.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Seat {
    pub fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        if taken.fetch_add(1, Ordering::Relaxed) >= most {
            taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(Arc::clone(taken)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
