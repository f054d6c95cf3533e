//! A request's life, phase by phase, in the order in which pingora calls them.
//!
//! Its own file, so that the order is seen on one page; what each phase does stands in the file that it calls.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version, header};
use pingora::ErrorSource;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::*;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};

use super::access_log::{AccessLog, Line};
use super::edge::{Edge, Verdict, caller};
use super::headers::{fresh_id, is_request_id, is_reserved, is_traceparent, traceparent};
use super::refusal::{Refusal, refuse};
use crate::flags::{Caller, Flags};
use crate::identity::{Facts, Resolution, Unresolved, normalise_host};
use crate::telemetry::Metrics;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FICUS_TENANT: HeaderName = HeaderName::from_static("x-ficus-tenant");
const X_FICUS_CAPABILITY: HeaderName = HeaderName::from_static("x-ficus-capability");
const X_FICUS_REVISION: HeaderName = HeaderName::from_static("x-ficus-revision");
const X_FICUS_SERVED_BY: HeaderName = HeaderName::from_static("x-ficus-served-by");
const X_FICUS_DECISION: HeaderName = HeaderName::from_static("x-ficus-decision");
const X_FICUS_DEBUG: HeaderName = HeaderName::from_static("x-ficus-debug");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What pingora drives. Shared by every request, so nothing in it changes but through `edge` and `flags`.
pub struct Gateway {
    pub edge: Arc<ArcSwap<Edge>>,
    pub flags: Flags,
    pub metrics: Arc<Metrics>,
    pub access_log: AccessLog,
    pub unresolved: [prometheus_client::metrics::counter::Counter; Unresolved::ALL.len()],
}

/// What is known of one request after each phase.
pub struct Context {
    edge: Arc<Edge>,
    metrics: Arc<Metrics>,
    begun: Instant,
    request_id: String,
    peer: Option<IpAddr>,
    trusted: bool,
    host: Option<String>,
    tenant: Option<i64>,
    identity: &'static str,
    revision: i64,
    verdict: Option<Verdict>,
    refusal: Option<Refusal>,
    /// The status that a refusal sent, which pingora does not keep where `response_written` looks.
    attempts: u8,
    body_bytes: u64,
}

impl Drop for Context {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

impl Gateway {
    /// The limits on a head, and the Host that everything else stands on.
    fn check_head(&self, session: &Session, ctx: &mut Context) -> std::result::Result<(), Refusal> {
        let head = session.req_header();
        let limits = &ctx.edge.limits;
        if head.raw_path().len() > limits.uri_bytes {
            return Err(Refusal::UriTooLong);
        }
        let bytes: usize = head
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if head.headers.len() > limits.header_count || bytes > limits.header_bytes {
            return Err(Refusal::HeadTooLarge);
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
        let length = head
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse::<u64>().ok());
        if limits.body_bytes > 0 && length.is_some_and(|length| length > limits.body_bytes) {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(())
    }

    /// Route, tenant, decision. Everything is asked of memory, except a session that nobody has asked for lately.
    async fn decide(
        &self,
        session: &Session,
        ctx: &mut Context,
    ) -> std::result::Result<(), Refusal> {
        let edge = Arc::clone(&ctx.edge);
        let head = session.req_header();
        let path = String::from_utf8_lossy(head.raw_path());
        let target = edge.route(ctx.host.as_deref(), &head.method, &path);
        let host = ctx.host.take();
        let identity = if edge.needs_tenant(target) {
            let facts = Facts {
                headers: &head.headers,
                host: host.as_deref(),
                peer_trusted: ctx.trusted,
            };
            let identity = match edge.chain.resolve_now(&facts) {
                Resolution::Done(identity) => identity,
                Resolution::NeedsLookup(pending) => edge.chain.finish(pending, &facts).await,
            };
            if let Some(why) = identity.why {
                self.unresolved[why as usize].inc();
            }
            ctx.identity = identity.source;
            identity.tenant
        } else {
            None
        };
        // Taken after the wait, and held until the decision is made: this is the request's one snapshot.
        let snapshot = self.flags.load();
        let verdict = match snapshot.as_deref() {
            Some(snapshot) => {
                ctx.revision = snapshot.revision.0;
                let caller = caller(snapshot, identity.as_ref());
                if let Caller::Tenant(tenant) = caller {
                    ctx.tenant = Some(tenant.id.0);
                }
                edge.decide(target, Some(snapshot), caller)
            }
            None if self.flags.may_start_cold() => edge.decide(target, None, Caller::Nobody),
            None => return Err(Refusal::NotReady),
        };
        drop(snapshot);
        drop(identity);
        ctx.host = host;
        let decision = verdict.decision;
        edge.capability(verdict.capability)
            .metrics
            .count_decision(decision.side, decision.reason);
        ctx.verdict = Some(verdict);
        Ok(())
    }

    async fn refuse(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        refusal: Refusal,
    ) -> Result<()> {
        ctx.refusal = Some(refusal);
        self.metrics.refused(refusal.as_str()).inc();
        refuse(session, refusal, &ctx.request_id).await.map(drop)
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Context;

    /// Called when a request's head is there.
    fn new_ctx(&self) -> Context {
        self.metrics.in_flight.inc();
        Context {
            edge: self.edge.load_full(),
            metrics: Arc::clone(&self.metrics),
            begun: Instant::now(),
            request_id: String::new(),
            peer: None,
            trusted: false,
            host: None,
            tenant: None,
            identity: "none",
            revision: 0,
            verdict: None,
            refusal: None,
            attempts: 0,
            body_bytes: 0,
        }
    }

    /// Every deadline on the client's side that pingora leaves open.
    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let timeouts = &ctx.edge.timeouts;
        session.set_read_timeout(Some(timeouts.body_read));
        session.set_write_timeout(Some(timeouts.write));
        session.set_total_drain_timeout(Some(timeouts.drain_body));
        session.set_keepalive(Some(timeouts.keepalive.as_secs().max(1)));
        Ok(())
    }

    /// Refuses or decides.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        ctx.peer = session
            .client_addr()
            .and_then(|a| a.as_inet())
            .map(|a| a.ip().to_canonical());
        ctx.trusted = ctx.peer.is_some_and(|peer| ctx.edge.is_trusted(peer));
        let handed = session
            .get_header(&X_REQUEST_ID)
            .and_then(|v| v.to_str().ok())
            .filter(|id| ctx.trusted && is_request_id(id));
        ctx.request_id = match handed {
            Some(id) => id.to_owned(),
            None => format!("{:032x}", fresh_id()),
        };
        let checked = self.check_head(session, ctx);
        let decided = match checked {
            Ok(()) => self.decide(session, ctx).await,
            Err(refusal) => Err(refusal),
        };
        match decided {
            Ok(()) => Ok(false),
            Err(refusal) => self.refuse(session, ctx, refusal).await.map(|()| true),
        }
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        ctx: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        let place = ctx.verdict.and_then(|v| v.upstream);
        let Some(upstream) = place.map(|place| &ctx.edge.upstreams[place]) else {
            return Error::e_explain(
                CustomCode("no upstream", Refusal::NoUpstream.status()),
                "the configuration has no upstream of this side",
            );
        };
        ctx.attempts = ctx.attempts.saturating_add(1);
        // A retry goes to the side of the decision: nothing here may send a request to the other one.
        upstream.peer().ok_or_else(|| {
            Error::explain(
                ConnectNoRoute,
                "the upstream's name has not been resolved yet",
            )
        })
    }

    /// On pingora's copy of the head, after it took the hop-by-hop fields away: what is set here reaches the upstream.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if !ctx.trusted {
            strip_reserved(upstream);
        } else {
            // Ours alone, whoever asks.
            for name in [&X_FICUS_TENANT, &X_FICUS_CAPABILITY, &X_FICUS_REVISION] {
                upstream.remove_header(name);
            }
        }
        if let Some(tenant) = ctx.tenant {
            upstream.insert_header(X_FICUS_TENANT, HeaderValue::from(tenant))?;
        }
        if let Some(verdict) = ctx.verdict {
            upstream.insert_header(
                X_FICUS_CAPABILITY,
                ctx.edge.capability(verdict.capability).header.clone(),
            )?;
            if let Some(config) = verdict.upstream.map(|place| &ctx.edge.upstreams[place])
                && !config.config.preserve_host
            {
                upstream.insert_header(header::HOST, config.authority.clone())?;
            }
        }
        upstream.insert_header(X_FICUS_REVISION, HeaderValue::from(ctx.revision))?;
        upstream.insert_header(X_REQUEST_ID, ctx.request_id.as_str())?;
        forward_for(upstream, session, ctx)?;
        let traced = ctx.trusted
            && upstream
                .headers
                .get(&TRACEPARENT)
                .and_then(|v| v.to_str().ok())
                .is_some_and(is_traceparent);
        if !traced {
            // The request's id is its trace id, so that one number finds both.
            let trace = u128::from_str_radix(&ctx.request_id, 16)
                .ok()
                .filter(|t| *t != 0)
                .unwrap_or_else(fresh_id);
            upstream.insert_header(TRACEPARENT, traceparent(trace, rand::random()))?;
        }
        Ok(())
    }

    /// Counts a body of unknown length against the limit.
    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        let limit = ctx.edge.limits.body_bytes;
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
        if let Some(verdict) = ctx.verdict {
            response.insert_header(
                X_FICUS_SERVED_BY,
                HeaderValue::from_static(verdict.decision.side.as_str()),
            )?;
            if ctx.trusted && session.get_header(&X_FICUS_DEBUG).is_some() {
                let capability = &ctx.edge.capability(verdict.capability).name;
                let (reason, revision) = (verdict.decision.reason.as_str(), ctx.revision);
                response.insert_header(
                    X_FICUS_DECISION,
                    format!("capability={capability} reason={reason} revision={revision}"),
                )?;
            }
        }
        response.insert_header(X_REQUEST_ID, ctx.request_id.as_str())?;
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Context,
        e: Box<Error>,
    ) -> Box<Error> {
        if let Some(verdict) = ctx.verdict {
            ctx.edge
                .capability(verdict.capability)
                .count_connect_failure(verdict.decision.side);
        }
        e
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
        let Some(refusal) = refusal_of(e) else {
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

    /// The last phase: counters and the one line.
    async fn logging(&self, session: &mut Session, e: Option<&Error>, ctx: &mut Context) {
        let elapsed = ctx.begun.elapsed();
        let status = session.response_written().map(|r| r.status.as_u16());
        if let Some(verdict) = ctx.verdict {
            ctx.edge.capability(verdict.capability).metrics.count(
                verdict.decision.side,
                status,
                elapsed.as_secs_f64(),
            );
        }
        if self.access_log.is_on() {
            self.write_line(session, e, ctx, status, elapsed);
        }
    }
}

impl Gateway {
    fn write_line(
        &self,
        session: &Session,
        e: Option<&Error>,
        ctx: &Context,
        status: Option<u16>,
        elapsed: Duration,
    ) {
        let head = session.req_header();
        let raw = String::from_utf8_lossy(head.raw_path());
        let path = raw.split('?').next().unwrap_or_default();
        let verdict = ctx.verdict.as_ref();
        let error = match (ctx.refusal, e) {
            (Some(refusal), None) => Some(Cow::Borrowed(refusal.as_str())),
            (_, Some(e)) => Some(Cow::Owned(e.etype().as_str().to_owned())),
            (None, None) => None,
        };
        self.access_log.write(&Line {
            time: &chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            request_id: &ctx.request_id,
            client: ctx.peer,
            method: head.method.as_str(),
            host: ctx.host.as_deref(),
            path,
            status,
            bytes: session.body_bytes_sent() as u64,
            ms: (elapsed.as_secs_f64() * 1e6).round() / 1e3,
            tenant: ctx.tenant,
            identity: ctx.tenant.map(|_| ctx.identity),
            capability: verdict.map_or("none", |v| &ctx.edge.capability(v.capability).name),
            side: verdict.map(|v| v.decision.side.as_str()),
            reason: verdict.map_or_else(
                || ctx.refusal.map_or("none", Refusal::as_str),
                |v| v.decision.reason.as_str(),
            ),
            revision: ctx.revision,
            upstream: verdict
                .and_then(|v| v.upstream)
                .map(|place| ctx.edge.upstreams[place].name.as_str()),
            attempts: ctx.attempts,
            error: error.as_deref(),
        });
    }
}

/// Takes away what only a trusted peer may say.
fn strip_reserved(upstream: &mut RequestHeader) {
    if !upstream
        .headers
        .keys()
        .any(|name| is_reserved(name.as_str()))
    {
        return;
    }
    let reserved: Vec<HeaderName> = upstream
        .headers
        .keys()
        .filter(|name| is_reserved(name.as_str()))
        .cloned()
        .collect();
    for name in &reserved {
        upstream.remove_header(name);
    }
}

/// Who the client is, in the words that every application server reads. A trusted peer's chain is gone on with.
fn forward_for(upstream: &mut RequestHeader, session: &Session, ctx: &Context) -> Result<()> {
    if let Some(peer) = ctx.peer {
        let chain = upstream
            .headers
            .get(&X_FORWARDED_FOR)
            .and_then(|v| v.to_str().ok());
        let value = match chain {
            Some(chain) => format!("{chain}, {peer}"),
            None => peer.to_string(),
        };
        upstream.insert_header(X_FORWARDED_FOR, value)?;
    }
    if !upstream.headers.contains_key(&X_FORWARDED_PROTO) {
        let tls = session.digest().is_some_and(|d| d.ssl_digest.is_some());
        upstream.insert_header(
            X_FORWARDED_PROTO,
            HeaderValue::from_static(if tls { "https" } else { "http" }),
        )?;
    }
    if !upstream.headers.contains_key(&X_FORWARDED_HOST)
        && let Some(host) = session.req_header().headers.get(header::HOST)
    {
        upstream.insert_header(X_FORWARDED_HOST, host.clone())?;
    }
    Ok(())
}

/// Causes to answers, in one place. `None`: the client is gone, nobody is there to be told.
fn refusal_of(e: &Error) -> Option<Refusal> {
    let refusal = match (e.esource(), e.etype()) {
        (_, HTTPStatus(413)) => Refusal::BodyTooLarge,
        (_, CustomCode("no upstream", _)) => Refusal::NoUpstream,
        (
            ErrorSource::Upstream,
            ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout,
        ) => Refusal::UpstreamTimeout,
        (ErrorSource::Upstream, InvalidHTTPHeader | InvalidH2 | H1Error | H2Error) => {
            Refusal::BadAnswer
        }
        (ErrorSource::Upstream, _) | (_, ConnectNoRoute) => Refusal::Unreachable,
        (ErrorSource::Downstream, ReadTimedout) => Refusal::RequestTimeout,
        (ErrorSource::Downstream, ReadError | WriteError | WriteTimedout | ConnectionClosed) => {
            return None;
        }
        (ErrorSource::Downstream, _) => Refusal::BadRequest,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Refusal::Internal,
    };
    Some(refusal)
}
