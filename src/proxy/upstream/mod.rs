//! An upstream: its addresses, which of them may be asked, and what it may be asked at once.
//!
//! This file holds the upstream and gives a request its place in it. What it stands on: [`endpoint`] one address,
//! [`balance`] which of several, [`outlier`] and [`health`] which are out, [`breaker`] whether any is asked,
//! [`discovery`] where they come from, [`failover`] what follows a failure, [`journey`] one request's way through.

pub mod balance;
pub mod breaker;
mod discovery;
mod endpoint;
pub mod failover;
mod health;
pub mod journey;
mod leg;
pub mod outlier;
mod settings;
mod standing;
pub mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::breaker::{Admission, Breaker, Outcome};
use self::failover::Failure;
use self::leg::Ticket;
use self::tls::Identity;
use crate::telemetry::{Metrics, UpstreamMetrics};

pub use endpoint::{Endpoint, keepalive};
pub use leg::{Failed, Leg, Seat, Taken};
pub use settings::{Client, Health, Origin, Settings, Tls};
pub use standing::Standing;

/// pingora's own bound of attempts at a request; [`failover`] stops long before: five with each side at most.
pub const MOST_ATTEMPTS: usize = 12;

pub struct Upstream {
    pub name: String,
    pub config: Settings,
    /// The servers that names are asked of. Empty: the system's.
    resolvers: Vec<SocketAddr>,
    identity: Identity,
    endpoints: ArcSwap<Endpoints>,
    breaker: Option<Arc<Breaker>>,
    /// Requests under way, where they are bounded.
    busy: Option<Arc<AtomicUsize>>,
    metrics: UpstreamMetrics,
    born: Instant,
    /// Tells the task that watches the addresses that one was thrown out.
    ejected: Arc<Notify>,
    ejecting: AtomicBool,
    is_tended: AtomicBool,
    is_retired: AtomicBool,
    gone: CancellationToken,
    _gone: DropGuard,
}

/// The addresses, and of these the ones that may be asked.
struct Endpoints {
    all: Arc<[Arc<Endpoint>]>,
    /// All of them where none is well: a poor answer is better than none.
    ready: Box<[Arc<Endpoint>]>,
}

impl Endpoints {
    fn of(all: Arc<[Arc<Endpoint>]>, now: u64) -> Self {
        let ready: Box<[_]> = all.iter().filter(|e| e.is_ready(now)).cloned().collect();
        let ready = if ready.is_empty() {
            all.iter().cloned().collect()
        } else {
            ready
        };
        Self { all, ready }
    }
}

impl Upstream {
    pub fn new(name: &str, config: &Settings, resolvers: &[SocketAddr], metrics: &Metrics) -> Self {
        let gone = CancellationToken::new();
        let upstream = Self {
            name: name.to_owned(),
            config: config.clone(),
            resolvers: resolvers.to_vec(),
            identity: Identity::new(&config.tls),
            endpoints: ArcSwap::from_pointee(Endpoints::of(Arc::default(), 0)),
            breaker: config.breaker.clone().map(|b| Arc::new(Breaker::new(b))),
            busy: (config.max_requests > 0).then(Arc::default),
            metrics: metrics.upstream(name, &Failed::KINDS),
            born: Instant::now(),
            ejected: Arc::default(),
            ejecting: AtomicBool::new(false),
            is_tended: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            _gone: gone.clone().drop_guard(),
            gone,
        };
        upstream.metrics.breaker(breaker::State::Closed.number());
        for (place, origin) in config.origins.iter().enumerate() {
            if let Some(ip) = literal(origin) {
                upstream.point_to(place, &[ip]);
            }
        }
        upstream
    }

    /// Whether what is known of this one is true of the other too.
    pub fn is_same(&self, config: &Settings, resolvers: &[SocketAddr]) -> bool {
        self.config == *config && self.resolvers == resolvers
    }

    /// Starts what keeps the addresses current and checked: a task each, once, that ends with the upstream.
    pub fn tend(self: &Arc<Self>, runtime: &Handle) {
        if self.is_tended.swap(true, Ordering::Relaxed) {
            return;
        }
        for (place, origin) in self.config.origins.iter().enumerate() {
            if literal(origin).is_none() {
                runtime.spawn(discovery::keep(Arc::downgrade(self), place));
            }
        }
        // Of one address none is ever left out.
        let may_be_several = self.config.origins.len() > 1
            || self
                .config
                .origins
                .iter()
                .any(|origin| literal(origin).is_none());
        if self.config.health.is_some() || self.config.outlier.is_some() && may_be_several {
            runtime.spawn(health::keep(Arc::downgrade(self)));
        }
    }

    /// Asks for the addresses of names that were never asked for.
    pub async fn look_up_names(&self) {
        for (place, origin) in self.config.origins.iter().enumerate() {
            let known = Arc::clone(&self.endpoints.load().all);
            if literal(origin).is_some() || known.iter().any(|e| e.origin == place) {
                continue;
            }
            // What goes wrong is told by the task that asks again.
            if let Ok((ips, _)) = discovery::look_up(&origin.host, &self.resolvers).await {
                self.point_to(place, &ips);
            }
        }
    }

    /// Takes the addresses that an origin has now. What is known of those that it had before stays.
    fn point_to(&self, place: usize, ips: &[IpAddr]) {
        let origin = &self.config.origins[place];
        let now = self.now();
        self.endpoints.rcu(|known| {
            let others = known.all.iter().filter(|e| e.origin != place).cloned();
            let own = ips.iter().map(|ip| {
                let address = SocketAddr::new(*ip, origin.port);
                let same = |e: &&Arc<Endpoint>| e.origin == place && e.address == address;
                known.all.iter().find(same).cloned().unwrap_or_else(|| {
                    Arc::new(Endpoint::new(
                        address,
                        (place, origin),
                        &self.config,
                        &self.identity,
                    ))
                })
            });
            let mut all: Vec<Arc<Endpoint>> = others.chain(own).collect();
            all.sort_by_key(|e| (e.origin, e.address));
            all.dedup_by_key(|e| (e.origin, e.address));
            Endpoints::of(all.into(), now)
        });
        self.tell();
    }

    /// Sorts the addresses anew into those that may be asked and those that may not.
    fn refresh(&self) {
        let now = self.now();
        self.endpoints
            .rcu(|known| Endpoints::of(Arc::clone(&known.all), now));
        self.tell();
    }

    /// Another edge is in force, without this upstream: what `heir` does not have leaves the metrics.
    pub fn retire(&self, heir: Option<&Arc<Self>>) {
        self.is_retired.store(true, Ordering::Relaxed);
        self.metrics.forget();
        if let Some(heir) = heir {
            heir.tell();
            heir.metrics.breaker(breaker::State::Closed.number());
        }
    }

    /// Puts what is known of each address into the metrics.
    fn tell(&self) {
        if self.is_retired.load(Ordering::Relaxed) {
            return;
        }
        let now = self.now();
        let endpoints = self.endpoints.load();
        let healthy = endpoints.all.iter().map(|e| (e.address, e.is_ready(now)));
        self.metrics.healthy(healthy);
    }

    /// Milliseconds since this upstream was made.
    fn now(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }

    /// A place for one attempt at a request. `avoid`: an address that has just failed it.
    pub fn take(&self, avoid: Option<SocketAddr>) -> Result<Leg, Taken> {
        let ticket = match &self.breaker {
            Some(breaker) => Some(self.ask(breaker)?),
            None => None,
        };
        let seat = match &self.busy {
            Some(busy) => Some(Seat::take(busy, self.config.max_requests).ok_or(Taken::BUSY)?),
            None => None,
        };
        let endpoints = self.endpoints.load();
        let ready = &endpoints.ready;
        let endpoint = match &**ready {
            [one] => one,
            many => {
                let avoid = avoid.and_then(|a| many.iter().position(|e| e.address == a));
                balance::least(many.len(), |i| many[i].in_flight(), avoid, rand::random())
                    .map(|place| &many[place])
                    .ok_or(Taken::NOWHERE)?
            }
        };
        // Nobody compares the loads of one.
        let is_counted = endpoints.all.len() > 1;
        if is_counted {
            endpoint.enter();
        }
        Ok(Leg {
            endpoint: Arc::clone(endpoint),
            is_counted,
            _seat: seat,
            ticket,
        })
    }

    fn ask(&self, breaker: &Arc<Breaker>) -> Result<Ticket, Taken> {
        match breaker.admit(self.now()) {
            Admission::Refused { left } => Err(Taken {
                failure: Failure::Open,
                again: left,
            }),
            admission => Ok(Ticket {
                breaker: Arc::clone(breaker),
                admission,
                is_used: false,
            }),
        }
    }

    /// Whether another address than this one may be asked.
    pub fn has_other(&self, than: Option<SocketAddr>) -> bool {
        let endpoints = self.endpoints.load();
        let mut ready = endpoints.ready.iter();
        ready.any(|e| Some(e.address) != than)
    }

    /// Takes note of how an attempt ended. Once a leg: what comes after the first is not counted.
    pub fn note(&self, leg: &mut Leg, failure: Option<Failed>) {
        if let Some(failed) = failure {
            self.metrics.failed(failed as usize);
        }
        match (&self.config.outlier, failure) {
            (Some(settings), Some(_)) if leg.is_counted => {
                if leg.endpoint.record.fail(settings) {
                    self.eject(&leg.endpoint, settings);
                }
            }
            _ => leg.endpoint.record.succeed(),
        }
        if let Some(ticket) = &mut leg.ticket
            && !std::mem::replace(&mut ticket.is_used, true)
        {
            let outcome = match failure {
                Some(_) => Outcome::Failed,
                None => Outcome::Succeeded,
            };
            let changed = ticket.breaker.note(self.now(), ticket.admission, outcome);
            if let Some(state) = changed {
                self.metrics.breaker(state.number());
                tracing::warn!(upstream = self.name, state = ?state, "the circuit breaker has changed");
            }
        }
    }

    fn eject(&self, endpoint: &Endpoint, settings: &outlier::Settings) {
        // One at a time, or two threads that each see room for one more throw out two. Who comes second leaves it to
        // the next failure.
        if self.ejecting.swap(true, Ordering::Acquire) {
            return;
        }
        let now = self.now();
        let all = Arc::clone(&self.endpoints.load().all);
        let out = all.iter().filter(|e| e.record.out_until(now).is_some());
        let is_in = endpoint.record.out_until(now).is_none();
        if is_in && outlier::may_eject(all.len(), out.count(), settings) {
            let until = endpoint.record.eject(now, settings);
            self.metrics.ejected();
            let seconds = (until - now) as f64 / 1e3;
            tracing::warn!(upstream = self.name, address = %endpoint.address, seconds, "an address fails and is left out for a while");
            self.refresh();
            self.ejected.notify_one();
        }
        self.ejecting.store(false, Ordering::Release);
    }

    /// Counts an attempt that follows another.
    pub fn count_retry(&self) {
        self.metrics.retried();
    }
}

fn literal(origin: &Origin) -> Option<IpAddr> {
    origin.host.parse().ok()
}

#[cfg(test)]
mod tests;
