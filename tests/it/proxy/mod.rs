//! The proxy as clients and upstreams see it: real processes, and sockets on which every byte is looked at.
//!
//! Its own folder, because what a proxy must not change is a subject for each side of it.

#![allow(
    clippy::disallowed_methods,
    reason = "a test's channel holds what one test sends, and its origin must not wait for the test"
)]

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::support::process::{Ficus, Setup, eventually, free_ports};

mod answers;
mod collectors;
mod corpus;
mod cors;
mod door;
mod gateway_table;
mod headers;
mod http2;
mod observing;
mod policies;
mod rate_limits;
mod refusals;
mod resilience;
mod retries;
mod shared_limits;
mod slow;
mod streaming;
mod strict;
mod tls;
mod traces;
mod transparency;
mod upgrades;
mod upstreams;
mod wire;

/// A proxy that needs no database: whatever it is asked goes to `legacy` or where a route names a side. Its admin port
/// may be up before the proxy's: [`listening`].
fn setup(legacy: SocketAddr, more: &str) -> Setup {
    let config = format!(
        "[flags]\ncold_start = \"legacy\"\n[upstream.legacy]\nurl = \"http://{legacy}\"\n{more}"
    );
    // Nothing listens there, and nothing has to.
    Setup::new("postgres://ficus@127.0.0.1:9/ficus", &config).not_ready()
}

/// An empty route table in front of `legacy`.
async fn transparent(legacy: SocketAddr) -> Ficus {
    in_front_of(legacy, "").await
}

/// The same, told more.
async fn in_front_of(legacy: SocketAddr, more: &str) -> Ficus {
    listening(setup(legacy, more)).await
}

/// Starts it, and waits until the proxy takes connections.
async fn listening(setup: Setup) -> Ficus {
    let ficus = setup.start().await;
    eventually("the proxy listens", || async {
        TcpStream::connect(ficus.proxy).await.ok().map(drop)
    })
    .await;
    ficus
}

/// An address that leaves a SYN without an answer, as a firewall that drops does: its queue is full.
struct Deaf {
    address: SocketAddr,
    _listener: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Deaf {
    async fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("a free port");
        let listener = socket.listen(1).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let (mut waiting, pause) = (Vec::new(), std::time::Duration::from_millis(200));
        while let Ok(one) = tokio::time::timeout(pause, TcpStream::connect(address)).await {
            waiting.push(one.expect("a connection"));
        }
        Self {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }
}

/// A port on which nothing listens, and nothing will for a while.
fn dead_port() -> SocketAddr {
    // Nor does another test's origin later: whoever still asked here would be its first visitor.
    let [port] = free_ports();
    port
}
