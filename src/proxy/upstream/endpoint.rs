//! One address of an upstream: the peer that is prepared once and copied for each request, and what is known of it.
//!
//! Its own file, because every timeout that pingora leaves open is closed here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::HttpPeer;

use super::outlier::Record;
use super::settings::{Health, Origin, Settings};
use super::tls::Identity;
use crate::proxy::tunnel::Tunnels;

/// A peer that vanished without a word is noticed within a minute.
pub fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(30),
        interval: Duration::from_secs(10),
        count: 3,
        user_timeout: Duration::from_secs(60),
    }
}

#[derive(Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// `Host` towards an upstream that does not get the client's.
    pub authority: HeaderValue,
    /// The place of its origin among the upstream's.
    pub origin: usize,
    peer: HttpPeer,
    connect_timeout: Duration,
    in_flight: AtomicUsize,
    pub record: Record,
    /// What the checks say; healthy until they say otherwise.
    unhealthy: AtomicBool,
    /// Checks one after another that said the opposite.
    against: AtomicU32,
}

impl Endpoint {
    pub fn new(
        address: SocketAddr,
        origin: (usize, &Origin),
        settings: &Settings,
        tls: &Identity,
    ) -> Self {
        let (place, origin) = origin;
        // Without TLS nobody reads it, and an empty text is copied for nothing.
        let sni = match origin.tls {
            true => settings.tls.sni.clone().unwrap_or(origin.host.clone()),
            false => String::new(),
        };
        let mut peer = HttpPeer::new(address, origin.tls, sni);
        let options = &mut peer.options;
        options.connection_timeout = Some(settings.connect_timeout);
        // With TLS the handshake counts too: twice the time to connect.
        options.total_connection_timeout = Some(settings.connect_timeout * 2);
        options.read_timeout = Some(settings.read_timeout);
        options.write_timeout = Some(settings.write_timeout);
        options.idle_timeout = Some(settings.idle_timeout);
        options.tcp_keepalive = Some(TcpKeepalive {
            // What is sent and not acknowledged for so long, on a connection whose other end is gone without a word, has not
            // arrived: the kernel says so before the read would time out, and the request may be tried elsewhere.
            user_timeout: settings.write_timeout,
            ..keepalive()
        });
        if origin.tls {
            tls.dress(&mut peer, &settings.tls);
        }
        Self {
            address,
            authority: authority(origin),
            origin: place,
            peer,
            connect_timeout: settings.connect_timeout,
            in_flight: AtomicUsize::new(0),
            record: Record::default(),
            unhealthy: AtomicBool::new(false),
            against: AtomicU32::new(0),
        }
    }

    /// A copy of the prepared peer, as pingora wants it.
    pub fn peer(&self) -> Box<HttpPeer> {
        Box::new(self.peer.clone())
    }

    /// One whose connection no other request has used or will use: where pooled ones have proved dead, and for checks.
    pub fn fresh_peer(&self) -> Box<HttpPeer> {
        let mut peer = self.peer();
        peer.group_key = rand::random();
        peer.options.idle_timeout = Some(Duration::from_millis(1));
        peer
    }

    /// A peer for one request that asks for another protocol.
    pub fn tunnel(&self) -> Box<HttpPeer> {
        // Where the upstream refuses, the connection is of no use to anybody else.
        let mut peer = self.fresh_peer();
        peer.options.tcp_keepalive = None;
        // A tunnel may be silent for longer than an answer: see `Tunnels`.
        let answer = peer.options.read_timeout.take();
        peer.options.custom_l4 = Some(Arc::new(Tunnels {
            connect_timeout: self.connect_timeout,
            answer,
        }));
        peer
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Relaxed)
    }

    /// Takes note of a check. Answers whether it changed what is known. Only one task calls this.
    pub fn checked(&self, is_good: bool, health: &Health) -> bool {
        if is_good == self.is_healthy() {
            self.against.store(0, Ordering::Relaxed);
            return false;
        }
        let needed = if is_good {
            health.healthy_after
        } else {
            health.unhealthy_after
        };
        let against = self.against.fetch_add(1, Ordering::Relaxed) + 1;
        if against < needed {
            return false;
        }
        self.against.store(0, Ordering::Relaxed);
        self.unhealthy.store(!is_good, Ordering::Relaxed);
        true
    }

    /// Whether requests may go to it.
    pub fn is_ready(&self, now: u64) -> bool {
        self.is_healthy() && self.record.out_until(now).is_none()
    }
}

fn authority(origin: &Origin) -> HeaderValue {
    let host = match origin.host.contains(':') {
        true => format!("[{}]", origin.host),
        false => origin.host.clone(),
    };
    let default_port = if origin.tls { 443 } else { 80 };
    let authority = match origin.port == default_port {
        true => host,
        false => format!("{host}:{}", origin.port),
    };
    // The configuration has checked that the host is one.
    HeaderValue::try_from(authority).unwrap_or(HeaderValue::from_static("invalid"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{origin, settings};
    use super::*;

    fn endpoint() -> Endpoint {
        let settings = settings(&["http://127.0.0.1:8000"]);
        let address = "127.0.0.1:8000".parse().expect("an address");
        Endpoint::new(
            address,
            (0, &settings.origins[0]),
            &settings,
            &Identity::default(),
        )
    }

    #[test]
    fn one_bad_check_is_no_verdict_and_one_good_one_no_pardon() {
        let (endpoint, health) = (
            endpoint(),
            Health {
                path: "/".to_owned(),
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                healthy_after: 2,
                unhealthy_after: 3,
                status: 200..=299,
            },
        );
        let checks = [
            (false, true),
            (false, true),
            (true, true),
            (false, true),
            (false, true),
            (false, false),
            (true, false),
            (false, false),
            (true, false),
            (true, true),
        ];
        for (place, (is_good, healthy)) in checks.into_iter().enumerate() {
            endpoint.checked(is_good, &health);
            assert_eq!(endpoint.is_healthy(), healthy, "after check {place}");
        }
    }

    #[test]
    fn the_port_of_the_scheme_is_not_said() {
        let table = [
            ("http://a", "a"),
            ("http://a:8000", "a:8000"),
            ("https://a", "a"),
            ("https://a:80", "a:80"),
            ("http://[::1]:8000", "[::1]:8000"),
        ];
        for (url, expected) in table {
            assert_eq!(authority(&origin(url)), expected);
        }
    }

    #[test]
    fn a_fresh_peer_shares_no_connection() {
        use pingora::upstreams::peer::Peer;
        let endpoint = endpoint();
        assert_eq!(endpoint.peer().reuse_hash(), endpoint.peer().reuse_hash());
        assert_ne!(
            endpoint.peer().reuse_hash(),
            endpoint.fresh_peer().reuse_hash()
        );
    }
}
