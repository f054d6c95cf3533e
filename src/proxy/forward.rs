//! The head that an upstream gets: what a client may not say taken away, what ficus knows put in.
//!
//! Its own file, because an upstream believes every field that is set here.

use http::{HeaderName, HeaderValue, header};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::context::Context;
use super::headers::{
    X_REQUEST_ID, fresh_id, is_ours, is_reserved, is_traceparent, trace_of, traceparent,
};
use super::trace::{TRACEPARENT, TRACESTATE};

// Statics and not constants: their text then lives as long as the process, and pingora takes such text without a copy.
static X_FICUS_TENANT: HeaderName = HeaderName::from_static("x-ficus-tenant");
static X_FICUS_CAPABILITY: HeaderName = HeaderName::from_static("x-ficus-capability");
static X_FICUS_REVISION: HeaderName = HeaderName::from_static("x-ficus-revision");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Works on pingora's copy of the head, after the hop-by-hop fields are gone: what is set here reaches the upstream.
pub fn dress(upstream: &mut RequestHeader, session: &Session, ctx: &Context) -> Result<()> {
    match ctx.trusted {
        true => strip(upstream, is_ours),
        false => strip(upstream, |name| is_reserved(name) || is_ours(name)),
    }
    if let Some(tenant) = ctx.tenant {
        upstream.insert_header(X_FICUS_TENANT.as_str(), HeaderValue::from(tenant))?;
    }
    if let Some(verdict) = ctx.verdict {
        let capability = ctx.edge.capability(verdict.capability);
        upstream.insert_header(X_FICUS_CAPABILITY.as_str(), capability.header.clone())?;
        let place = verdict.upstream.map(|place| &ctx.edge.upstreams[place]);
        if let Some(chosen) = place.filter(|upstream| !upstream.config.preserve_host) {
            upstream.insert_header(header::HOST, chosen.authority.clone())?;
        }
    }
    upstream.insert_header(X_FICUS_REVISION.as_str(), HeaderValue::from(ctx.revision))?;
    upstream.insert_header(X_REQUEST_ID.as_str(), ctx.request_id.clone())?;
    name_client(upstream, session, ctx)?;
    trace(upstream, ctx)
}

fn strip(upstream: &mut RequestHeader, taken: fn(&str) -> bool) {
    // Most requests have none of them, and allocate nothing here.
    let first = upstream.headers.keys().position(|n| taken(n.as_str()));
    let Some(first) = first else { return };
    let names = upstream.headers.keys().skip(first);
    let names: Vec<HeaderName> = names.filter(|n| taken(n.as_str())).cloned().collect();
    for name in &names {
        upstream.remove_header(name);
    }
}

/// Who the client is, in the words that every application server reads. A trusted peer's chain is gone on with.
fn name_client(upstream: &mut RequestHeader, session: &Session, ctx: &Context) -> Result<()> {
    if let Some(peer) = ctx.peer {
        // Several lines are one list (RFC 9110, 5.3).
        let mut chain = String::new();
        let lines = upstream.headers.get_all(&X_FORWARDED_FOR).iter();
        for line in lines.filter_map(|v| v.to_str().ok()).map(str::trim) {
            if !line.is_empty() {
                chain.push_str(line);
                chain.push_str(", ");
            }
        }
        chain.push_str(&peer.to_string());
        upstream.insert_header(X_FORWARDED_FOR.as_str(), chain)?;
    }
    if !upstream.headers.contains_key(&X_FORWARDED_PROTO) {
        let tls = session.digest().is_some_and(|d| d.ssl_digest.is_some());
        let scheme = HeaderValue::from_static(if tls { "https" } else { "http" });
        upstream.insert_header(X_FORWARDED_PROTO.as_str(), scheme)?;
    }
    if !upstream.headers.contains_key(&X_FORWARDED_HOST)
        && let Some(host) = session.req_header().headers.get(header::HOST)
    {
        upstream.insert_header(X_FORWARDED_HOST.as_str(), host.clone())?;
    }
    Ok(())
}

fn trace(upstream: &mut RequestHeader, ctx: &Context) -> Result<()> {
    let given = upstream.headers.get(&TRACEPARENT);
    let given = given.and_then(|v| v.to_str().ok());
    let goes_on = ctx.trusted && given.is_some_and(is_traceparent);
    if !goes_on {
        upstream.remove_header(&TRACESTATE);
    }
    if let Some(trace) = &ctx.trace {
        return upstream.insert_header(TRACEPARENT.as_str(), trace.traceparent());
    }
    if goes_on {
        return Ok(());
    }
    // The request's id is its trace id where it can be, so that one number finds both.
    let trace = trace_of(ctx.request_id()).unwrap_or_else(fresh_id);
    upstream.insert_header(TRACEPARENT.as_str(), traceparent(trace, rand::random()))
}
