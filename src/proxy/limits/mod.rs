//! Rate limits: how many requests of a tenant, a user, an API key or an address a route takes.
//!
//! This file holds the counters of the process, which outlive a reload of the configuration: [`rule`] says what is
//! allowed, [`client`] whose counter it is, [`gcra`] decides, [`table`] remembers. With
//! [`shared`], what several proxies let through together is counted in Redis.

pub mod client;
pub mod gcra;
pub mod rule;
pub mod shared;
pub mod table;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;

use client::{Known, Owner};
use gcra::Taken;
use rule::{Allowance, Rule, Terms};
use shared::{Shared, Sharing};
use table::Table;

use crate::telemetry::Metrics;

/// `[proxy.rate_limit]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Counters that are held at once.
    pub counters: usize,
    /// `None`: each process counts for itself.
    pub shared: Option<Sharing>,
}

/// All counters of this process.
pub struct Limiter {
    config: Config,
    began: Instant,
    /// Keys are hashed with it, so that nobody can choose keys that share a set.
    secret: RandomState,
    /// Made by the first request that is counted: without limits there is none.
    table: OnceLock<Table>,
    shared: Option<Shared>,
    forgotten: Counter,
}

impl Limiter {
    /// Connects on `runtime` where counters are shared. The error says what is wrong with the URL.
    pub fn new(config: &Config, runtime: &Handle, metrics: &Metrics) -> Result<Self, String> {
        let alone = metrics.rate_limits_counted_alone.clone();
        let shared = config.shared.as_ref();
        let shared = shared.map(|sharing| Shared::start(sharing, runtime, alone));
        Ok(Self {
            config: config.clone(),
            began: Instant::now(),
            secret: RandomState::new(),
            table: OnceLock::new(),
            shared: shared.transpose().map_err(|e| format!("redis.url: {e}"))?,
            forgotten: metrics.rate_limits_forgotten.clone(),
        })
    }

    /// Takes one request from the counter of whoever asks. `address` is asked for only where it is counted by. It waits
    /// for Redis alone, and only where counters are shared.
    pub async fn take(
        &self,
        rule: &Rule,
        known: &Known<'_>,
        address: impl FnOnce() -> IpAddr,
    ) -> Allowance {
        let terms = rule.terms(known);
        let owner = known.owner(rule.by, address);
        let taken = match &self.shared {
            None => self.take_here(terms, &owner),
            // In a box: a request that is not counted there carries nothing of it.
            Some(shared) => Box::pin(self.take_there(shared, terms, &owner)).await,
        };
        terms.allowance(taken)
    }

    async fn take_there(&self, shared: &Shared, terms: &Terms, owner: &Owner<'_>) -> Taken {
        let Some(count) = shared.take(terms.shared_key(owner), terms.rate).await else {
            return self.take_here(terms, owner);
        };
        // Our own counter follows, so that nobody gets a fresh one when Redis goes away.
        let now = self.now();
        let full_at = now.saturating_add(count.held);
        let key = self.key(terms, owner);
        self.table().follow(key, terms.rate, full_at, now);
        terms.rate.taken(count.allowed, count.held)
    }

    fn take_here(&self, terms: &Terms, owner: &Owner<'_>) -> Taken {
        let (taken, forgot) = self
            .table()
            .take(self.key(terms, owner), terms.rate, self.now());
        if forgot {
            self.forgotten.inc();
        }
        taken
    }

    fn table(&self) -> &Table {
        self.table.get_or_init(|| Table::new(self.config.counters))
    }

    fn key(&self, terms: &Terms, owner: &Owner<'_>) -> u64 {
        self.secret.hash_one((terms.scope, owner))
    }

    /// Nanoseconds; from 1, since a counter that was never used is full at 0.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }
}
