//! The proxy: routes by flag, forwards, and answers for what an upstream cannot.
//!
//! This file holds the configuration and puts the pingora service together; a request's life is [`gateway`].

pub mod access_log;
mod context;
pub mod edge;
pub mod explain;
mod forward;
pub mod gateway;
pub mod headers;
pub mod policy;
pub mod refusal;
pub mod routes;
mod tunnel;
pub mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use pingora::listeners::TcpSocketOptions;
use pingora::proxy::http_proxy_service_with_name;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use tokio_util::sync::CancellationToken;

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
    pub limits: Limits,
    pub timeouts: Timeouts,
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

/// Puts the pingora server together. It is run by [`Running::run`] on a thread of its own, since pingora brings its
/// own runtimes and may not be started inside another.
pub fn server(config: &Config, gateway: gateway::Gateway) -> Running {
    let threads = match config.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let conf = ServerConf {
        threads,
        // Idle connections kept a worker thread; below the peak, connections are closed and opened again.
        upstream_keepalive_pool_size: 1024,
        // One attempt, and one more where pingora's own rule allows it: idempotent, buffered, on a reused connection.
        max_retries: 2,
        // We wait for the requests in flight ourselves and leave as soon as the last one is answered.
        grace_period_seconds: Some(config.drain.as_secs() + 60),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service_with_name(&server.configuration, gateway, "proxy");
    for listen in &config.listen {
        let mut options = TcpSocketOptions::default();
        options.tcp_keepalive = Some(upstream::keepalive());
        service.add_tcp_with_settings(&listen.to_string(), options);
    }
    server.add_service(service);
    Running(server)
}

/// A proxy that is ready to run.
pub struct Running(Server);

impl Running {
    /// Serves until `stop`, then takes no more connections and goes on with the requests in flight. Blocks for longer
    /// than anybody should wait: the caller counts the requests and ends the process.
    pub fn run(self, stop: CancellationToken) {
        self.0.run(RunArgs {
            shutdown_signal: Box::new(Stop(stop)),
        });
    }
}

struct Stop(CancellationToken);

#[async_trait::async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        self.0.cancelled().await;
        ShutdownSignal::GracefulTerminate
    }
}
