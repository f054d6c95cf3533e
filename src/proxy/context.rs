//! What is known of one request, and the line that is written of it.
//!
//! Its own file, because every phase reads or fills it, and because what is dropped with it ends the request.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use pingora::prelude::*;
use pingora::proxy::Session;

use super::access_log::{AccessLog, Line};
use super::door::backlog::Held;
use super::edge::{Edge, Verdict};
use super::in_flight::Places;
use super::limits::rule::Allowance;
use super::refusal::Refusal;
use super::upstream::journey::Journey;
use crate::flags::writes::Write;
use crate::identity::{Proof, User};
use crate::telemetry::Metrics;
use crate::telemetry::traces::Trace;

/// What is known of one request after each phase.
pub struct Context {
    pub(super) edge: Arc<Edge>,
    metrics: Arc<Metrics>,
    pub(super) begun: Instant,
    /// ASCII, and made once: it is a field of the request and of the answer.
    pub(super) request_id: HeaderValue,
    /// Of the same trace as `request_id`. `None`: a trusted peer gave the request its id.
    pub(super) traceparent: Option<HeaderValue>,
    pub(super) peer: Option<IpAddr>,
    pub(super) trusted: bool,
    pub(super) host: Option<String>,
    pub(super) tenant: Option<i64>,
    pub(super) identity: &'static str,
    /// Whether somebody is authenticated, and by what.
    pub(super) proof: Proof,
    pub(super) user: Option<Arc<User>>,
    pub(super) revision: i64,
    pub(super) verdict: Option<Verdict>,
    /// The place of the route's policy.
    pub(super) policy: Option<usize>,
    /// What the route's limit said.
    pub(super) allowance: Option<Allowance>,
    /// The request was a preflight, and is answered.
    pub(super) preflight: bool,
    pub(super) refusal: Option<Refusal>,
    /// When a refusal was out: what is left of the request is read after it, and is not waited for.
    pub(super) refused_after: Option<Duration>,
    /// When the head of the answer was there.
    pub(super) answered_after: Option<Duration>,
    /// `None`: the request is not recorded.
    pub(super) trace: Option<Box<Trace>>,
    /// Under way until the request is over. `None`: it reads.
    pub(super) write: Option<Write>,
    /// For a browser that a split by session does not know yet.
    pub(super) cookie: Option<HeaderValue>,
    /// Given back when the request is over, however it ends.
    pub(super) places: Places,
    pub(super) journey: Journey,
    /// A long answer on a stream of HTTP/2, of which only pingora knows whether it waits.
    pub(super) held: Option<Held>,
    pub(super) body_bytes: u64,
    /// The bound of `body_bytes`, the route's or everybody's; 0 means none.
    pub(super) body_limit: u64,
}

impl Context {
    pub(super) fn new(edge: Arc<Edge>, metrics: &Arc<Metrics>) -> Self {
        metrics.in_flight.inc();
        Self {
            body_limit: edge.limits.body_bytes,
            edge,
            metrics: Arc::clone(metrics),
            begun: Instant::now(),
            request_id: HeaderValue::from_static(""),
            traceparent: None,
            peer: None,
            trusted: false,
            host: None,
            tenant: None,
            identity: "none",
            proof: Proof::Absent,
            user: None,
            revision: 0,
            verdict: None,
            policy: None,
            allowance: None,
            preflight: false,
            refusal: None,
            refused_after: None,
            answered_after: None,
            trace: None,
            write: None,
            cookie: None,
            places: Places::default(),
            journey: Journey::begin(),
            held: None,
            body_bytes: 0,
        }
    }

    pub(super) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// For a trusted peer that asked: what decided.
    pub(super) fn decision_text(&self, verdict: Verdict) -> HeaderValue {
        let capability = &self.edge.capability(verdict.capability).name;
        let (reason, revision) = (verdict.decision.reason.as_str(), self.revision);
        let text = format!("capability={capability} reason={reason} revision={revision}");
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("none"))
    }

    /// Writes the request's one line.
    pub(super) fn write_line(
        &self,
        log: &AccessLog,
        session: &Session,
        e: Option<&Error>,
        status: Option<u16>,
        elapsed: Duration,
    ) {
        let head = session.req_header();
        let raw = String::from_utf8_lossy(head.raw_path());
        let path = raw.split('?').next().unwrap_or_default();
        let verdict = self.verdict.as_ref();
        let error = match (self.refusal, e) {
            (Some(refusal), None) => Some(Cow::Borrowed(refusal.as_str())),
            (_, Some(e)) => Some(Cow::Owned(e.etype().as_str().to_owned())),
            (None, None) => None,
        };
        log.write(&Line {
            request_id: self.request_id(),
            client: self.peer,
            method: head.method.as_str(),
            host: self.host.as_deref(),
            path,
            status,
            bytes: session.body_bytes_sent() as u64,
            elapsed,
            tenant: self.tenant,
            identity: self.tenant.map(|_| self.identity),
            auth: match self.proof {
                Proof::Absent => None,
                Proof::Held(source) => Some(source),
                Proof::Refused(why) | Proof::Unjudged(why) => Some(why.as_str()),
            },
            capability: verdict.map_or("none", |v| &self.edge.capability(v.capability).name),
            side: verdict.map(|v| self.journey.side(v).as_str()),
            reason: verdict.map_or_else(
                || match self.preflight {
                    true => "preflight",
                    false => self.refusal.map_or("none", Refusal::as_str),
                },
                |v| v.decision.reason.as_str(),
            ),
            revision: self.revision,
            fallback: self.journey.fallback(),
            upstream: verdict
                .and_then(|v| self.journey.upstream(v))
                .map(|place| self.edge.upstreams[place].name.as_str()),
            attempts: self.journey.attempts,
            error: error.as_deref(),
        });
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}
