//! What a client sends, looked at before pingora gets it.
//!
//! Its own file, because here the pure parts come together: a head is checked while it is awaited, a body is counted to
//! its end, and what comes beyond belongs to nobody.

use std::time::{Duration, Instant};

use super::body::Body;
use super::flaw::Flaw;
use super::head::Checker;
use super::pace::{Pace, Verdict};
use crate::proxy::Limits;
use crate::proxy::edge::Edge;

/// Where in the conversation the client is.
#[derive(Debug)]
pub enum Phase {
    /// Its next request is awaited. `held` is a copy of a head that came in pieces.
    Head { checker: Checker, held: Vec<u8> },
    /// So much of its request's body is.
    Body(Body),
    /// Another protocol is spoken.
    Tunnel,
}

/// The receiving side of a connection.
#[derive(Debug)]
pub struct Inbound {
    phase: Phase,
    /// The request asks for another protocol, and the answer may be in the affirmative.
    may_upgrade: bool,
    /// Bytes came after the request's end. They are not read: nobody can tell any more whose they are.
    pub has_more: bool,
    /// When the wait for this head, or the last movement of this tunnel, was.
    since: Instant,
    pace: Pace,
}

/// The times that hold for a client that is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    pub head: Duration,
    pub body: Duration,
    pub tunnel_idle: Duration,
    pub min_rate: u64,
}

impl Deadlines {
    pub fn of(edge: &Edge) -> Self {
        Self {
            head: edge.timeouts.head,
            body: edge.timeouts.body_read,
            tunnel_idle: edge.timeouts.tunnel_idle,
            min_rate: edge.limits.min_rate,
        }
    }
}

impl Inbound {
    pub fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Head {
                checker: Checker::default(),
                held: Vec::new(),
            },
            may_upgrade: false,
            has_more: false,
            since: now,
            pace: Pace::default(),
        }
    }

    /// Whether the request is read to its end, so that a read could only find what does not belong to it.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Body(Body::Done))
    }

    pub fn is_head(&self) -> bool {
        matches!(self.phase, Phase::Head { .. })
    }

    /// Whether a part of a head has come.
    pub fn has_begun(&self) -> bool {
        matches!(&self.phase, Phase::Head { held, .. } if !held.is_empty())
    }

    /// From here on, whatever comes is passed on.
    pub fn begin_tunnel(&mut self, now: Instant) {
        (self.phase, self.since) = (Phase::Tunnel, now);
        self.has_more = false;
    }

    /// The tunnel is in use in the other direction.
    pub fn touch(&mut self, now: impl FnOnce() -> Instant) {
        if matches!(self.phase, Phase::Tunnel) {
            self.since = now();
        }
    }

    /// Judges what came, and answers how much of it pingora may have.
    pub fn take(&mut self, new: &[u8], limits: &Limits) -> Result<usize, Flaw> {
        match &mut self.phase {
            Phase::Tunnel => Ok(new.len()),
            Phase::Body(body) => {
                let taken = body.take(new)?;
                self.has_more |= taken < new.len();
                Ok(taken)
            }
            Phase::Head { checker, held } => {
                // Nearly every head comes in one piece, and is not copied.
                let before = held.len();
                let checked = match before {
                    0 => checker.check(new, limits)?,
                    _ => {
                        held.extend_from_slice(new);
                        checker.check(held, limits)?
                    }
                };
                let Some(head) = checked else {
                    if before == 0 {
                        held.extend_from_slice(new);
                    }
                    return Ok(new.len());
                };
                let mut body = Body::from(head.framing);
                let of_head = head.end - before;
                let taken = of_head + body.take(&new[of_head..])?;
                self.has_more = taken < new.len();
                self.phase = Phase::Body(body);
                self.may_upgrade = head.upgrade;
                // The first words of the other protocol, if it comes to that; if not, pingora ends the connection.
                Ok(match head.upgrade {
                    true => new.len(),
                    false => taken,
                })
            }
        }
    }

    /// So many bytes came, and whether there was room for more.
    pub fn moved(&mut self, now: impl FnOnce() -> Instant, bytes: usize, had_room: bool) {
        match &self.phase {
            Phase::Body(_) if !had_room => self.pace.reset(),
            Phase::Body(_) if self.pace.is_waiting() => self.pace.end(now(), bytes as u64),
            Phase::Tunnel => self.since = now(),
            _ => {}
        }
    }

    /// Nothing comes. Answers until when that is in order; `None`: for as long as it likes.
    pub fn wait(&mut self, now: Instant, deadlines: &Deadlines) -> Option<Result<Instant, Flaw>> {
        let until = |at: Instant, flaw| match now >= at {
            true => Err(flaw),
            false => Ok(at),
        };
        match &self.phase {
            Phase::Head { .. } => Some(until(self.since + deadlines.head, Flaw::SlowHead)),
            Phase::Tunnel => Some(until(self.since + deadlines.tunnel_idle, Flaw::IdleTunnel)),
            Phase::Body(Body::Done) => None,
            Phase::Body(_) => {
                self.pace.begin(now);
                Some(
                    match self.pace.judge(now, deadlines.body, deadlines.min_rate) {
                        Verdict::Wait(at) => Ok(at),
                        Verdict::TooSlow => Err(Flaw::SlowBody),
                    },
                )
            }
        }
    }
}
