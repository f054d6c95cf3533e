//! One request's way through its upstreams: who is asked now, how far it got, and where it goes after a failure.
//!
//! Its own file, because pingora asks for a peer, tells of failures and shows the answer in phases that know nothing of
//! one another; what joins them is here. What is decided stands in [`super::failover`].

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use pingora::ErrorSource;
use pingora::prelude::*;
use pingora::upstreams::peer::HttpPeer;

use super::failover::{Failure, Next, Situation, Stage, next};
use super::{Failed, Leg, Taken};
use crate::flags::Side;
use crate::proxy::edge::{Edge, Verdict};

/// With it a modern service says on a 404 that it does not know this, and that it has done nothing.
pub static X_FICUS_MISS: HeaderName = HeaderName::from_static("x-ficus-miss");

/// What the errors of pingora are called that begin here; [`crate::proxy::refusal`] reads them.
pub const NO_UPSTREAM: &str = "no upstream";
pub const BREAKER_OPEN: &str = "breaker open";
pub const UPSTREAM_BUSY: &str = "upstream busy";
const MISS: &str = "miss";

/// What of a request decides whether it may be sent again.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// By its method.
    pub idempotent: bool,
    /// Whatever has been read of the body is still there.
    pub kept: bool,
}

impl Body {
    pub fn of(session: &pingora::proxy::Session) -> Self {
        Self {
            idempotent: session.req_header().method.is_idempotent(),
            kept: !session.as_ref().retry_buffer_truncated(),
        }
    }
}

pub struct Journey {
    /// The place of the upstream that is asked, and the side that it stands for. `None`: none has been asked yet.
    at: Option<(usize, Side)>,
    leg: Option<Leg>,
    stage: Stage,
    /// The connection of this attempt had served another request.
    reused: bool,
    /// Attempts with this upstream, and with all.
    tries: u8,
    pub attempts: u8,
    /// An address that has just failed.
    avoid: Option<SocketAddr>,
    /// The next attempt takes no pooled connection: they may all be dead.
    fresh: bool,
    /// Why legacy answers in the other side's place.
    fallback: Option<Failure>,
    /// The last thing that went wrong.
    failure: Option<Failure>,
    /// When a refusal's client may come again.
    pub retry_after: Option<Duration>,
}

impl Journey {
    pub const fn begin() -> Self {
        Self {
            at: None,
            leg: None,
            stage: Stage::Untouched,
            reused: false,
            tries: 0,
            attempts: 0,
            avoid: None,
            fresh: false,
            fallback: None,
            failure: None,
            retry_after: None,
        }
    }

    /// Who is asked, which is whose answer it is. Before anybody was asked: who would be.
    pub fn side(&self, verdict: &Verdict) -> Side {
        self.at.map_or(verdict.decision.side, |(_, side)| side)
    }

    pub fn upstream(&self, verdict: &Verdict) -> Option<usize> {
        self.at.map(|(place, _)| place).or(verdict.upstream)
    }

    /// Why the decision's side did not answer, where legacy did in its place.
    pub fn fallback(&self) -> Option<&'static str> {
        self.fallback.map(Failure::as_str)
    }

    /// Why legacy answers in modern's place.
    pub fn fell_back(&self) -> Option<Failure> {
        self.fallback
    }

    /// An upstream was asked, or would have been and was not able to take it.
    pub fn has_asked(&self) -> bool {
        self.at.is_some()
    }

    /// The last thing that went wrong, whether it was mended or not.
    pub fn last_failure(&self) -> Option<Failure> {
        self.failure
    }

    /// The Host that the address wants that is asked.
    pub fn authority(&self) -> Option<&HeaderValue> {
        self.leg.as_ref().map(|leg| &leg.endpoint.authority)
    }

    /// A peer for the next attempt, at an upstream that takes it.
    pub fn peer(
        &mut self,
        edge: &Edge,
        verdict: &Verdict,
        body: Body,
        is_upgrade: bool,
    ) -> Result<Box<HttpPeer>> {
        // The last attempt's place is free before another is asked for.
        self.leg = None;
        loop {
            let Some((place, _)) = self.ask_first(verdict) else {
                return Error::e_explain(
                    CustomCode(NO_UPSTREAM, 503),
                    "the configuration has no upstream of this side",
                );
            };
            let upstream = &edge.upstreams[place];
            let taken = match upstream.take(self.avoid) {
                Ok(leg) => {
                    if self.tries > 0 {
                        upstream.count_retry();
                    }
                    self.tries = self.tries.saturating_add(1);
                    self.attempts = self.attempts.saturating_add(1);
                    let endpoint = &leg.endpoint;
                    let peer = match (is_upgrade, self.fresh) {
                        (true, _) => endpoint.tunnel(),
                        (false, true) => endpoint.fresh_peer(),
                        (false, false) => endpoint.peer(),
                    };
                    self.leg = Some(leg);
                    return Ok(peer);
                }
                Err(taken) => taken,
            };
            if self.decide(edge, verdict, body, taken.failure) == Next::GiveUp {
                return Err(self.refused(taken));
            }
        }
    }

    fn ask_first(&mut self, verdict: &Verdict) -> Option<(usize, Side)> {
        if self.at.is_none() {
            self.at = verdict.upstream.map(|place| (place, verdict.decision.side));
        }
        self.at
    }

    fn refused(&mut self, taken: Taken) -> Box<Error> {
        self.retry_after = Some(taken.again);
        match taken.failure {
            Failure::Open => Error::explain(
                CustomCode(BREAKER_OPEN, 503),
                "the upstream's breaker is open",
            ),
            Failure::Busy => Error::explain(
                CustomCode(UPSTREAM_BUSY, 503),
                "the upstream has all the requests that it may have",
            ),
            _ => Error::explain(
                ConnectNoRoute,
                "the upstream's name has not been resolved yet",
            ),
        }
    }

    /// From here on bytes may be on their way.
    pub fn sending(&mut self) {
        self.stage = self.stage.max(Stage::Sent);
    }

    /// There was no connection. pingora tries again if the error says so.
    pub fn unreachable(
        &mut self,
        edge: &Edge,
        verdict: &Verdict,
        body: Body,
        mut e: Box<Error>,
    ) -> Box<Error> {
        self.note(edge, Some(Failed::Connect));
        let next = self.decide(edge, verdict, body, Failure::Unreachable);
        e.set_retry(next != Next::GiveUp);
        e
    }

    /// The attempt failed on a connection.
    pub fn failed(
        &mut self,
        edge: &Edge,
        verdict: &Verdict,
        body: Body,
        reused: bool,
        mut e: Box<Error>,
    ) -> Box<Error> {
        self.reused = reused;
        let failure = failure_of(&e);
        // One that the upstream closed while it was idle is nobody's failure.
        let is_stale = failure == Failure::Broken && reused;
        if let Some(failed) = Failed::of(failure)
            && self.stage != Stage::Answered
            && !is_stale
        {
            self.note(edge, Some(failed));
        }
        let next = self.decide(edge, verdict, body, failure);
        e.set_retry(next != Next::GiveUp);
        e
    }

    /// An answer's head is there. The error is no failure: it is how pingora is told to ask legacy instead.
    pub fn answered(
        &mut self,
        edge: &Edge,
        verdict: &Verdict,
        body: Body,
        status: u16,
        says_miss: bool,
    ) -> Result<()> {
        let failed = matches!(status, 502..=504).then_some(Failed::Status);
        self.note(edge, failed);
        if status == 404 && says_miss {
            let situation = self.situation(edge, verdict, body, Failure::Miss);
            if next(&situation) == Next::Legacy {
                let miss = CustomCode(MISS, 404);
                return Err(Error::explain(miss, "the modern side leaves it to legacy").into_up());
            }
        }
        self.stage = Stage::Answered;
        Ok(())
    }

    fn note(&mut self, edge: &Edge, failed: Option<Failed>) {
        if let (Some((place, _)), Some(leg)) = (self.at, &mut self.leg) {
            edge.upstreams[place].note(leg, failed);
        }
    }

    fn situation(&self, edge: &Edge, verdict: &Verdict, body: Body, failure: Failure) -> Situation {
        let capability = edge.capability(verdict.capability);
        let asked = self.at.map(|(place, _)| &edge.upstreams[place]);
        let is_legacy = self.at.is_none_or(|(_, side)| side == Side::Legacy);
        let has_legacy = !is_legacy && capability.upstream(Side::Legacy).is_some();
        let failing = self.leg.as_ref().map(|leg| leg.endpoint.address);
        Situation {
            failure,
            stage: self.stage,
            idempotent: body.idempotent,
            body_kept: body.kept,
            effect: verdict.effect,
            reused: self.reused,
            attempts_left: asked.map_or(0, |u| u.config.attempts.saturating_sub(self.tries)),
            other_address: asked.is_some_and(|u| u.has_other(failing)),
            may_fall_back: has_legacy && capability.falls_back,
            may_miss: has_legacy && verdict.on_miss,
        }
    }

    /// Decides, and goes there.
    fn decide(&mut self, edge: &Edge, verdict: &Verdict, body: Body, failure: Failure) -> Next {
        self.failure = Some(failure);
        let decided = next(&self.situation(edge, verdict, body, failure));
        match decided {
            Next::GiveUp => {}
            Next::Again => {
                self.avoid = self.leg.as_ref().map(|leg| leg.endpoint.address);
                self.fresh = true;
            }
            Next::Legacy => {
                let capability = edge.capability(verdict.capability);
                let legacy = capability.upstream(Side::Legacy);
                self.at = legacy.map(|place| (place, Side::Legacy));
                (self.tries, self.avoid, self.fresh) = (0, None, false);
                self.fallback = Some(failure);
                capability.count_fallback(failure);
            }
        }
        decided
    }
}

fn failure_of(e: &Error) -> Failure {
    match (e.esource(), e.etype()) {
        (_, CustomCode(MISS, _)) => Failure::Miss,
        (ErrorSource::Upstream, ReadTimedout | WriteTimedout) => Failure::Timeout,
        (ErrorSource::Upstream, ConnectionClosed | ReadError | WriteError) => Failure::Broken,
        (ErrorSource::Upstream, _) => Failure::BadAnswer,
        _ => Failure::NotTheirs,
    }
}
