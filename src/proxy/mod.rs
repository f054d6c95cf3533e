//! The proxy: routes by flag, forwards, and answers for what an upstream cannot.
//!
//! This file holds the configuration; connections come in at the [`door`], and a request's life is [`gateway`].

pub mod access_log;
mod conform;
mod context;
pub mod cors;
pub mod door;
pub mod edge;
pub mod explain;
mod explain_hold;
mod fields;
mod forward;
pub mod gateway;
pub mod headers;
mod hold;
pub mod in_flight;
pub mod intent;
pub mod limits;
mod outcome;
pub mod policy;
pub mod refusal;
pub mod routes;
pub mod tls;
mod trace;
mod tunnel;
pub mod upstream;
mod visitor;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::flags::{Effect, Side, Sticky};

/// What `[proxy]`, `[upstream.*]`, `[capability.*]` and `[[route]]` say, checked: every upstream that is named exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: Vec<SocketAddr>,
    /// Peers whose identity and forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Worker threads; 0 takes one a core.
    pub threads: usize,
    /// Idle connections to upstreams that each of them keeps.
    pub pool: usize,
    /// How long a stopping proxy waits for requests in flight.
    pub drain: Duration,
    /// Field names leave as they were spelt, and not in lower case.
    pub keep_header_case: bool,
    pub tls: tls::Config,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub rate_limit: limits::Config,
    /// The servers that upstreams' names are asked of. Empty: the system's.
    pub resolvers: Vec<SocketAddr>,
    pub upstreams: BTreeMap<String, upstream::Settings>,
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
    /// Bytes a second that a client must send or take while it is waited for; 0 means no bound.
    pub min_rate: u64,
    /// Bytes of answers that may be held for clients that do not take them; 0 means no bound.
    pub untaken_bytes: u64,
    /// Connections, of everybody and of one address; 0 means no bound.
    pub connections: usize,
    pub connections_per_ip: usize,
    /// Requests under way at most; 0 means no bound.
    pub requests: usize,
    /// Of one tenant; 0 means no bound.
    pub tenant_requests: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    /// How long an idle kept-alive connection is kept.
    pub keepalive: Duration,
    /// From the first byte of a request's head to its last, and for the first byte after a connection.
    pub head: Duration,
    /// The period over which a client that sends a body must keep `min_rate`.
    pub body_read: Duration,
    /// The period over which a client that is sent an answer must.
    pub write: Duration,
    /// How long a tunnel, such as a WebSocket, may be silent in both directions.
    pub tunnel_idle: Duration,
    /// To read what is left of a request body before a connection is used again.
    pub drain_body: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Capability {
    pub effect: Effect,
    /// Names of upstreams.
    pub legacy: String,
    pub modern: String,
    /// Who answers when modern fails, where that can do no harm.
    pub fallback: Fallback,
    /// What its split keeps together. `None`: it moves by tenant.
    pub split_by: Option<Sticky>,
}

/// Who answers in modern's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    Nobody,
    Legacy,
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
    /// What its requests do to the world, whatever their method. `None`: as the capability and the method say.
    pub effect: Option<Effect>,
    /// Who answers what modern says that it does not know.
    pub on_miss: Fallback,
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
