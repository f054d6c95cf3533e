//! (skeleton) The pool's configuration; the rest is under construction.

use std::time::Duration;

use crate::secret::Secret;

/// What `[database]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `postgres://user:password@host/database`; empty in embedded mode.
    pub url: Secret,
    /// The legacy application's database, for the modern services. Empty: the same.
    pub legacy_url: Secret,
    /// Connections at most, of each pool.
    pub pool: u32,
    /// To get a connection.
    pub acquire_timeout: Duration,
    /// For one statement of the control plane.
    pub statement_timeout: Duration,
}
