//! What is known of a client's connection, by the socket that guards it and by the gateway that serves it.
//!
//! Its own file, because these two meet only here: pingora stands between them and hands this through untouched.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use pingora::proxy::Session;

/// One for each connection, for as long as it lasts.
#[derive(Debug)]
pub struct Connection {
    /// The other end, as the kernel tells it.
    pub peer: SocketAddr,
    /// Its address alone. A v4 peer on a v6 socket is still the v4 peer that the operator named.
    pub ip: IpAddr,
    /// The same as `X-Forwarded-For` says it, made once for every request of the connection.
    pub forwarded_for: HeaderValue,
    /// The server name of its TLS handshake, lower-case. `None`: without TLS, or the client named none.
    pub sni: Option<String>,
}

impl Connection {
    pub fn new(peer: SocketAddr) -> Self {
        let ip = peer.ip().to_canonical();
        Self {
            peer,
            ip,
            // Digits, letters, dots and colons are a value.
            forwarded_for: HeaderValue::try_from(ip.to_string())
                .unwrap_or(HeaderValue::from_static("unknown")),
            sni: None,
        }
    }

    /// That of a request. `None` only where the request did not come through the door.
    pub fn of(session: &Session) -> Option<&Arc<Self>> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref()
    }
}
