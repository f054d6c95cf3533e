//! (skeleton) The configuration; the rest is under construction.

use std::net::SocketAddr;

/// What `[dashboard]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
}
