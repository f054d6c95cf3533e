//! How many connections there may be, of everybody and of one address.
//!
//! Its own file, because both counts must come down again however a connection ends: who is let in holds a ticket.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

use super::flaw::Flaw;
use crate::proxy::Limits;

#[derive(Debug, Default)]
pub struct Admission {
    total: AtomicUsize,
    /// Taken once when a connection is made and once when it ends, never for a request, and never over an await.
    by_address: Mutex<HashMap<IpAddr, usize>>,
    open: Gauge,
}

/// One connection. Dropped, it is counted no more.
#[derive(Debug)]
pub struct Ticket {
    of: Arc<Admission>,
    /// The address on whose account it stands.
    address: Option<IpAddr>,
}

impl Admission {
    pub fn new(open: Gauge) -> Self {
        Self {
            open,
            ..Self::default()
        }
    }

    /// Lets one in, unless there are too many. `is_trusted`: a load balancer, whose address stands for many clients.
    pub fn enter(
        self: &Arc<Self>,
        ip: IpAddr,
        is_trusted: bool,
        limits: &Limits,
    ) -> Result<Ticket, Flaw> {
        if limits.connections > 0 && self.total.load(Ordering::Relaxed) >= limits.connections {
            return Err(Flaw::Connections);
        }
        let address = (limits.connections_per_ip > 0 && !is_trusted).then(|| account(ip));
        if let Some(address) = address {
            let mut by_address = self
                .by_address
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let count = by_address.entry(address).or_default();
            if *count >= limits.connections_per_ip {
                return Err(Flaw::ConnectionsOfOne);
            }
            *count += 1;
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        self.open.inc();
        Ok(Ticket {
            of: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.of.total.fetch_sub(1, Ordering::Relaxed);
        self.of.open.dec();
        let Some(address) = self.address else { return };
        let mut by_address = self
            .of
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

/// An IPv6 client has 2^64 addresses of its own: its network counts as one.
fn account(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: usize, connections_per_ip: usize) -> Limits {
        Limits {
            header_count: 1,
            header_bytes: 1,
            uri_bytes: 1,
            body_bytes: 0,
            min_rate: 0,
            untaken_bytes: 0,
            connections,
            connections_per_ip,
            requests: 0,
            tenant_requests: 0,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn there_is_room_again_when_one_has_left() {
        let door = Arc::new(Admission::default());
        let limits = limits(3, 2);
        let enter = |address: &str| door.enter(ip(address), false, &limits);
        let (first, _second) = (enter("10.0.0.1").expect("room"), enter("10.0.0.1"));
        assert_eq!(enter("10.0.0.1").unwrap_err(), Flaw::ConnectionsOfOne);
        let _other = enter("10.0.0.2").expect("room");
        assert_eq!(enter("10.0.0.3").unwrap_err(), Flaw::Connections);
        drop(first);
        assert!(enter("10.0.0.1").is_ok());
    }

    #[test]
    fn a_network_of_version_6_is_one_client_and_a_load_balancer_is_many() {
        let door = Arc::new(Admission::default());
        let limits = limits(0, 1);
        let _one = door.enter(ip("2001:db8::1"), false, &limits).expect("room");
        assert!(door.enter(ip("2001:db8::ffff"), false, &limits).is_err());
        let _next = door
            .enter(ip("2001:db8:0:1::1"), false, &limits)
            .expect("room");
        let _many: Vec<_> = (0..9)
            .map(|_| door.enter(ip("10.0.0.1"), true, &limits).expect("room"))
            .collect();
    }

    #[test]
    fn nothing_is_left_of_those_who_left() {
        let door = Arc::new(Admission::default());
        drop(
            door.enter(ip("10.0.0.1"), false, &limits(9, 9))
                .expect("room"),
        );
        assert_eq!(door.total.load(Ordering::Relaxed), 0);
        assert!(door.by_address.lock().expect("unpoisoned").is_empty());
    }
}
