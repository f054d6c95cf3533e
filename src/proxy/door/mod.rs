//! The door: where connections come in, and where they are let go.
//!
//! Its own folder, because pingora's own server knows no caps, no deadline for a whole head and no thread that keeps
//! its connections: [`listen`] binds and accepts on one thread; each [`worker`] is a thread with a runtime and upstream
//! connections of its own; a [`conversation`] is a connection's life there, [`stream`] its socket as pingora drives it, over
//! a [`transport`]; and [`connection`] is what the socket and the gateway both know.

mod admission;
mod alarm;
pub mod backlog;
pub mod body;
pub mod connection;
mod conversation;
mod farewell;
mod field;
pub mod flaw;
mod frames;
pub mod head;
pub mod http2;
mod inbound;
mod keeper;
mod listen;
mod outbound;
mod pace;
mod sample;
mod stream;
mod streams;
mod transport;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use pingora::server::configuration::ServerConf;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::Config;
use super::gateway::Gateway;
use admission::Admission;
use keeper::Keeper;
use listen::{Listener, accept};
use worker::{Hands, Worker};

/// Bound and ready to serve: who connects already waits in the kernel.
pub struct Door {
    listeners: Vec<Listener>,
    threads: usize,
    pool: usize,
    gateway: Gateway,
}

impl Door {
    /// Takes the addresses, those that `inherited` has from there, or says which one cannot be had and why.
    pub fn bind(
        config: &Config,
        gateway: Gateway,
        mut inherited: impl FnMut(SocketAddr) -> Option<OwnedFd>,
    ) -> anyhow::Result<Self> {
        let mut listen = |key: &str, address: SocketAddr, is_tls| {
            match inherited(address) {
                Some(socket) => Listener::inherit(socket, is_tls),
                None => Listener::bind(address, is_tls),
            }
            .with_context(|| format!("{key}: cannot listen on {address}"))
        };
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.push(listen("proxy.listen", *address, false)?);
        }
        for address in &config.tls.listen {
            listeners.push(listen("proxy.tls.listen", *address, true)?);
        }
        Ok(Self {
            listeners,
            threads: match config.threads {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                threads => threads,
            },
            pool: config.pool,
            gateway,
        })
    }

    /// Where it listens: the ports that the kernel chose for port 0.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// Its sockets once more, in the order of the configuration, those without TLS first, for a successor.
    pub fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        self.listeners.iter().map(Listener::share).collect()
    }

    /// Serves until `stop`; then takes what has already connected, and returns when the last connection is done with its
    /// request. A tunnel may last for as long as it likes: who cannot wait drops the thread that is in here. Blocks.
    pub fn run(self, stop: CancellationToken) -> io::Result<()> {
        let conf = Arc::new(pingora_conf(self.pool));
        let metrics = self.gateway.metrics();
        let keeper = Arc::new(Keeper::new(self.gateway.edge(), metrics));
        let admission = Arc::new(Admission::new(metrics.connections.clone()));
        let workers: io::Result<Vec<Worker>> = (0..self.threads)
            .map(|place| {
                let (gateway, keeper) = (self.gateway.clone(), Arc::clone(&keeper));
                Worker::start(place, &conf, gateway, keeper, stop.child_token())
            })
            .collect();
        let mut workers = workers?;
        let hands = Hands::new(workers.iter().map(|w| w.hand.clone()).collect());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            // pingora reads the system's certificates when it is made, and panics where it cannot. A crowd that is let in
            // before has the descriptors that this takes.
            for worker in &mut workers {
                (&mut worker.is_ready)
                    .await
                    .map_err(|_| io::Error::other("a worker of the proxy could not start"))?;
            }
            let loops = self.listeners.into_iter();
            let done = try_join_all(
                loops.map(|l| accept(l, (&keeper, &admission), hands.clone(), stop.clone())),
            )
            .await?;
            for worker in &mut workers {
                let _ = worker.is_stopping.wait_for(|is| *is).await;
            }
            // Only now are the ports given up: who finds one closed can rely on it that the rest has heard.
            drop(done);
            io::Result::Ok(())
        })?;
        drop(hands);
        for worker in workers {
            // The last sender: the worker sees that nothing more comes.
            drop(worker.hand);
            if worker.thread.join().is_err() {
                tracing::error!("a worker of the proxy panicked");
            }
        }
        Ok(())
    }
}

/// What pingora reads of it in a proxy without a server.
fn pingora_conf(pool: usize) -> ServerConf {
    ServerConf {
        // Of each of ours: it shares nothing.
        threads: 1,
        upstream_keepalive_pool_size: pool,
        // How often is decided by `failover`; this is only where pingora would stop by itself.
        max_retries: super::upstream::MOST_ATTEMPTS,
        ..ServerConf::default()
    }
}

/// After an accept that failed for want of descriptors or memory: long enough for some to come back, short enough that
/// nobody who waits in the kernel's queue gives up.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
