//! What tracing asks of a request: whether it is recorded, under whose trace, and what is kept of it at its end.
//!
//! Its own file, so that the phases only set marks, and a request that is not recorded passes all of this by.

use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName};
use pingora::prelude::*;
use pingora::proxy::Session;

use super::context::Context;
use super::headers::{fresh_trace, is_traceparent, trace_of};
use super::refusal::Refusal;
use crate::telemetry::traces::{Parent, Record, Trace, Tracer};

pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What other tracers keep beside it. It goes where its `traceparent` goes, and nowhere without it.
pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The time, where somebody wants to know it.
pub fn mark(tracer: Option<&Tracer>) -> Option<Instant> {
    tracer.map(|_| Instant::now())
}

/// Decides whether the request is recorded. `followed`: its tenant always is.
pub fn begin(
    tracer: &Tracer,
    headers: &HeaderMap,
    ctx: &Context,
    followed: bool,
) -> Option<Box<Trace>> {
    let parent = match ctx.trusted {
        true => parent(headers),
        false => None,
    };
    if !tracer.takes(followed, parent.as_ref()) {
        return None;
    }
    // The request's id is its trace id where it can be, so that one number finds both.
    let fresh = trace_of(ctx.request_id()).unwrap_or_else(fresh_trace);
    Some(Box::new(Trace::begin(ctx.begun, parent.as_ref(), fresh)))
}

/// At the request's end: its exemplar, and its record for the exporter. What was refused before any decision is
/// chosen only now.
pub fn finish(
    tracer: &Tracer,
    session: &Session,
    ctx: &mut Context,
    e: Option<&Error>,
    status: Option<u16>,
    took: Duration,
) {
    let head = session.req_header();
    let trace = match ctx.trace.take() {
        None if ctx.verdict.is_none() => begin(tracer, &head.headers, ctx, false),
        trace => trace,
    };
    let Some(trace) = trace else { return };
    let verdict = ctx.verdict.as_ref();
    if let Some(verdict) = verdict {
        let metrics = &ctx.edge.capability(verdict.capability).metrics;
        metrics.exemplify(ctx.journey.side(verdict), took.as_secs_f64(), trace.id);
    }
    let path = String::from_utf8_lossy(head.raw_path());
    let error = match (ctx.refusal, e) {
        (Some(refusal), None) => Some(Cow::Borrowed(refusal.as_str())),
        (_, Some(e)) => Some(Cow::Borrowed(e.etype().as_str())),
        (None, None) => None,
    };
    let tls = session.digest().is_some_and(|d| d.ssl_digest.is_some());
    tracer.submit(Box::new(Record {
        took,
        ended: SystemTime::now(),
        request_id: ctx.request_id().to_owned(),
        method: head.method.as_str().to_owned(),
        path: path.split('?').next().unwrap_or_default().to_owned(),
        host: ctx.host.clone(),
        scheme: if tls { "https" } else { "http" },
        peer: ctx.peer.filter(|_| ctx.trusted),
        status,
        error: error.map(Cow::into_owned),
        tenant: ctx.tenant,
        identity: ctx.identity,
        capability: verdict
            .map_or("none", |v| &ctx.edge.capability(v.capability).name)
            .to_owned(),
        side: verdict.map(|v| ctx.journey.side(v).as_str()),
        reason: verdict.map_or_else(
            || ctx.refusal.map_or("none", Refusal::as_str),
            |v| v.decision.reason.as_str(),
        ),
        fallback: ctx.journey.fallback(),
        revision: ctx.revision,
        trace: *trace,
    }));
}

/// Of the one `traceparent`, if it is one.
fn parent(headers: &HeaderMap) -> Option<Parent> {
    let text = headers.get(&TRACEPARENT)?.to_str().ok()?;
    read_parent(text)
}

fn read_parent(text: &str) -> Option<Parent> {
    if !is_traceparent(text) {
        return None;
    }
    // Its form is known: `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
    Some(Parent {
        trace: u128::from_str_radix(text.get(3..35)?, 16).ok()?,
        span: u64::from_str_radix(text.get(36..52)?, 16).ok()?,
        sampled: u8::from_str_radix(text.get(53..55)?, 16).ok()? & 1 == 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_w3c_writes_it() {
        let text = |flags| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        let parent = |sampled| Parent {
            trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
            span: 0xb7ad_6b71_6920_3331,
            sampled,
        };
        assert_eq!(read_parent(&text("01")), Some(parent(true)));
        assert_eq!(read_parent(&text("00")), Some(parent(false)));
        // Other flags are other people's.
        assert_eq!(read_parent(&text("fe")), Some(parent(false)));
        assert_eq!(read_parent(&text("0")), None);
    }
}
