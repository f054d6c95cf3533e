//! The ports of the demo's servers.
//!
//! Its own file, so that a machine on which some of them are taken is no special case anywhere else.

use std::net::{Ipv4Addr, TcpListener};

/// One for each thing that listens.
pub struct Ports {
    pub proxy_a: u16,
    pub proxy_b: u16,
    pub admin: u16,
    /// Of proxy-b, which has no admin API.
    pub health_b: u16,
    /// Of the modern services, which have none either.
    pub health_modern: u16,
    pub dashboard: u16,
    pub engine: u16,
    pub legacy: u16,
    pub smtp: u16,
    pub mail_page: u16,
}

impl Ports {
    /// Those that the documentation names where they are free, and any others where not.
    pub fn choose() -> anyhow::Result<Self> {
        let mut taken = Vec::new();
        let mut choose = |preferred| -> anyhow::Result<u16> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, preferred))
                .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
            let port = listener.local_addr()?.port();
            // Held until all are chosen, so that no two are the same.
            taken.push(listener);
            Ok(port)
        };
        Ok(Self {
            proxy_a: choose(8080)?,
            proxy_b: choose(8081)?,
            admin: choose(8090)?,
            health_b: choose(8091)?,
            health_modern: choose(8094)?,
            dashboard: choose(8092)?,
            engine: choose(8093)?,
            legacy: choose(8500)?,
            smtp: choose(1025)?,
            mail_page: choose(8025)?,
        })
    }
}
