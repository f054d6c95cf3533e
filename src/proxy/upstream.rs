//! An upstream as pingora connects to it: a peer that is prepared once and copied for each request.
//!
//! Its own file, because every timeout that pingora leaves open is closed here, and because a name is
//! resolved here and never in a request's path.

use std::net::SocketAddr;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::HttpPeer;
use std::sync::Arc;

use super::Upstream as Config;
use super::tunnel::Tunnels;

/// A name is looked up again this often; an address that stops resolving keeps its last answer.
pub const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// A peer that vanished without a word is noticed within a minute.
pub fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(30),
        interval: Duration::from_secs(10),
        count: 3,
        user_timeout: Duration::from_secs(60),
    }
}

pub struct Upstream {
    pub name: String,
    pub config: Config,
    /// `Host` towards an upstream that does not get the client's.
    pub authority: http::HeaderValue,
    /// `None` until the name resolves for the first time.
    peer: ArcSwapOption<HttpPeer>,
}

impl Upstream {
    pub fn new(name: &str, config: &Config) -> Self {
        let default_port = if config.tls { 443 } else { 80 };
        let host = match config.host.contains(':') {
            true => format!("[{}]", config.host),
            false => config.host.clone(),
        };
        let authority = match config.port == default_port {
            true => host,
            false => format!("{host}:{}", config.port),
        };
        let upstream = Self {
            name: name.to_owned(),
            config: config.clone(),
            // The configuration has checked that the host is one.
            authority: http::HeaderValue::try_from(authority)
                .unwrap_or(http::HeaderValue::from_static("invalid")),
            peer: ArcSwapOption::empty(),
        };
        if let Some(ip) = upstream.literal() {
            upstream.point_to(SocketAddr::new(ip, config.port));
        }
        upstream
    }

    fn literal(&self) -> Option<std::net::IpAddr> {
        self.config.host.parse().ok()
    }

    /// Whether the host is a name that has to be looked up.
    pub fn is_named(&self) -> bool {
        self.literal().is_none()
    }

    /// Looks the name up. Answers what went wrong, for the log.
    pub async fn resolve(&self) -> Result<(), String> {
        let found = tokio::net::lookup_host((self.config.host.as_str(), self.config.port)).await;
        let address = found
            .map_err(|e| e.to_string())?
            .next()
            .ok_or("it has no address")?;
        if self
            .peer
            .load()
            .as_ref()
            .and_then(|p| p._address.as_inet().copied())
            != Some(address)
        {
            self.point_to(address);
        }
        Ok(())
    }

    fn point_to(&self, address: SocketAddr) {
        let mut peer = HttpPeer::new(address, self.config.tls, self.config.host.clone());
        let options = &mut peer.options;
        options.connection_timeout = Some(self.config.connect_timeout);
        // With TLS the handshake counts too: twice the time to connect.
        options.total_connection_timeout = Some(self.config.connect_timeout * 2);
        options.read_timeout = Some(self.config.read_timeout);
        options.write_timeout = Some(self.config.write_timeout);
        options.idle_timeout = Some(self.config.idle_timeout);
        // A peer that vanished without a word is noticed within a minute.
        options.tcp_keepalive = Some(keepalive());
        self.peer.store(Some(Arc::new(peer)));
    }

    /// A copy of the prepared peer, as pingora wants it.
    pub fn peer(&self) -> Option<Box<HttpPeer>> {
        self.peer
            .load()
            .as_ref()
            .map(|peer| Box::new(HttpPeer::clone(peer)))
    }

    /// A peer for one request that asks for another protocol.
    pub fn tunnel(&self) -> Option<Box<HttpPeer>> {
        let mut peer = self.peer()?;
        // Where the upstream refuses, the connection is of no use to anybody else.
        peer.group_key = rand::random();
        peer.options.idle_timeout = Some(Duration::from_millis(1));
        peer.options.tcp_keepalive = None;
        peer.options.custom_l4 = Some(Arc::new(Tunnels {
            connect_timeout: self.config.connect_timeout,
        }));
        Some(peer)
    }
}
