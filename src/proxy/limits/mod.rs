//! Rate limits: how many requests of a tenant, a user, an API key or an address a route takes.
//!
//! This file holds the counters of the process, which outlive a reload of the configuration: [`rule`] says what is
//! allowed, [`client`] whose counter it is, [`gcra`] decides, [`table`] remembers.

pub mod client;
pub mod gcra;
pub mod rule;
pub mod table;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;

use client::{Known, Owner};
use gcra::Taken;
use rule::{Allowance, Rule, Terms};
use table::Table;

/// `[proxy.rate_limit]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Counters that are held at once.
    pub counters: usize,
}

/// All counters of this process.
pub struct Limiter {
    config: Config,
    began: Instant,
    /// Keys are hashed with it, so that nobody can choose keys that share a set.
    secret: RandomState,
    /// Made by the first request that is counted: without limits there is none.
    table: OnceLock<Table>,
    forgotten: Counter,
}

impl Limiter {
    /// `forgotten` counts counters in use that made room for others.
    pub fn new(config: &Config, forgotten: Counter) -> Self {
        Self {
            config: config.clone(),
            began: Instant::now(),
            secret: RandomState::new(),
            table: OnceLock::new(),
            forgotten,
        }
    }

    /// Takes one request from the counter of whoever asks. `address` is asked for only where it is counted by.
    pub async fn take(
        &self,
        rule: &Rule,
        known: &Known<'_>,
        address: impl FnOnce() -> IpAddr,
    ) -> Allowance {
        let terms = rule.terms(known);
        let owner = known.owner(rule.by, address);
        terms.allowance(self.take_here(terms, &owner))
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
