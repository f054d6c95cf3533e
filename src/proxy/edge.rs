//! What the running configuration means for a request: routes, upstreams, limits and resolvers, prepared.
//!
//! Its own file, because a reload builds one of these and swaps it in; a request holds the one of its admission.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method};
use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;

use super::routes::{BadRoute, RouteSpec, Routes};
use super::upstream::Upstream;
use super::{Config, Limits, RouteTarget, Timeouts};
use crate::flags::{Caller, Decision, Reason, Side, Snapshot, decide};
use crate::identity::{Chain, Named};
use crate::telemetry::{CapabilityMetrics, Metrics};

/// The capability's name for requests that belong to none, in logs and metrics.
const NO_CAPABILITY: &str = "none";
/// The upstream that answers what no route names.
const LEGACY: &str = "legacy";
const MODERN: &str = "modern";

pub struct Edge {
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub chain: Chain,
    trusted: Vec<IpNet>,
    routes: Routes<Target>,
    capabilities: Vec<Capability>,
    pub upstreams: Vec<Arc<Upstream>>,
}

/// What a route leads to: places in `Edge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Capability(usize),
    Side(Side),
    NoRoute,
}

pub struct Capability {
    pub name: String,
    pub header: HeaderValue,
    pub metrics: CapabilityMetrics,
    legacy: Option<usize>,
    modern: Option<usize>,
    failures: [Counter; 2],
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub struct Verdict {
    /// The place of the capability, whose counters count the request.
    pub capability: usize,
    pub decision: Decision,
    /// The place of the upstream. `None`: the configuration has no upstream of that side.
    pub upstream: Option<usize>,
}

impl Edge {
    pub fn build(config: &Config, chain: Chain, metrics: &Metrics) -> Result<Self, BadRoute> {
        let upstreams: Vec<_> = config
            .upstreams
            .iter()
            .map(|(name, upstream)| Arc::new(Upstream::new(name, upstream)))
            .collect();
        let place: BTreeMap<&str, usize> = upstreams
            .iter()
            .enumerate()
            .map(|(i, u)| (u.name.as_str(), i))
            .collect();
        let capability = |name: &str, legacy: &str, modern: &str| Capability {
            name: name.to_owned(),
            header: HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static(NO_CAPABILITY)),
            metrics: metrics.capability(name),
            legacy: place.get(legacy).copied(),
            modern: place.get(modern).copied(),
            failures: [
                metrics.upstream_failure(legacy, "connect"),
                metrics.upstream_failure(modern, "connect"),
            ],
        };
        // The last one stands for every request that belongs to no capability.
        let named = config
            .capabilities
            .iter()
            .map(|(name, c)| capability(name, &c.legacy, &c.modern));
        let capabilities: Vec<_> = named
            .chain([capability(NO_CAPABILITY, LEGACY, MODERN)])
            .collect();
        let target = |target: &RouteTarget| match target {
            RouteTarget::Side(side) => Target::Side(*side),
            RouteTarget::Capability(name) => capabilities
                .iter()
                .position(|c| c.name == *name)
                .map_or(Target::NoRoute, Target::Capability),
        };
        let specs = config.routes.iter().map(|r| RouteSpec {
            path: &r.path,
            methods: &r.methods,
            host: r.host.as_deref(),
            target: target(&r.target),
        });
        let routes = Routes::build(specs)?;
        Ok(Self {
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            chain,
            trusted: config.trusted_proxies.clone(),
            routes,
            capabilities,
            upstreams,
        })
    }

    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        // A v4 peer on a v6 socket is still the v4 peer that the operator named.
        let peer = peer.to_canonical();
        self.trusted.iter().any(|net| net.contains(&peer))
    }

    pub fn route(&self, host: Option<&str>, method: &Method, path: &str) -> Target {
        self.routes
            .find(host, method, path)
            .copied()
            .unwrap_or(Target::NoRoute)
    }

    pub fn capability(&self, place: usize) -> &Capability {
        &self.capabilities[place]
    }

    /// Whether finding the tenant can change where a request goes.
    pub fn needs_tenant(&self, target: Target) -> bool {
        matches!(target, Target::Capability(_))
    }

    /// The whole decision for a request. `snapshot` is `None` only where a cold start may serve from legacy.
    pub fn decide(
        &self,
        target: Target,
        snapshot: Option<&Snapshot>,
        caller: Caller<'_>,
    ) -> Verdict {
        let nobody = self.capabilities.len() - 1;
        let (capability, decision) = match (target, snapshot) {
            (Target::Capability(place), Some(snapshot)) => (
                place,
                decide(snapshot, &self.capabilities[place].name, caller),
            ),
            (Target::Capability(place), None) => (
                place,
                Decision {
                    side: Side::Legacy,
                    reason: Reason::ColdStart,
                },
            ),
            (Target::Side(side), _) => (
                nobody,
                Decision {
                    side,
                    reason: Reason::Route,
                },
            ),
            (Target::NoRoute, _) => (
                nobody,
                Decision {
                    side: Side::Legacy,
                    reason: Reason::NoRoute,
                },
            ),
        };
        Verdict {
            capability,
            decision,
            upstream: self.capabilities[capability].upstream(decision.side),
        }
    }
}

impl Capability {
    pub fn upstream(&self, side: Side) -> Option<usize> {
        match side {
            Side::Legacy => self.legacy,
            Side::Modern => self.modern,
        }
    }

    /// Counts an attempt that did not reach the upstream.
    pub fn count_connect_failure(&self, side: Side) {
        self.failures[usize::from(side == Side::Modern)].inc();
    }
}

/// The tenant that a request names, as the snapshot knows it.
pub fn caller<'a>(snapshot: &'a Snapshot, named: Option<&Named<'_>>) -> Caller<'a> {
    let found = match named {
        None => return Caller::Nobody,
        Some(Named::Id(id)) => snapshot.tenant(*id),
        Some(Named::Slug(slug)) => snapshot.tenant_by_slug(slug),
    };
    found.map_or(Caller::Stranger, Caller::Tenant)
}
