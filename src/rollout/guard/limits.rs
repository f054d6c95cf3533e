//! What the modern side is held to: the limits of a capability, and the rules of the guard.
//!
//! Its own file, and pure: the configuration makes these, the judge reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// A share of requests, from 0 to 1.
pub type Share = f64;

/// The limits of one capability. `None`: not judged by this.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Errors among requests.
    pub error_rate: Option<Share>,
    /// The time to the first byte that 95 % of requests must stay below.
    pub p95: Option<Duration>,
    pub p99: Option<Duration>,
    /// Requests that found no connection.
    pub connect_failures: Option<Share>,
    /// Bad ones among what the modern side reports, by kind. A limit of 0 is broken by a single one.
    pub outcomes: BTreeMap<String, Share>,
    /// Whether a request that the modern side leaves to legacy (x-ficus-miss) is an error.
    pub misses: Misses,
    /// The newest requests that are looked at.
    pub window: Duration,
    /// How long a small excess must last. A larger one is certain sooner.
    #[serde(rename = "for")]
    pub hold: Duration,
    /// Fewer requests prove nothing but total failure: a window is extended, up to `MOST_WINDOW`, until it has so many.
    pub min_requests: u64,
    /// Modern must be so many times as bad as legacy is in the same window.
    pub factor: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Misses {
    /// Expected while the modern side is built: legacy answers, nobody is harmed.
    Answers,
    Errors,
}

/// What holds for the guard as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Off: it judges, tells and rolls nothing back.
    pub acts: bool,
    /// Of every capability that has none of its own.
    pub limits: Limits,
    pub capabilities: BTreeMap<String, Limits>,
    /// So many failing tenants of one wave take the wave back.
    pub tenants: usize,
    /// The same tenant, wave or capability is not rolled back again before this.
    pub cool_down: Duration,
    /// How long buckets are kept.
    pub keep: Duration,
}

/// A window is never longer: what happened before says little of now.
pub const MOST_WINDOW: Duration = Duration::from_secs(15 * 60);
/// The longest `hold`.
pub const MOST_HOLD: Duration = Duration::from_secs(15 * 60);

/// Total failure needs no sample: so many in a row without one success …
pub const IN_A_ROW: u64 = 5;
/// … or so many requests, half of which fail.
pub const HALF_OF: u64 = 20;
/// Fewer errors are chance, whatever share they are.
pub const MIN_BAD: u64 = 5;
/// An excess counts as proven when chance makes one like it less often than this at the limit itself.
pub const CHANCE: f64 = 1e-4;
/// Legacy is a measure when it has answered so many in the window.
pub const MIN_LEGACY: u64 = 20;

impl Default for Limits {
    /// More than 1 % errors, or p95 above 500 ms, for five minutes.
    fn default() -> Self {
        Self {
            error_rate: Some(0.01),
            p95: Some(Duration::from_millis(500)),
            p99: None,
            connect_failures: None,
            outcomes: BTreeMap::new(),
            misses: Misses::Answers,
            window: Duration::from_secs(60),
            hold: Duration::from_secs(300),
            min_requests: 200,
            factor: 2.0,
        }
    }
}

impl Limits {
    /// The profile "relaxed": 5 % errors, p95 of 1 s.
    pub fn relaxed() -> Self {
        Self {
            error_rate: Some(0.05),
            p95: Some(Duration::from_secs(1)),
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            acts: true,
            limits: Limits::default(),
            capabilities: BTreeMap::new(),
            tenants: 3,
            cool_down: Duration::from_secs(600),
            keep: Duration::from_secs(3600),
        }
    }
}

impl Config {
    pub fn limits_of(&self, capability: &str) -> &Limits {
        self.capabilities.get(capability).unwrap_or(&self.limits)
    }
}
