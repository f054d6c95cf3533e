//! What a freeze does to a request, and what a split asks of it, for the gateway's decision to call.
//!
//! Its own file, because of an order that must hold: a write enters the count of those under way before the snapshot is
//! loaded that lets it in (flags/writes.rs).

use http::HeaderValue;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::context::Context;
use super::edge::{Edge, Leads};
use super::intent::is_write;
use super::refusal::Refusal;
use super::visitor::{self, Visitor};
use crate::flags::writes::Write;
use crate::flags::{Flags, Snapshot, Sticky};
use crate::ids::TenantId;

/// Whether a freeze would stop this request.
pub fn writes(edge: &Edge, leads: Leads, head: &RequestHeader, target: &str) -> bool {
    let of_capability = edge.of(leads).and_then(|capability| capability.effect);
    is_write(
        &head.method,
        &head.headers,
        target,
        leads.effect,
        of_capability,
    )
}

/// Whether the tenant must be known of a write that no route would ask it of.
pub fn asks_tenant(flags: &Flags) -> bool {
    let snapshot = flags.load();
    snapshot
        .as_deref()
        .is_some_and(|it| it.frozen().names_tenants())
}

/// Enters a write among those under way. Before the snapshot is loaded.
pub fn begin(
    flags: &Flags,
    edge: &Edge,
    leads: Leads,
    head: &RequestHeader,
    ctx: &Context,
) -> Write {
    let capability = edge.of(leads).map(|capability| &capability.name);
    flags
        .writes()
        .begin(&head.method, &ctx.request_id, capability)
}

/// Refuses a write that is frozen; otherwise it is under way until the request is over. `asked`: whether anybody has looked
/// for its tenant.
pub fn hold(
    flags: &Flags,
    snapshot: &Snapshot,
    (edge, leads): (&Edge, Leads),
    ctx: &mut Context,
    write: Write,
    asked: bool,
) -> Result<(), Refusal> {
    let frozen = snapshot.frozen();
    let tenant = ctx.tenant.map(TenantId);
    write.belongs_to(tenant);
    if !frozen.is_empty() {
        let now = flags.server_time();
        let capability = edge.of(leads).map(|capability| &*capability.name);
        if let Some((_, until)) = frozen.covering(capability, tenant, now) {
            ctx.journey.retry_after = Some(now.to(until));
            return Err(Refusal::Frozen);
        }
        // A tenant was frozen between the look for it and here. The next try is asked.
        if !asked && frozen.names_tenants() && frozen.in_force(now).next().is_some() {
            return Err(Refusal::Frozen);
        }
    }
    ctx.write = Some(write);
    Ok(())
}

/// The visitor, where the capability's split goes by session and takes anybody at all.
pub fn visitor_of(
    snapshot: &Snapshot,
    edge: &Edge,
    leads: Leads,
    head: &RequestHeader,
) -> Option<Visitor> {
    let capability = edge.of(leads)?;
    let split = snapshot.capability(&capability.name)?.split?;
    (split.by == Sticky::Session && split.share > 0).then(|| visitor::visitor(&head.headers))
}

/// The field that makes a browser remember a new visitor.
pub fn cookie_for(visitor: &Visitor, session: &Session, trusted: bool) -> Option<HeaderValue> {
    let tls = session.digest().is_some_and(|it| it.ssl_digest.is_some());
    let headers = &session.req_header().headers;
    visitor
        .is_new
        .then(|| visitor::set_cookie(&visitor.id, headers, tls, trusted))
        .flatten()
}
