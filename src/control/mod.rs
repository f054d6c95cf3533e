//! (skeleton) The admin plane's configuration; the rest is under construction.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What `[control]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
    /// The break-glass socket of a proxy. `None`: `ficus.sock` in the state folder.
    pub socket: Option<PathBuf>,
    /// Where people reach the admin API, for links.
    pub public_url: Option<String>,
}
