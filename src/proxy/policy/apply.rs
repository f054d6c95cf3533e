//! What a policy does to a request and to its answer, for the gateway's phases to call.
//!
//! Its own file, because the order of these steps is the promise: a preflight needs no identity, what is refused takes
//! nothing of anybody's limit, and every answer of a route is one that its pages may read.

use std::net::IpAddr;

use http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use super::super::context::Context;
use super::super::cors::{self, preflight_for};
use super::super::edge::{Edge, Leads, caller};
use super::super::limits::client::{By, Known, client_address};
use super::super::refusal::Refusal;
use super::auth::is_one_tenant;
use crate::flags::{Caller, Flags};
use crate::identity::{Facts, Identity, Proof};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Finds the route of a request; of a preflight, that of the request which it comes before, where that route has rules
/// for it. True beside it: it is such a preflight, and is answered here.
pub fn find_route(
    edge: &Edge,
    host: Option<&str>,
    head: &RequestHeader,
    path: &str,
) -> (Leads, bool) {
    if let Some(method) = preflight_for(&head.method, &head.headers) {
        let leads = edge.route(host, &method, path);
        if leads
            .policy
            .is_some_and(|place| edge.policy(place).cors.is_some())
        {
            return (leads, true);
        }
    }
    (edge.route(host, &head.method, path), false)
}

/// Refuses a body that says itself that it is larger than `limit`; 0 means no bound. One of unknown length is counted
/// while it comes.
pub fn check_length(headers: &HeaderMap, limit: u64) -> std::result::Result<(), Refusal> {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    match length {
        Some(length) if limit > 0 && length > limit => Err(Refusal::BodyTooLarge),
        _ => Ok(()),
    }
}

/// Lets a request in or refuses it, by what its head has proven. Who it is, the upstream and the log are told.
pub fn admit(
    flags: &Flags,
    ctx: &mut Context,
    identity: &Identity<'_>,
    facts: &Facts<'_>,
) -> std::result::Result<(), Refusal> {
    ctx.identity = identity.source;
    ctx.proof = identity.proof;
    ctx.user.clone_from(&identity.user);
    let Some(place) = ctx.policy else {
        return Ok(());
    };
    let edge = &ctx.edge;
    edge.policy(place).auth.judge(identity, || {
        let weaker = edge.chain.weaker(identity.strength, facts);
        is_one_tenant(flags.load().as_deref(), identity.tenant.as_ref(), weaker)
    })
}

/// Takes the request from the limit of its route, if there is one. A preflight carries no name, so it counts only where
/// addresses are counted.
pub async fn take(
    headers: &HeaderMap,
    ctx: &mut Context,
    known: Known<'_>,
    is_preflight: bool,
) -> std::result::Result<(), Refusal> {
    let Some(place) = ctx.policy else {
        return Ok(());
    };
    let edge = &ctx.edge;
    let Some(rule) = &edge.policy(place).rate_limit else {
        return Ok(());
    };
    if is_preflight && rule.by != By::Ip {
        return Ok(());
    }
    let address = || client(edge, ctx.peer, headers);
    let allowance = edge.limiter.take(rule, &known, address).await;
    let allowed = allowance.allowed;
    ctx.allowance = Some(allowance);
    match allowed {
        true => Ok(()),
        false => Err(Refusal::RateLimited),
    }
}

/// As [`take`], for whoever the request has been found to be from. A tenant that has no row is nobody's to count by: any
/// number of them could be invented.
pub async fn take_for(
    flags: &Flags,
    headers: &HeaderMap,
    ctx: &mut Context,
    identity: Option<&Identity<'_>>,
) -> std::result::Result<(), Refusal> {
    // A look of its own, and not that of the decision: with shared counters there may be a wait between the two.
    let snapshot = flags.load_full();
    let named = identity.and_then(|identity| identity.tenant.as_ref());
    ctx.tenant = match snapshot.as_deref().map(|snapshot| caller(snapshot, named)) {
        Some(Caller::Tenant(tenant)) => Some(tenant.id.0),
        _ => None,
    };
    let user = identity.and_then(|identity| identity.user.as_deref());
    let by_key = identity.is_some_and(|identity| identity.proof == Proof::Held("api_key"));
    let known = Known {
        tenant: ctx.tenant,
        user: user.map(|user| user.id()),
        tier: user.and_then(|user| user.tier()),
        // A key that was looked up names itself as its user.
        api_key: user.filter(|_| by_key).map(|user| user.id()),
    };
    take(headers, ctx, known, false).await
}

fn client(edge: &Edge, peer: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
    let lines: Vec<&str> = headers
        .get_all(&X_FORWARDED_FOR)
        .iter()
        // A line that is no text ends what is believed, as any other nonsense does.
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    client_address(peer, lines.into_iter(), |address| edge.is_trusted(address))
}

/// Answers a preflight; the connection is kept for the request that follows.
pub async fn answer_preflight(session: &mut Session, ctx: &Context) -> Result<()> {
    let mut head = ResponseHeader::build(204, Some(12))?;
    head.insert_header("x-request-id", ctx.request_id.clone())?;
    let rules = ctx
        .policy
        .and_then(|place| ctx.edge.policy(place).cors.as_ref());
    let headers = &session.req_header().headers;
    for (name, value) in rules
        .and_then(|rules| rules.preflight(headers))
        .into_iter()
        .flatten()
    {
        head.insert_header(name, value)?;
    }
    for name in [
        ORIGIN,
        ACCESS_CONTROL_REQUEST_METHOD,
        ACCESS_CONTROL_REQUEST_HEADERS,
    ] {
        head.append_header(VARY, HeaderValue::from_name(name))?;
    }
    tell_limit(&mut head, ctx)?;
    session.write_response_header(Box::new(head), true).await
}

/// Whether the pages of a preflight's origin may ask at all.
pub fn check_origin(headers: &HeaderMap, ctx: &Context) -> std::result::Result<(), Refusal> {
    let rules = ctx
        .policy
        .and_then(|place| ctx.edge.policy(place).cors.as_ref());
    match rules.and_then(|rules| rules.preflight(headers)) {
        Some(_) => Ok(()),
        None => Err(Refusal::OriginNotAllowed),
    }
}

/// Puts what the route promises into an answer, an upstream's or our own.
pub fn dress(head: &mut ResponseHeader, request: &HeaderMap, ctx: &Context) -> Result<()> {
    let Some(place) = ctx.policy else {
        return Ok(());
    };
    if let Some(rules) = &ctx.edge.policy(place).cors {
        for name in &cors::FIELDS {
            head.remove_header(name);
        }
        for (name, value) in rules.answer(request.get(ORIGIN)) {
            head.insert_header(name, value)?;
        }
        if rules.varies() && !varies_by_origin(&head.headers) {
            head.append_header(VARY, HeaderValue::from_name(ORIGIN))?;
        }
    }
    tell_limit(head, ctx)
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(VARY).iter().filter_map(|v| v.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
}

fn tell_limit(head: &mut ResponseHeader, ctx: &Context) -> Result<()> {
    for (name, value) in ctx
        .allowance
        .iter()
        .flat_map(|allowance| allowance.fields())
    {
        // Beside what an upstream says of limits of its own.
        head.append_header(name, value)?;
    }
    Ok(())
}
