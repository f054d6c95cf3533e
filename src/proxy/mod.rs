//! The proxy: routes by flag, forwards, and answers for what an upstream cannot.
//!
//! This file holds the configuration; connections come in at the [`door`], and a request's life is [`gateway`].

pub mod access_log;
mod context;
pub mod cors;
pub mod door;
pub mod edge;
pub mod explain;
mod fields;
mod forward;
pub mod gateway;
pub mod headers;
pub mod limits;
pub mod policy;
pub mod refusal;
pub mod routes;
mod tunnel;
pub mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::flags::{Effect, Side};

/// What `[proxy]`, `[upstream.*]`, `[capability.*]` and `[[route]]` say, checked: every upstream that is named exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: Vec<SocketAddr>,
    /// Peers whose identity and forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Worker threads; 0 takes one a core.
    pub threads: usize,
    /// How long a stopping proxy waits for requests in flight.
    pub drain: Duration,
    /// Field names leave as they were spelt, and not in lower case.
    pub keep_header_case: bool,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub rate_limit: limits::Config,
    pub upstreams: BTreeMap<String, Upstream>,
    pub capabilities: BTreeMap<String, Capability>,
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Header fields in a request head.
    pub header_count: usize,
    /// Bytes of a request head: names and values.
    pub header_bytes: usize,
    /// Bytes of the request target.
    pub uri_bytes: usize,
    /// Bytes of a request body; 0 means no bound.
    pub body_bytes: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    /// How long an idle kept-alive connection is kept.
    pub keepalive: Duration,
    /// Between two reads of a request body.
    pub body_read: Duration,
    /// For a client to take what is written to it.
    pub write: Duration,
    /// To read what is left of a request body before a connection is used again.
    pub drain_body: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    /// How long an idle pooled connection is kept.
    pub idle_timeout: Duration,
    /// Send the client's Host on; otherwise the upstream's own name.
    pub preserve_host: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Capability {
    pub effect: Effect,
    /// Names of upstreams.
    pub legacy: String,
    pub modern: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// A matchit pattern: `/a/{b}`, `/a/{*rest}`.
    pub path: String,
    /// Empty: every method.
    pub methods: Vec<http::Method>,
    /// Lower-case, without port. `None`: every host.
    pub host: Option<String>,
    pub target: RouteTarget,
    pub policy: policy::RoutePolicy,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RouteTarget {
    /// The flag of this capability decides.
    Capability(String),
    /// Always this side of the upstreams `legacy` and `modern`.
    Side(Side),
    /// Always this upstream, by its name.
    Upstream(String),
}
