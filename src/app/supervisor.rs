//! What a service manager is told of this process: systemd's notifications.
//!
//! Its own file, because it is a protocol of one datagram (sd_notify(3)), and silent where nobody asked.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says that this process serves, and that it is the main one: after an upgrade it is not the one that was started.
pub fn tell_ready() {
    tell(&format!("READY=1\nMAINPID={}\n", std::process::id()));
}

pub fn tell_stopping() {
    tell("STOPPING=1\n");
}

fn tell(state: &str) {
    let Ok(socket) = std::env::var("NOTIFY_SOCKET") else {
        return;
    };
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&socket),
    };
    let told = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(e) = told {
        tracing::warn!(error = %e, "the service manager cannot be told");
    }
}
