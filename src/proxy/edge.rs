//! What the running configuration means for a request: routes, upstreams, limits and resolvers, prepared.
//!
//! Its own file, because a reload builds one of these and swaps it in; a request holds the one of its admission.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method};
use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;

use super::in_flight::InFlight;
use super::limits::Limiter;
use super::policy::Policy;
use super::routes::{BadRoute, RouteSpec, Routes};
use super::upstream::Upstream;
use super::upstream::failover::Failure;
use super::{Config, Fallback, Limits, RouteTarget, Timeouts, tls};
use crate::flags::{Caller, Decision, Effect, Keys, Reason, Side, Snapshot, decide_for};
use crate::identity::{Chain, Named};
use crate::rollout::outcomes::CapabilityId;
use crate::telemetry::{CapabilityMetrics, Metrics};

/// The capability's name for requests that belong to none, in logs and metrics.
const NO_CAPABILITY: &str = "none";
/// The upstream that answers what no route names.
const LEGACY: &str = "legacy";
const MODERN: &str = "modern";

pub struct Edge {
    pub keep_header_case: bool,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// For the handshakes to come. `None`: no address has TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub chain: Chain,
    /// The counters of the process: they outlive this edge.
    pub limiter: Arc<Limiter>,
    trusted: Vec<IpNet>,
    routes: Routes<Leads>,
    policies: Vec<Policy>,
    capabilities: Vec<Capability>,
    pub upstreams: Vec<Arc<Upstream>>,
    /// The one of the process: it outlives each edge.
    pub in_flight: Arc<InFlight>,
}

/// What the routing table knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leads {
    pub target: Target,
    /// The place of the route's policy. `None`: it asks nothing.
    pub policy: Option<usize>,
    /// What the route says that its requests do.
    pub effect: Option<Effect>,
    /// Legacy answers what modern does not know.
    pub on_miss: bool,
}

/// What a route leads to: places in `Edge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Capability(usize),
    Side(Side),
    /// One upstream, whatever any flag says.
    Upstream(usize),
    NoRoute,
}

pub struct Capability {
    pub name: Arc<str>,
    pub header: HeaderValue,
    pub metrics: CapabilityMetrics,
    /// Under what the guard counts its requests; `None`: they belong to no capability.
    pub counted: Option<CapabilityId>,
    legacy: Option<usize>,
    modern: Option<usize>,
    /// What its requests do to the world; `None` for those that belong to no capability.
    pub effect: Option<Effect>,
    /// Legacy answers when modern fails, where that can do no harm.
    pub falls_back: bool,
    fallbacks: [Counter; Failure::ALL.len()],
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub struct Verdict {
    /// The place of the capability, whose counters count the request.
    pub capability: usize,
    pub decision: Decision,
    /// The place of the upstream. `None`: the configuration has no upstream of that side.
    pub upstream: Option<usize>,
    /// What the request does, as the route or else the capability says it.
    pub effect: Option<Effect>,
    /// The route's.
    pub on_miss: bool,
}

impl Edge {
    /// `before`: the edge that this one replaces. What is known of an upstream that stays as it is stays too.
    pub fn build(
        config: &Config,
        chain: Chain,
        limiter: Arc<Limiter>,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> Result<Self, BadRoute> {
        let resolvers = &config.resolvers;
        let known = |name: &str| before?.upstreams.iter().find(|u| u.name == name);
        let upstreams: Vec<_> = config
            .upstreams
            .iter()
            .map(|(name, config)| match known(name) {
                Some(same) if same.is_same(config, resolvers) => Arc::clone(same),
                _ => Arc::new(Upstream::new(name, config, resolvers, metrics)),
            })
            .collect();
        let place: BTreeMap<&str, usize> = upstreams
            .iter()
            .enumerate()
            .map(|(i, u)| (u.name.as_str(), i))
            .collect();
        let capability = |name: &str,
                          legacy: &str,
                          modern: &str,
                          effect: Option<Effect>,
                          falls_back| Capability {
            name: Arc::from(name),
            header: HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static(NO_CAPABILITY)),
            metrics: metrics.capability(name),
            counted: effect.and_then(|_| CapabilityId::of(name)),
            legacy: place.get(legacy).copied(),
            modern: place.get(modern).copied(),
            effect,
            falls_back,
            fallbacks: Failure::ALL.map(|cause| metrics.fallback(name, cause.as_str())),
        };
        // The last one stands for every request that belongs to no capability.
        let named = config.capabilities.iter().map(|(name, c)| {
            let falls_back = c.fallback == Fallback::Legacy;
            capability(name, &c.legacy, &c.modern, Some(c.effect), falls_back)
        });
        let capabilities: Vec<_> = named
            .chain([capability(NO_CAPABILITY, LEGACY, MODERN, None, false)])
            .collect();
        let target = |target: &RouteTarget| match target {
            RouteTarget::Side(side) => Target::Side(*side),
            // The configuration has checked that it exists.
            RouteTarget::Upstream(name) => place
                .get(name.as_str())
                .map_or(Target::NoRoute, |place| Target::Upstream(*place)),
            RouteTarget::Capability(name) => capabilities
                .iter()
                .position(|c| *c.name == **name)
                .map_or(Target::NoRoute, Target::Capability),
        };
        let mut policies = Vec::new();
        let mut specs = Vec::with_capacity(config.routes.len());
        for route in &config.routes {
            let policy = Policy::compile(route).map(|policy| {
                policies.push(policy);
                policies.len() - 1
            });
            specs.push(RouteSpec {
                path: &route.path,
                methods: &route.methods,
                host: route.host.as_deref(),
                target: Leads {
                    target: target(&route.target),
                    policy,
                    effect: route.effect,
                    on_miss: route.on_miss == Fallback::Legacy,
                },
            });
        }
        let routes = Routes::build(specs)?;
        for gone in before.iter().flat_map(|before| &before.upstreams) {
            if !upstreams.iter().any(|kept| Arc::ptr_eq(kept, gone)) {
                gone.retire(upstreams.iter().find(|heir| heir.name == gone.name));
            }
        }
        Ok(Self {
            keep_header_case: config.keep_header_case,
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            // Reading the configuration has built it once already, and told the faults.
            tls: tls::build(&config.tls).unwrap_or_else(|faults| {
                tracing::error!(?faults, "the certificates cannot be used");
                None
            }),
            chain,
            limiter,
            trusted: config.trusted_proxies.clone(),
            routes,
            policies,
            capabilities,
            upstreams,
            in_flight: before.map_or_else(Arc::default, |before| Arc::clone(&before.in_flight)),
        })
    }

    /// Asks for the addresses of names that have none yet. Bounded by the name servers' own patience.
    pub async fn look_up_names(&self) {
        futures_util::future::join_all(self.upstreams.iter().map(|u| u.look_up_names())).await;
    }

    /// Starts the tasks of upstreams that have none yet.
    pub fn tend(&self, runtime: &Handle) {
        for upstream in &self.upstreams {
            upstream.tend(runtime);
        }
    }

    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        // A v4 peer on a v6 socket is still the v4 peer that the operator named.
        let peer = peer.to_canonical();
        self.trusted.iter().any(|net| net.contains(&peer))
    }

    pub fn route(&self, host: Option<&str>, method: &Method, path: &str) -> Leads {
        self.routes
            .find(host, method, path)
            .copied()
            .unwrap_or(Leads {
                target: Target::NoRoute,
                policy: None,
                effect: None,
                on_miss: false,
            })
    }

    pub fn policy(&self, place: usize) -> &Policy {
        &self.policies[place]
    }

    pub fn capability(&self, place: usize) -> &Capability {
        &self.capabilities[place]
    }

    /// What a request does to the world, as the route or else its capability says. `None`: nobody says.
    pub fn effect(&self, leads: Leads) -> Option<Effect> {
        let of_capability = self.of(leads).and_then(|capability| capability.effect);
        leads.effect.or(of_capability)
    }

    /// The capability that a route leads to.
    pub fn of(&self, leads: Leads) -> Option<&Capability> {
        match leads.target {
            Target::Capability(place) => Some(self.capability(place)),
            _ => None,
        }
    }

    /// Whether finding the tenant can change where a request goes, or whether it may go there.
    pub fn needs_tenant(&self, leads: Leads) -> bool {
        let policy = leads.policy.map(|place| self.policy(place));
        matches!(leads.target, Target::Capability(_))
            || self.limits.tenant_requests > 0
            || policy.is_some_and(Policy::needs_identity)
    }

    /// The whole decision for a request. `snapshot` is `None` only where a cold start may serve from legacy.
    pub fn decide(
        &self,
        leads: Leads,
        snapshot: Option<&Snapshot>,
        caller: Caller<'_>,
        keys: Keys<'_>,
    ) -> Verdict {
        let Leads {
            target, on_miss, ..
        } = leads;
        let effect = self.effect(leads);
        let nobody = self.capabilities.len() - 1;
        let (capability, decision) = match (target, snapshot) {
            (Target::Capability(place), Some(snapshot)) => (
                place,
                decide_for(snapshot, &self.capabilities[place].name, caller, keys),
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
            (Target::Upstream(place), _) => {
                let side = self.side_of(place);
                let reason = Reason::Route;
                return Verdict {
                    capability: nobody,
                    decision: Decision { side, reason },
                    upstream: Some(place),
                    effect,
                    on_miss,
                };
            }
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
            effect,
            on_miss,
        }
    }

    /// Whose answer an upstream's is, where no capability says so: only one of them is the application that came first.
    fn side_of(&self, place: usize) -> Side {
        match self.upstreams[place].name == LEGACY {
            true => Side::Legacy,
            false => Side::Modern,
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

    /// Counts a request that legacy answers in modern's place.
    pub fn count_fallback(&self, cause: Failure) {
        self.fallbacks[cause as usize].inc();
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
