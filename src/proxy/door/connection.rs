//! What is known of a client's connection, by the socket that guards it and by the gateway that serves it.
//!
//! Its own file, because these two meet only here: pingora stands between them and hands this through untouched.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use pingora::proxy::Session;

use super::flaw::Flaw;
use crate::proxy::refusal::Refusal;

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
    /// It has become a tunnel, in which another protocol is spoken.
    is_tunnel: AtomicBool,
    /// Something came after the request that is being answered, and before its answer.
    has_more: AtomicBool,
    /// What was found to be wrong when it was too late for an answer from the door itself.
    flaw: OnceLock<Flaw>,
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
            is_tunnel: AtomicBool::new(false),
            has_more: AtomicBool::new(false),
            flaw: OnceLock::new(),
        }
    }

    /// The upstream has agreed to another protocol.
    pub fn begin_tunnel(&self) {
        self.is_tunnel.store(true, Ordering::Relaxed);
    }

    pub fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }

    pub(super) fn set_more(&self) {
        self.has_more.store(true, Ordering::Relaxed);
    }

    /// Whether this answer must be the last: what follows the request cannot be told from a part of it.
    pub fn has_more(&self) -> bool {
        self.has_more.load(Ordering::Relaxed)
    }

    pub(super) fn set_flaw(&self, flaw: Flaw) {
        let _ = self.flaw.set(flaw);
    }

    pub(super) fn flaw(&self) -> Option<Flaw> {
        self.flaw.get().copied()
    }

    /// What the client is told where the door broke its request off.
    pub fn broken_off(&self) -> Option<Refusal> {
        self.flaw().map(Flaw::refusal)
    }

    /// That of a request. `None` only where the request did not come through the door.
    pub fn of(session: &Session) -> Option<&Arc<Self>> {
        let digest = session.digest()?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref()
    }
}
