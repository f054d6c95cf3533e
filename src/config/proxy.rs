//! Reads `[proxy]`, `[upstream.*]`, `[capability.*]` and `[[route]]`.
//!
//! Its own file, because these name one another: a route its capability, a capability its upstreams.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::fault::suggestion;
use super::section::Section;
use super::upstream::read_upstream;
use super::{address, guard, policy, tls, value};
use crate::flags::{Effect, Side, Sticky};
use crate::proxy::{Capability, Config, Fallback, Limits, Route, RouteTarget, Timeouts};
use crate::rollout::guard::Limits as GuardLimits;

/// A snapshot packs two bits a capability into one row of a tenant.
const MOST_CAPABILITIES: usize = 64;
/// pingora parses no more header fields, and refuses a larger head itself.
const MOST_HEADERS: u64 = 256;
const LARGEST_HEAD: u64 = 1 << 20;
/// More descriptors than Linux gives a process by any default.
const MOST_POOLED: u64 = 100_000;
const MOST_CONNECTIONS: u64 = 1 << 24;
/// More than any machine has under way.
pub const MOST_REQUESTS: u64 = 1_000_000;
const FALLBACKS: [(&str, Fallback); 2] = [("none", Fallback::Nobody), (LEGACY, Fallback::Legacy)];
const EFFECTS: [(&str, Effect); 3] = [
    ("read", Effect::Read),
    ("write", Effect::Write),
    ("send", Effect::Send),
];
/// The upstream that answers whatever no route claims.
pub const LEGACY: &str = "legacy";
const MODERN: &str = "modern";

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the proxy's sections hold, with the names that exist even where an entry has faults.
pub struct ProxySections<'r, 'e> {
    pub proxy: Section<'r, 'e>,
    pub upstreams: Vec<(String, Section<'r, 'e>)>,
    pub capabilities: Vec<(String, Section<'r, 'e>)>,
    pub routes: Vec<Section<'r, 'e>>,
    pub redis: Section<'r, 'e>,
}

/// The proxy's configuration, and what the rules between sections need of it even where it has faults.
pub struct ProxyRead {
    pub config: Option<Config>,
    pub listen: Option<Vec<SocketAddr>>,
    pub tls_listen: Vec<SocketAddr>,
    /// In the order of the file; `None` has faults of its own.
    pub routes: Vec<Option<Route>>,
    /// What the guard holds each capability to.
    pub limits: Option<BTreeMap<String, GuardLimits>>,
    /// Whether `legacy` is among the upstreams, and whether anything needs it.
    pub has_legacy: bool,
    pub needs_legacy: bool,
}

pub fn read(sections: ProxySections<'_, '_>) -> ProxyRead {
    let ProxySections {
        mut proxy,
        upstreams,
        capabilities,
        routes,
        redis,
    } = sections;
    let mut upstream_names: BTreeSet<String> =
        upstreams.iter().map(|(name, _)| name.clone()).collect();
    // Its absence is one fault, told by the caller, and not one more for each capability.
    let has_legacy = !upstream_names.insert(LEGACY.to_owned());
    let capability_names: BTreeSet<String> =
        capabilities.iter().map(|(name, _)| name.clone()).collect();
    let needs_legacy = !capabilities.is_empty() || !routes.is_empty();
    if let Some((_, section)) = capabilities.get(MOST_CAPABILITIES) {
        section.fault_here(format!(
            "is one of {} capabilities, and there can be at most {MOST_CAPABILITIES}",
            capabilities.len()
        ));
    }

    let listen = proxy.list("listen", address::socket_address);
    let trusted_proxies = proxy.list("trusted_proxies", address::network);
    let resolvers = proxy.list("resolvers", address::socket_address);
    let threads = proxy.count("threads", 0..=1024);
    let pool = proxy.count("pool", 1..=MOST_POOLED);
    let drain = proxy.duration("drain", Duration::ZERO..=HOUR);
    let keep_header_case = proxy.switch("keep_header_case");
    let limits = read_limits(proxy.section("limits"));
    let timeouts = read_timeouts(proxy.section("timeouts"));
    let tls = tls::read(proxy.section("tls"));
    let has_tls = tls.as_ref().is_none_or(|tls| !tls.listen.is_empty());
    if listen.as_ref().is_some_and(Vec::is_empty) && !has_tls {
        proxy.fault("listen", "expected at least one address");
    }
    let tls_listen = tls.iter().flat_map(|tls| tls.listen.clone()).collect();
    let rate_limit = policy::read_counters(proxy.section("rate_limit"), redis);
    proxy.finish();

    let upstreams = collect_named(upstreams, read_upstream);
    let capabilities = collect_named(capabilities, |section| {
        read_capability(section, &upstream_names)
    });
    let (capabilities, guarded) = match capabilities {
        None => (None, None),
        Some(read) => {
            let limits = read
                .iter()
                .map(|(name, (_, limits))| (name.clone(), limits.clone()));
            let limits = limits.collect();
            let capabilities = read.into_iter().map(|(name, (it, _))| (name, it)).collect();
            (Some(capabilities), Some(limits))
        }
    };
    let routes: Vec<Option<Route>> = routes
        .into_iter()
        .map(|section| read_route(section, &capability_names, &upstream_names))
        .collect();

    let config = || {
        Some(Config {
            listen: listen.clone()?,
            trusted_proxies: trusted_proxies?,
            threads: usize::try_from(threads?).ok()?,
            pool: usize::try_from(pool?).ok()?,
            drain: drain?,
            keep_header_case: keep_header_case?,
            limits: limits?,
            timeouts: timeouts?,
            tls: tls.clone()?,
            resolvers: resolvers?,
            rate_limit: rate_limit?,
            upstreams: upstreams?,
            capabilities: capabilities?,
            routes: routes.iter().cloned().collect::<Option<_>>()?,
        })
    };
    ProxyRead {
        config: config(),
        listen,
        tls_listen,
        routes,
        limits: guarded,
        has_legacy,
        needs_legacy,
    }
}

/// Checks `[defaults.upstream]`, `[defaults.capability]` and `[defaults.route]` though no entry may use them.
pub fn check_defaults(
    upstream: Section<'_, '_>,
    capability: Section<'_, '_>,
    route: Section<'_, '_>,
    upstreams: &[String],
) -> Option<GuardLimits> {
    let names = upstreams
        .iter()
        .cloned()
        .chain([LEGACY.to_owned()])
        .collect();
    read_upstream(upstream);
    let mut capability = capability;
    let limits = guard::read_limits(capability.section("guard"));
    read_capability(capability, &names);
    read_route(route, &BTreeSet::new(), &names);
    limits
}

fn collect_named<'r, 'e, T>(
    entries: Vec<(String, Section<'r, 'e>)>,
    read: impl Fn(Section<'r, 'e>) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    // All are read, so that all their faults are told, before one that has faults makes the whole none.
    let read: Vec<Option<(String, T)>> = entries
        .into_iter()
        .map(|(name, section)| read(section).map(|value| (name, value)))
        .collect();
    read.into_iter().collect()
}

fn read_limits(mut section: Section<'_, '_>) -> Option<Limits> {
    let header_count = section.count("header_count", 1..=MOST_HEADERS);
    let header_bytes = section.size("header_bytes", 1024..=LARGEST_HEAD);
    let uri_bytes = section.size("uri_bytes", 16..=LARGEST_HEAD);
    let body_bytes = section.size("body_bytes", 0..=u64::MAX);
    let min_rate = section.size("min_rate", 0..=LARGEST_HEAD);
    let untaken_bytes = section.size("untaken_bytes", 0..=u64::MAX);
    let connections = section.count("connections", 0..=MOST_CONNECTIONS);
    let connections_per_ip = section.count("connections_per_ip", 0..=MOST_CONNECTIONS);
    let requests = section.count("requests", 0..=MOST_REQUESTS);
    let tenant_requests = section.count("tenant_requests", 0..=MOST_REQUESTS);
    if let (Some(head), Some(uri)) = (header_bytes, uri_bytes)
        && uri > head
    {
        section.fault(
            "uri_bytes",
            format!(
                "is {}, which exceeds header_bytes, {}: the target is part of the head",
                value::show_size(uri),
                value::show_size(head)
            ),
        );
    }
    section.finish();
    Some(Limits {
        header_count: usize::try_from(header_count?).ok()?,
        header_bytes: usize::try_from(header_bytes?).ok()?,
        uri_bytes: usize::try_from(uri_bytes?).ok()?,
        body_bytes: body_bytes?,
        min_rate: min_rate?,
        untaken_bytes: untaken_bytes?,
        connections: usize::try_from(connections?).ok()?,
        connections_per_ip: usize::try_from(connections_per_ip?).ok()?,
        requests: usize::try_from(requests?).ok()?,
        tenant_requests: u32::try_from(tenant_requests?).ok()?,
    })
}

fn read_timeouts(mut section: Section<'_, '_>) -> Option<Timeouts> {
    let keepalive = section.duration("keepalive", SECOND..=HOUR);
    let head = section.duration("head", MILLISECOND..=HOUR);
    let body_read = section.duration("body_read", MILLISECOND..=HOUR);
    let write = section.duration("write", MILLISECOND..=HOUR);
    let tunnel_idle = section.duration("tunnel_idle", MILLISECOND..=DAY);
    let drain_body = section.duration("drain_body", MILLISECOND..=HOUR);
    section.finish();
    Some(Timeouts {
        keepalive: keepalive?,
        head: head?,
        body_read: body_read?,
        write: write?,
        tunnel_idle: tunnel_idle?,
        drain_body: drain_body?,
    })
}

fn read_capability(
    mut section: Section<'_, '_>,
    upstreams: &BTreeSet<String>,
) -> Option<(Capability, GuardLimits)> {
    let effect = section.word("effect", &EFFECTS);
    let splits = section.word("by", &[("tenant", false), ("split", true)]);
    let sticky = section.word("sticky", &Sticky::WORDS);
    let legacy = section.text("legacy", |name| known(name, "upstream", upstreams));
    let modern = section.text("modern", |name| known(name, "upstream", upstreams));
    let fallback = section.word("fallback", &FALLBACKS);
    let limits = guard::read_limits(section.part("guard", "defaults.capability.guard"));
    section.finish();
    let capability = Capability {
        effect: effect?,
        legacy: legacy?,
        modern: modern?,
        fallback: fallback?,
        split_by: splits?.then_some(sticky?),
    };
    Some((capability, limits?))
}

fn read_route(
    mut section: Section<'_, '_>,
    capabilities: &BTreeSet<String>,
    upstreams: &BTreeSet<String>,
) -> Option<Route> {
    let methods = section.list("methods", value::method);
    let host = section.optional("host", address::host);
    let effect = section.or("effect", None, |section, key| {
        section.word(key, &EFFECTS).map(Some)
    });
    let on_miss = section.word("on_miss", &FALLBACKS);
    if section.is_defaults() {
        policy::read(&mut section);
        section.finish();
        return None;
    }
    let path = section.text("path", route_path);
    let target = read_target(&mut section, capabilities, upstreams);
    let policy = policy::read(&mut section);
    section.finish();
    Some(Route {
        path: path?,
        methods: methods?,
        host: host?,
        target: target?,
        effect: effect?,
        on_miss: on_miss?,
        policy: policy?,
    })
}

fn read_target(
    section: &mut Section<'_, '_>,
    capabilities: &BTreeSet<String>,
    upstreams: &BTreeSet<String>,
) -> Option<RouteTarget> {
    // All are asked for, so that a misspelt one is told its neighbour's name.
    let given: Vec<&str> = ["capability", "side", "upstream"]
        .into_iter()
        .filter(|key| section.has(key))
        .collect();
    let capability = section.optional("capability", |name| known(name, "capability", capabilities));
    let upstream = section.optional("upstream", |name| known(name, "upstream", upstreams));
    let side = section.optional("side", side);
    match given.as_slice() {
        [] => {
            section.fault_here(
                "has neither a capability nor a side nor an upstream; expected exactly one",
            );
            None
        }
        [only] => {
            let target = match *only {
                "capability" => capability?.map(RouteTarget::Capability),
                "upstream" => upstream?.map(RouteTarget::Upstream),
                _ => side?.map(RouteTarget::Side),
            };
            if target.is_none() {
                section.fault(only, "is required");
            }
            if target == Some(RouteTarget::Side(Side::Modern)) && !upstreams.contains(MODERN) {
                section.fault("side", "is \"modern\", and there is no [upstream.modern]");
            }
            target
        }
        [one, other, ..] => {
            section.fault_here(format!(
                "has both {} and {}; expected exactly one",
                with_article(one),
                with_article(other)
            ));
            None
        }
    }
}

fn with_article(key: &str) -> String {
    let article = if key == "upstream" { "an" } else { "a" };
    format!("{article} {key}")
}

fn side(text: &str) -> Result<Side, String> {
    let sides = [(LEGACY, Side::Legacy), (MODERN, Side::Modern)];
    let named = sides.iter().find(|(word, _)| *word == text);
    named.map(|(_, side)| *side).ok_or_else(|| {
        let words = sides.iter().map(|(word, _)| *word);
        format!(
            "expected one of \"legacy\", \"modern\"{}",
            suggestion(text, words)
        )
    })
}

fn known(name: &str, kind: &str, names: &BTreeSet<String>) -> Result<String, String> {
    match names.contains(name) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "there is no [{kind}.{name}]{}",
            suggestion(name, names.iter().map(String::as_str))
        )),
    }
}

/// A pattern that the route table takes.
fn route_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("expected a path that begins with \"/\"".to_owned());
    }
    if text.contains(['?', '#']) || text.contains(char::is_whitespace) {
        return Err("expected a path alone, without query, fragment or blanks".to_owned());
    }
    match matchit::Router::new().insert(text, ()) {
        Ok(()) => Ok(text.to_owned()),
        Err(matchit::InsertError::InvalidParamSegment) => Err("has two parameters in one segment; expected one between two slashes".to_owned()),
        Err(matchit::InsertError::InvalidCatchAll) => Err("has {*…} before its end; expected it as the last segment".to_owned()),
        Err(_) => Err("has a parameter without a name or braces that do not match; expected \"/a/{b}\" or \"/a/{*rest}\"".to_owned()),
    }
}
