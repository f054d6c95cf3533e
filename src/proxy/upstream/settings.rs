//! What `[upstream.NAME]` says, checked.
//!
//! Its own file, because the configuration's reader fills it and everything else of an upstream reads it. Two that are
//! equal mean the same upstream: a reload then keeps what is known of it.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{breaker, outlier};
use crate::secret::Secret;

/// A base URL without a path: where an upstream is.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    pub tls: bool,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// At least one. A name stands for every address that DNS has for it.
    pub origins: Vec<Origin>,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    /// How long an idle pooled connection is kept.
    pub idle_timeout: Duration,
    /// Send the client's Host on; otherwise the upstream's own name.
    pub preserve_host: bool,
    /// Requests under way at most; 0: no bound.
    pub max_requests: usize,
    /// How often one request may be tried, the first time included.
    pub attempts: u8,
    pub tls: Tls,
    pub health: Option<Health>,
    pub outlier: Option<outlier::Settings>,
    pub breaker: Option<breaker::Settings>,
}

/// How an https upstream is known, and how we are known to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Certificates in DER that are believed instead of the system's. Empty: the system's.
    pub ca: Vec<Vec<u8>>,
    /// The name that is asked for and that the certificate must have. `None`: the URL's host.
    pub sni: Option<String>,
    /// false: whoever answers is believed.
    pub verify: bool,
    pub client: Option<Client>,
}

/// Our own certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// In DER, the leaf first.
    pub chain: Vec<Vec<u8>>,
    /// In PEM.
    pub key: Secret,
}

/// Asking each address whether it is well.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    pub path: String,
    pub interval: Duration,
    pub timeout: Duration,
    /// Good answers one after another that make an address healthy, and bad ones that make it unhealthy.
    pub healthy_after: u32,
    pub unhealthy_after: u32,
    /// The statuses of a good answer.
    pub status: RangeInclusive<u16>,
}
