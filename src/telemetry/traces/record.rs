//! What a recorded request leaves behind: when each phase began and ended, and what it was.
//!
//! Its own file, because this is all that tracing does while a request runs; spans are made of it elsewhere and later.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;

use super::Parent;

/// A request while it runs. Marks are times on one clock; nothing is formatted and nothing is sent.
#[derive(Clone, Debug)]
pub struct Trace {
    pub id: u128,
    /// Of the root span.
    pub span: u64,
    /// Of a trusted peer.
    pub parent: Option<u64>,
    pub begun: Instant,
    /// Looking for the tenant; its end begins the decision. `None`: the request came to neither.
    pub identity: Option<(Instant, Instant)>,
    pub decided: Option<Instant>,
    pub attempts: Vec<Attempt>,
}

/// One time that the request went to an upstream.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub span: u64,
    pub upstream: String,
    pub begun: Instant,
    pub connected: Option<Instant>,
    /// A connection that was open already.
    pub reused: bool,
    pub address: Option<SocketAddr>,
    /// The head of the answer.
    pub answered: Option<(Instant, u16)>,
    pub ended: Option<Instant>,
    pub error: Option<String>,
}

/// A request that is over.
#[derive(Clone, Debug)]
pub struct Record {
    pub trace: Trace,
    pub took: Duration,
    /// The wall clock when `took` had passed.
    pub ended: SystemTime,
    pub request_id: String,
    pub method: String,
    /// Without the query.
    pub path: String,
    pub host: Option<String>,
    pub scheme: &'static str,
    /// Only of a trusted peer: a load balancer, and nobody's home.
    pub peer: Option<IpAddr>,
    pub status: Option<u16>,
    pub error: Option<String>,
    pub tenant: Option<i64>,
    pub identity: &'static str,
    pub capability: String,
    pub side: Option<&'static str>,
    pub reason: &'static str,
    /// Why legacy answered in modern's place; `side` is legacy then.
    pub fallback: Option<&'static str>,
    pub revision: i64,
}

impl Trace {
    /// `fresh` names the trace where no trusted peer did.
    pub fn begin(begun: Instant, parent: Option<&Parent>, fresh: u128) -> Self {
        Self {
            id: parent.map_or(fresh, |parent| parent.trace),
            span: fresh_span(),
            parent: parent.map(|parent| parent.span),
            begun,
            identity: None,
            decided: None,
            attempts: Vec::new(),
        }
    }

    /// Before each time that an upstream is asked. What came before it has ended without an answer that was used.
    pub fn attempt(&mut self, upstream: &str) {
        let now = Instant::now();
        if let Some(last) = self.attempts.last_mut() {
            last.end(now);
        }
        self.attempts.push(Attempt {
            span: fresh_span(),
            upstream: upstream.to_owned(),
            begun: now,
            connected: None,
            reused: false,
            address: None,
            answered: None,
            ended: None,
            error: None,
        });
    }

    pub fn connected(&mut self, address: Option<SocketAddr>, reused: bool) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.connected = Some(Instant::now());
            (attempt.address, attempt.reused) = (address, reused);
        }
    }

    pub fn failed(&mut self, address: Option<SocketAddr>, error: &str) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.address = attempt.address.or(address);
            attempt.error = Some(error.to_owned());
            attempt.end(Instant::now());
        }
    }

    pub fn answered(&mut self, status: u16) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.answered = Some((Instant::now(), status));
        }
    }

    /// `00-{trace id}-{span id}-01` of W3C Trace Context, level 1: the upstream's parent is the span of this attempt.
    pub fn traceparent(&self) -> HeaderValue {
        let last = self.attempts.last();
        let span = last.map_or(self.span, |attempt| attempt.span);
        let text = format!("00-{:032x}-{span:016x}-01", self.id);
        // Hex digits and dashes are a value.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("none"))
    }
}

impl Attempt {
    fn end(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }
}

impl Record {
    /// How many spans [`super::spans::of`] makes of it.
    pub fn count_spans(&self) -> u64 {
        let attempts = self.trace.attempts.iter().map(|attempt| {
            1 + u64::from(attempt.connected.is_some() && !attempt.reused)
                + u64::from(attempt.answered.is_some())
        });
        let phases =
            u64::from(self.trace.identity.is_some()) + u64::from(self.trace.decided.is_some());
        1 + phases + attempts.sum::<u64>()
    }
}

/// Never zero, which W3C forbids.
fn fresh_span() -> u64 {
    rand::random::<u64>() | 1
}
