//! A request's life, phase by phase, in the order in which pingora calls them.
//!
//! Its own file, so that the order is seen on one page; what each phase does stands in the file that it calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::*;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use prometheus_client::metrics::counter::Counter;

use super::Limits;
use super::access_log::AccessLog;
use super::conform::{conform, is_last};
use super::context::Context;
use super::door::backlog::Backlog;
use super::door::connection::Connection;
use super::door::http2::{allow_answer, drop_empty_end};
use super::edge::{Edge, caller};
use super::fields::change_response;
use super::forward::dress;
use super::headers::{X_REQUEST_ID, fresh_ids, is_request_id};
use super::hold;
use super::limits::client::Known;
use super::outcome;
use super::policy::apply::{
    admit, answer_preflight, check_length, check_origin, dress as dress_answer, find_route, take,
    take_for,
};
use super::refusal::{Refusal, answered, refuse};
use super::trace;
use super::upstream::journey::{Body, X_FICUS_MISS};
use crate::flags::{Caller, Flags, Keys};
use crate::identity::{Facts, Resolution, Unresolved, User, normalise_host};
use crate::rollout::outcomes::Outcomes;
use crate::telemetry::Metrics;
use crate::telemetry::traces::Tracer;

// Statics and not constants: see `forward`.
static X_FICUS_SERVED_BY: HeaderName = HeaderName::from_static("x-ficus-served-by");
static X_FICUS_DECISION: HeaderName = HeaderName::from_static("x-ficus-decision");
static SET_COOKIE: HeaderName = header::SET_COOKIE;
static X_FICUS_DEBUG: HeaderName = HeaderName::from_static("x-ficus-debug");

/// What pingora drives. Every worker has one, all share what it holds, so nothing in it changes but through `edge` and
/// `flags`.
#[derive(Clone)]
pub struct Gateway {
    edge: Arc<ArcSwap<Edge>>,
    flags: Flags,
    metrics: Arc<Metrics>,
    access_log: AccessLog,
    /// `None`: traces are off.
    tracer: Option<Tracer>,
    /// Where the guard's counts go. `None`: nobody counts.
    outcomes: Option<Outcomes>,
    unresolved: [Counter; Unresolved::ALL.len()],
    refused: [Counter; Refusal::ALL.len()],
}

impl Gateway {
    pub fn new(
        edge: Arc<ArcSwap<Edge>>,
        flags: Flags,
        metrics: Arc<Metrics>,
        access_log: AccessLog,
    ) -> Self {
        Self {
            unresolved: Unresolved::ALL.map(|why| metrics.unresolved(why.as_str())),
            refused: Refusal::ALL.map(|refusal| metrics.refused(refusal.as_str())),
            edge,
            flags,
            metrics,
            access_log,
            tracer: None,
            outcomes: None,
        }
    }

    /// With spans of those requests that the tracer takes.
    pub fn traced(self, tracer: Option<Tracer>) -> Self {
        Self { tracer, ..self }
    }

    /// With counts for the guard.
    pub fn counted(self, outcomes: Outcomes) -> Self {
        let outcomes = Some(outcomes);
        Self { outcomes, ..self }
    }

    pub(super) fn outcomes(&self) -> Option<Outcomes> {
        self.outcomes.clone()
    }

    /// What the configuration means, now and after each reload.
    pub(super) fn edge(&self) -> Arc<ArcSwap<Edge>> {
        Arc::clone(&self.edge)
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The limits on a head, and the Host that everything else stands on.
    fn check_head(&self, session: &Session, ctx: &mut Context) -> std::result::Result<(), Refusal> {
        let head = session.req_header();
        let limits = &ctx.edge.limits;
        // Of HTTP/1 the door has looked at every byte.
        if session.is_http2() {
            check_size(head, limits)?;
        }
        // HTTP/1.1 must name a host (RFC 9112, 3.2); 1.0 need not.
        let named = head
            .headers
            .get(header::HOST)
            .map(HeaderValue::as_bytes)
            .or(head.uri.authority().map(|a| a.as_str().as_bytes()));
        match named {
            None if head.version == Version::HTTP_10 => {}
            None => return Err(Refusal::BadHost),
            Some(text) => {
                let host = std::str::from_utf8(text)
                    .ok()
                    .and_then(normalise_host)
                    .ok_or(Refusal::BadHost)?;
                ctx.host = Some(host.into_owned());
            }
        }
        Ok(())
    }

    /// Route, preflight, tenant, limits, decision. Everything is asked of memory, except a session that nobody has asked
    /// for lately. True: it is a preflight, and may be answered.
    async fn decide(
        &self,
        session: &Session,
        ctx: &mut Context,
        host: Option<&str>,
    ) -> std::result::Result<bool, Refusal> {
        let edge = Arc::clone(&ctx.edge);
        let head = session.req_header();
        let path = String::from_utf8_lossy(head.raw_path());
        let (leads, is_preflight) = find_route(&edge, host, head, &path);
        ctx.policy = leads.policy;
        if is_preflight {
            check_origin(&head.headers, ctx)?;
            Box::pin(take(&head.headers, ctx, Known::default(), true)).await?;
            return Ok(true);
        }
        let policy = leads.policy.map(|place| edge.policy(place));
        if let Some(limit) = policy.and_then(|policy| policy.body_bytes) {
            ctx.body_limit = limit;
        }
        check_length(&head.headers, ctx.body_limit)?;
        let facts = Facts {
            headers: &head.headers,
            host,
            target: &path,
            sni: Connection::of(session).and_then(|c| c.sni.as_deref()),
            peer_trusted: ctx.trusted,
        };
        if edge.chain.is_misdirected(&facts) {
            return Err(Refusal::Misdirected);
        }
        let asked = trace::mark(self.tracer.as_ref());
        let mut followed = false;
        let writes = hold::writes(&edge, leads, head, &path);
        let looks = edge.needs_tenant(leads) || writes && hold::asks_tenant(&self.flags);
        let identity = if looks {
            let identity = match edge.chain.resolve_now(&facts) {
                Resolution::Done(identity) => identity,
                Resolution::NeedsLookup(pending) => edge.chain.finish(pending, &facts).await,
            };
            if let Some(why) = identity.why {
                self.unresolved[why as usize].inc();
            }
            admit(&self.flags, ctx, &identity, &facts)?;
            Some(identity)
        } else {
            None
        };
        let found = trace::mark(self.tracer.as_ref());
        if policy.is_some_and(|policy| policy.rate_limit.is_some()) {
            // In a box: a request without a limit carries nothing of it.
            Box::pin(take_for(&self.flags, &head.headers, ctx, identity.as_ref())).await?;
        }
        let named = identity.as_ref().and_then(|i| i.tenant.as_ref());
        let write = writes.then(|| hold::begin(&self.flags, &edge, leads, head, ctx));
        // Taken after the wait, and held until the decision is made: this is the request's one snapshot.
        let snapshot = self.flags.load();
        let verdict = match snapshot.as_deref() {
            Some(snapshot) => {
                ctx.revision = snapshot.revision.0;
                let caller = caller(snapshot, named);
                if let Caller::Tenant(tenant) = caller {
                    ctx.tenant = Some(tenant.id.0);
                    followed = self
                        .tracer
                        .as_ref()
                        .is_some_and(|t| t.follows(tenant.id.0, tenant.slug.as_deref()));
                }
                if let Some(write) = write {
                    let of = (&*edge, leads);
                    hold::hold(&self.flags, snapshot, of, ctx, write, looks)?;
                }
                let visitor = hold::visitor_of(snapshot, &edge, leads, head);
                let keys = Keys {
                    user: ctx.user.as_deref().map(User::id),
                    session: visitor.as_ref().map(|it| it.id.as_str()),
                };
                let verdict = edge.decide(leads, Some(snapshot), caller, keys);
                ctx.cookie = visitor.and_then(|it| hold::cookie_for(&it, session, ctx.trusted));
                verdict
            }
            None if self.flags.may_start_cold() => {
                edge.decide(leads, None, Caller::Nobody, Keys::default())
            }
            None => return Err(Refusal::NotReady),
        };
        drop(snapshot);
        let decision = verdict.decision;
        edge.capability(verdict.capability)
            .metrics
            .count_decision(decision.side, decision.reason);
        ctx.verdict = Some(verdict);
        if let Some(tracer) = &self.tracer {
            ctx.trace = trace::begin(tracer, &head.headers, ctx, followed);
            if let Some(trace) = &mut ctx.trace {
                trace.identity = asked.zip(found).filter(|_| looks);
                trace.decided = Some(Instant::now());
            }
        }
        let most = edge.limits.tenant_requests;
        let in_flight = &edge.in_flight;
        match ctx.tenant {
            Some(tenant) if !in_flight.enter_tenant(&mut ctx.places, tenant, most) => {
                Err(Refusal::TenantBusy)
            }
            _ => Ok(false),
        }
    }

    async fn refuse(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        refusal: Refusal,
    ) -> Result<()> {
        // Half an answer stays half: the connection ends, and the line says why.
        if answered(session).is_some() {
            return Ok(());
        }
        ctx.refusal = Some(refusal);
        self.refused[refusal as usize].inc();
        let dressed = |head: &mut ResponseHeader, request: &_| dress_answer(head, request, ctx);
        let retry_after = ctx.journey.retry_after;
        refuse(session, refusal, ctx.request_id(), retry_after, dressed).await?;
        ctx.refused_after = Some(ctx.begun.elapsed());
        // Closed with a body unread, the connection is reset, and the reset may overtake the answer. Who has stopped
        // sending already has nothing to be read. What goes wrong from here on concerns nobody: the answer is out.
        if refusal != Refusal::RequestTimeout {
            let _ = session.drain_request_body().await;
        }
        Ok(())
    }
}

/// The limits on a head that came as fields and not as bytes.
fn check_size(head: &RequestHeader, limits: &Limits) -> std::result::Result<(), Refusal> {
    if head.raw_path().len() > limits.uri_bytes {
        return Err(Refusal::UriTooLong);
    }
    let fields = head.headers.iter();
    let bytes: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    match head.headers.len() > limits.header_count || bytes > limits.header_bytes {
        true => Err(Refusal::HeadTooLarge),
        false => Ok(()),
    }
}

/// A place among all requests, where their number is bounded.
fn enter(ctx: &mut Context) -> bool {
    let most = ctx.edge.limits.requests;
    ctx.edge.in_flight.enter(&mut ctx.places, most)
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Context;

    /// Called when a request's head is there.
    fn new_ctx(&self) -> Context {
        Context::new(self.edge.load_full(), &self.metrics)
    }

    /// None. pingora's own choice is one that compresses, which each request would ask whether it may.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// Every deadline on the client's side that pingora leaves open, and the head in the one form in which it is read.
    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let timeouts = &ctx.edge.timeouts;
        // Of HTTP/1 the door keeps the time: it knows how much comes, and not only whether something does.
        let of_streams = session.is_http2();
        session.set_read_timeout(of_streams.then_some(timeouts.body_read));
        session.set_write_timeout(of_streams.then_some(timeouts.write));
        session.set_total_drain_timeout(Some(timeouts.drain_body));
        // Only where it would be kept anyway: not for an old client, not when the framing is in doubt, not when
        // this process is stopping.
        if session.get_keepalive().is_some() {
            let last = is_last(&session.req_header().headers);
            let kept = timeouts.keepalive.as_secs().max(1);
            session.set_keepalive((!last).then_some(kept));
        }
        conform(session)
    }

    /// Refuses or decides.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        ctx.peer = Connection::of(session).map(|connection| connection.ip);
        ctx.trusted = ctx.peer.is_some_and(|peer| ctx.edge.is_trusted(peer));
        let handed = session
            .get_header(&X_REQUEST_ID)
            .filter(|id| ctx.trusted && id.to_str().is_ok_and(is_request_id));
        (ctx.request_id, ctx.traceparent) = match handed {
            Some(id) => (id.clone(), None),
            None => {
                let (id, traceparent) = fresh_ids();
                (id, Some(traceparent))
            }
        };
        let checked = self.check_head(session, ctx);
        let decided = match checked {
            Ok(()) if !enter(ctx) => Err(Refusal::Overloaded),
            Ok(()) => {
                // Lent, and not shared: the log wants it back whatever becomes of the request.
                let host = ctx.host.take();
                let decided = self.decide(session, ctx, host.as_deref()).await;
                ctx.host = host;
                decided
            }
            Err(refusal) => Err(refusal),
        };
        match decided {
            Ok(false) => Ok(false),
            Ok(true) => {
                ctx.preflight = true;
                self.metrics.preflights.inc();
                answer_preflight(session, ctx).await.map(|()| true)
            }
            Err(refusal) => self.refuse(session, ctx, refusal).await.map(|()| true),
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        // What an attempt counted of the body, the next one counts again.
        ctx.body_bytes = 0;
        let (verdict, body) = (ctx.verdict.as_ref(), Body::of(session));
        let verdict = verdict.ok_or_else(|| Error::explain(InternalError, "undecided"))?;
        let is_upgrade = session.is_upgrade_req();
        let peer = ctx.journey.peer(&ctx.edge, verdict, body, is_upgrade)?;
        if let Some(trace) = &mut ctx.trace
            && let Some(place) = ctx.journey.upstream(verdict)
        {
            trace.attempt(&ctx.edge.upstreams[place].name);
        }
        Ok(peer)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.journey.sending();
        dress(upstream, session, ctx)
    }

    /// Counts a body of unknown length against the limit.
    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        drop_empty_end(body, end);
        let limit = ctx.body_limit;
        ctx.body_bytes += body.as_ref().map_or(0, |b| b.len() as u64);
        if limit > 0 && ctx.body_bytes > limit {
            return Error::e_explain(
                HTTPStatus(Refusal::BodyTooLarge.status()),
                "the body is over the limit",
            );
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let connection = Connection::of(session).cloned();
        let has_more = connection.as_ref().is_some_and(|c| c.has_more());
        if has_more || session.is_process_shutting_down() {
            // Said with the answer, so that the client does not send the next request into a closing connection.
            session.set_keepalive(None);
        }
        // An interim answer comes before the end of the request, and is no reason to close the connection after it.
        let interim = response.status.is_informational();
        session.set_close_on_response_before_downstream_finish(!interim);
        if interim && response.status.as_u16() != 101 {
            return Ok(());
        }
        if let (true, Some(connection)) = (interim, connection) {
            connection.begin_tunnel();
        }
        ctx.answered_after = Some(ctx.begun.elapsed());
        if let Some(trace) = &mut ctx.trace {
            trace.answered(response.status.as_u16());
        }
        if let Some(verdict) = &ctx.verdict {
            let says_miss = response.headers.contains_key(&X_FICUS_MISS);
            let (status, body) = (response.status.as_u16(), Body::of(session));
            ctx.journey
                .answered(&ctx.edge, verdict, body, status, says_miss)?;
        }
        let cookie = ctx.cookie.take().filter(|_| !interim);
        change_response(response, ctx.edge.keep_header_case, 5, |fields| {
            // An old client reads chunks as the body itself. Without them the end of the connection ends the answer.
            if session.req_header().version == Version::HTTP_10 {
                fields.remove(&header::TRANSFER_ENCODING);
            }
            fields.remove(&X_FICUS_DECISION);
            fields.remove(&X_FICUS_MISS);
            if let Some(cookie) = cookie {
                fields.add(&SET_COOKIE, cookie)?;
            }
            if let Some(verdict) = ctx.verdict {
                let side = ctx.journey.side(&verdict).as_str();
                fields.put(&X_FICUS_SERVED_BY, HeaderValue::from_static(side))?;
                if ctx.trusted && session.get_header(&X_FICUS_DEBUG).is_some() {
                    fields.put(&X_FICUS_DECISION, ctx.decision_text(verdict))?;
                }
            }
            fields.put(&X_REQUEST_ID, ctx.request_id.clone())
        })?;
        match interim {
            true => Ok(()),
            false => dress_answer(response, &session.req_header().headers, ctx),
        }
    }

    /// Of HTTP/1 the door sees whether the client takes its answer.
    fn response_body_filter(
        &self,
        session: &mut Session,
        _body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        if session.is_http2() && !end {
            let backlog = Backlog::new(self.metrics.slow_readers.clone());
            let (time, held) = allow_answer(&ctx.edge, &backlog);
            session.set_write_timeout(Some(time));
            ctx.held.get_or_insert(held);
        }
        Ok(None)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        if let Some(trace) = &mut ctx.trace {
            trace.connected(peer._address.as_inet().copied(), reused);
        }
        Ok(())
    }

    /// Nothing of this attempt has left.
    fn fail_to_connect(
        &self,
        session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut Context,
        e: Box<Error>,
    ) -> Box<Error> {
        if let Some(trace) = &mut ctx.trace {
            trace.failed(peer._address.as_inet().copied(), e.etype().as_str());
        }
        match &ctx.verdict {
            Some(verdict) => ctx
                .journey
                .unreachable(&ctx.edge, verdict, Body::of(session), e),
            None => e,
        }
    }

    /// In place of pingora's own rule, which knows neither what a request does nor that there is another side.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        e: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        if let Some(trace) = &mut ctx.trace {
            trace.failed(peer._address.as_inet().copied(), e.etype().as_str());
        }
        match &ctx.verdict {
            Some(verdict) => {
                let body = Body::of(session);
                ctx.journey.failed(&ctx.edge, verdict, body, reused, e)
            }
            None => e,
        }
    }

    /// What an upstream or a client did wrong, as an answer.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        e: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        let closed = FailToProxy {
            error_code: 0,
            can_reuse_downstream: false,
        };
        let broken_off = Connection::of(session).and_then(|connection| connection.broken_off());
        let Some(refusal) = broken_off.or_else(|| Refusal::of(e)) else {
            return closed;
        };
        match self.refuse(session, ctx, refusal).await {
            Ok(()) => FailToProxy {
                error_code: refusal.status(),
                can_reuse_downstream: false,
            },
            Err(_) => closed,
        }
    }

    /// Our own line says it all; pingora's would say it again.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Context, _error: &Error) -> bool {
        true
    }

    /// Attempts are a field of the line, and counted.
    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Context,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    /// For pingora's own log. Its default tells the whole target, and a query may hold a token.
    fn request_summary(&self, _session: &Session, ctx: &Context) -> String {
        format!("request {}", ctx.request_id())
    }

    /// The last phase: counters and the one line.
    async fn logging(&self, session: &mut Session, e: Option<&Error>, ctx: &mut Context) {
        let elapsed = ctx.refused_after.unwrap_or_else(|| ctx.begun.elapsed());
        let status = answered(session);
        if let Some(verdict) = &ctx.verdict {
            ctx.edge.capability(verdict.capability).metrics.count(
                ctx.journey.side(verdict),
                status,
                elapsed.as_secs_f64(),
            );
        }
        if let Some(outcomes) = &self.outcomes {
            outcome::count(outcomes, ctx, status, e, elapsed);
        }
        if self.access_log.is_on() {
            ctx.write_line(&self.access_log, session, e, status, elapsed);
        }
        if let Some(tracer) = &self.tracer {
            trace::finish(tracer, session, ctx, e, status, elapsed);
        }
    }
}
