//! The head that an upstream gets: what a client may not say taken away, what ficus knows put in.
//!
//! Its own file, because an upstream believes every field that is set here.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::prelude::*;
use pingora::proxy::Session;

use super::context::Context;
use super::door::connection::Connection;
use super::fields::{Fields, change_request};
use super::headers::{
    X_REQUEST_ID, fresh_trace, is_ours, is_reserved, is_traceparent, trace_of, traceparent,
};
use super::trace::{TRACEPARENT, TRACESTATE};
use crate::identity::{Proof, User};

// Statics and not constants: what is put into a head refers to them.
static HOST: HeaderName = header::HOST;
static X_FICUS_TENANT: HeaderName = HeaderName::from_static("x-ficus-tenant");
static X_FICUS_CAPABILITY: HeaderName = HeaderName::from_static("x-ficus-capability");
static X_FICUS_REVISION: HeaderName = HeaderName::from_static("x-ficus-revision");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_USER_ID: HeaderName = HeaderName::from_static("x-user-id");
static X_USER_TIER: HeaderName = HeaderName::from_static("x-user-tier");

/// What is put in at most; see [`dress`].
const FIELDS: usize = 12;

/// Works on pingora's copy of the head, after the hop-by-hop fields are gone: what is set here reaches the upstream.
pub fn dress(upstream: &mut RequestHeader, session: &Session, ctx: &Context) -> Result<()> {
    change_request(upstream, ctx.edge.keep_header_case, FIELDS, |fields| {
        fill(fields, session, ctx)
    })
}

fn fill(fields: &mut dyn Fields, session: &Session, ctx: &Context) -> Result<()> {
    let left = match ctx.trusted {
        true => strip(fields, is_ours),
        false => strip(fields, |name| is_reserved(name) || is_ours(name)),
    };
    if let Some(tenant) = ctx.tenant {
        fields.put(&X_FICUS_TENANT, HeaderValue::from(tenant))?;
    }
    if let Proof::Held(_) = ctx.proof {
        name_user(fields, ctx.user.as_deref())?;
    }
    if let Some(verdict) = ctx.verdict {
        let capability = ctx.edge.capability(verdict.capability);
        fields.put(&X_FICUS_CAPABILITY, capability.header.clone())?;
        let place = ctx.journey.upstream(&verdict);
        let place = place.map(|place| &ctx.edge.upstreams[place]);
        // An old client may name no host, and HTTP/1.1 towards the upstream must.
        let unnamed = !fields.map().contains_key(&HOST);
        if place.is_some_and(|it| unnamed || !it.config.preserve_host)
            && let Some(authority) = ctx.journey.authority()
        {
            fields.put(&HOST, authority.clone())?;
        }
    }
    fields.put(&X_FICUS_REVISION, HeaderValue::from(ctx.revision))?;
    fields.put(&X_REQUEST_ID, ctx.request_id.clone())?;
    name_client(fields, session, &left)?;
    trace(fields, ctx, &left)
}

/// What is left of a head after [`strip`] that is not simply put in anew: seen in the one pass over all names, so that
/// none has to be looked for.
#[derive(Default)]
struct Left {
    forwarded: bool,
    traced: bool,
    has_state: bool,
}

fn strip(fields: &mut dyn Fields, taken: fn(&str) -> bool) -> Left {
    let mut left = Left::default();
    // Most requests have none of them, and allocate nothing here.
    let mut names: Vec<HeaderName> = Vec::new();
    for name in fields.map().keys() {
        match name.as_str() {
            text if taken(text) => names.push(name.clone()),
            text if text.starts_with("x-forwarded-") => left.forwarded = true,
            "traceparent" => left.traced = true,
            "tracestate" => left.has_state = true,
            _ => {}
        }
    }
    for name in &names {
        fields.remove(name);
    }
    left
}

/// Whom the proof names, whole: what a trusted peer says of somebody is not put beside it.
fn name_user(fields: &mut dyn Fields, user: Option<&User>) -> Result<()> {
    match user {
        Some(user) => fields.put(&X_USER_ID, user.id_header().clone())?,
        None => fields.remove(&X_USER_ID),
    }
    match user.and_then(User::tier_header) {
        Some(tier) => fields.put(&X_USER_TIER, tier.clone())?,
        None => fields.remove(&X_USER_TIER),
    }
    Ok(())
}

/// Who the client is, in the words that every application server reads. A trusted peer's chain is gone on with.
fn name_client(fields: &mut dyn Fields, session: &Session, left: &Left) -> Result<()> {
    let is_there = |fields: &dyn Fields, name| left.forwarded && fields.map().contains_key(name);
    if let Some(connection) = Connection::of(session) {
        let own = &connection.forwarded_for;
        let chain = match is_there(fields, &X_FORWARDED_FOR) {
            true => append_to_chain(fields.map(), own)?,
            false => own.clone(),
        };
        fields.put(&X_FORWARDED_FOR, chain)?;
    }
    if !is_there(fields, &X_FORWARDED_PROTO) {
        let tls = session.digest().is_some_and(|d| d.ssl_digest.is_some());
        let scheme = HeaderValue::from_static(if tls { "https" } else { "http" });
        fields.put(&X_FORWARDED_PROTO, scheme)?;
    }
    if !is_there(fields, &X_FORWARDED_HOST)
        && let Some(host) = session.req_header().headers.get(header::HOST)
    {
        fields.put(&X_FORWARDED_HOST, host.clone())?;
    }
    Ok(())
}

/// Several lines are one list (RFC 9110, 5.3).
fn append_to_chain(headers: &HeaderMap, own: &HeaderValue) -> Result<HeaderValue> {
    let lines = headers.get_all(&X_FORWARDED_FOR).iter().chain([own]);
    let lines = lines.filter_map(|line| line.to_str().ok()).map(str::trim);
    let chain: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    HeaderValue::try_from(chain.join(", ")).or_err(InternalError, "writing x-forwarded-for")
}

fn trace(fields: &mut dyn Fields, ctx: &Context, left: &Left) -> Result<()> {
    let given = match ctx.trusted && left.traced {
        true => fields.map().get(&TRACEPARENT),
        false => None,
    };
    let given = given.and_then(|v| v.to_str().ok());
    let goes_on = given.is_some_and(is_traceparent);
    if left.has_state && !goes_on {
        fields.remove(&TRACESTATE);
    }
    if let Some(trace) = &ctx.trace {
        return fields.put(&TRACEPARENT, trace.traceparent());
    }
    if goes_on {
        return Ok(());
    }
    let ours = match &ctx.traceparent {
        Some(ours) => ours.clone(),
        // The request's id is its trace id where it can be, so that one number finds both.
        None => traceparent(trace_of(ctx.request_id()).unwrap_or_else(fresh_trace)),
    };
    fields.put(&TRACEPARENT, ours)
}
