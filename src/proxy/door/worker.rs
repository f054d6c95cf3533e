//! A worker: a thread with a runtime and a proxy of its own, and the connections that it was given.
//!
//! Its own file, because that nothing of a request leaves its thread is what makes it cheap: no work is stolen, no
//! upstream connection is shared, nothing is woken across.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use pingora::apps::HttpServerApp;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Ticket;
use super::conversation::Service;
use super::http2::http2_options;
use super::keeper::Keeper;
use crate::proxy::gateway::Gateway;

/// Accepted connections that a worker has not looked at. It looks at all of them each time it gets to them.
const WAITING: usize = 1024;

/// A connection before anything is read of it.
pub struct Accepted {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub is_tls: bool,
    pub ticket: Ticket,
}

pub struct Worker {
    pub hand: Hand,
    /// Says one word when it has opened all that it needs beside connections, and is closed without one where it could not.
    pub is_ready: oneshot::Receiver<()>,
    /// True when it has heard of the stop: from then on its answers say that they are the last.
    pub is_stopping: watch::Receiver<bool>,
    pub thread: JoinHandle<()>,
}

/// Where a worker takes connections from.
#[derive(Clone)]
pub struct Hand {
    to: mpsc::Sender<Accepted>,
    /// Connections that it has.
    load: Arc<AtomicUsize>,
}

/// All workers, as the one who accepts sees them.
#[derive(Clone)]
pub struct Hands {
    hands: Vec<Hand>,
    /// Where the next look begins: among equals, everybody has a turn.
    next: usize,
}

impl Hands {
    pub fn new(hands: Vec<Hand>) -> Self {
        Self { hands, next: 0 }
    }

    /// Gives the connection to the worker that has the fewest, and waits while that one has no room. An error: it ended.
    pub async fn give(&mut self, accepted: Accepted) -> Result<(), Gone> {
        let loads = self.hands.iter().map(|h| h.load.load(Ordering::Relaxed));
        let place = least(loads, self.next).ok_or(Gone)?;
        self.next = (place + 1) % self.hands.len();
        let hand = &self.hands[place];
        hand.load.fetch_add(1, Ordering::Relaxed);
        hand.to.send(accepted).await.map_err(|_| Gone)
    }
}

/// The worker's thread has ended.
#[derive(Debug)]
pub struct Gone;

/// The place of the smallest, the first from `from` on.
fn least(loads: impl ExactSizeIterator<Item = usize>, from: usize) -> Option<usize> {
    let count = loads.len();
    loads
        .enumerate()
        .min_by_key(|(place, load)| (*load, (place + count - from) % count))
        .map(|(place, _)| place)
}

impl Worker {
    /// Starts the thread. It ends when `stop` is cancelled, no sender is left, and its last connection is closed.
    pub fn start(
        place: usize,
        conf: &Arc<ServerConf>,
        gateway: Gateway,
        keeper: Arc<Keeper>,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let (to, connections) = mpsc::channel(WAITING);
        let load = Arc::new(AtomicUsize::new(0));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let hand = Hand {
            to,
            load: Arc::clone(&load),
        };
        let (stopping, is_stopping) = watch::channel(false);
        let (ready, is_ready) = oneshot::channel();
        let conf = Arc::clone(conf);
        let thread = thread::Builder::new()
            .name(format!("proxy-{place}"))
            .spawn(move || {
                runtime.block_on(serve(
                    conf,
                    (gateway, keeper),
                    connections,
                    load,
                    stop,
                    (ready, stopping),
                ));
            })?;
        Ok(Self {
            hand,
            is_ready,
            is_stopping,
            thread,
        })
    }
}

async fn serve(
    conf: Arc<ServerConf>,
    (gateway, keeper): (Gateway, Arc<Keeper>),
    mut connections: mpsc::Receiver<Accepted>,
    load: Arc<AtomicUsize>,
    stop: CancellationToken,
    (ready, stopping): (oneshot::Sender<()>, watch::Sender<bool>),
) {
    // Bound: one task, which ends after the last connection.
    let counted = CancellationToken::new();
    let counting = gateway.outcomes().map(|outcomes| {
        let counted = counted.clone();
        tokio::spawn(async move { outcomes.tend(counted).await })
    });
    // Made here: pingora's pool of upstream connections belongs to the runtime in which it is used.
    let mut proxy = http_proxy(&conf, gateway);
    let (options, http2) = http2_options(&keeper.edge.load());
    proxy.server_options = Some(options);
    proxy.h2_options = Some(http2);
    let proxy = Arc::new(proxy);
    // Who is told may be gone already, and then nobody sends a connection.
    let _ = ready.send(());
    // Bound: the connections that were accepted, one task each. They end by `stop` or with their request.
    let open = TaskTracker::new();
    let service = Arc::new(Service {
        proxy,
        keeper,
        is_stopping: stopping.subscribe(),
        stop: stop.clone(),
    });
    loop {
        let accepted = tokio::select! {
            accepted = connections.recv() => accepted,
            () = stop.cancelled(), if !*stopping.borrow() => {
                // Answers say from here on that they are the last, and whoever waits inside of pingora is let go.
                service.proxy.http_cleanup().await;
                stopping.send_replace(true);
                continue;
            }
        };
        let Some(accepted) = accepted else { break };
        let held = Held(Arc::clone(&load));
        match tokio::net::TcpStream::from_std(accepted.stream) {
            Ok(stream) => {
                let service = Arc::clone(&service);
                let peer = accepted.peer;
                open.spawn(async move {
                    let _held = (held, accepted.ticket);
                    service.converse(stream, peer, accepted.is_tls).await;
                });
            }
            Err(e) => tracing::debug!(error = %e, "a connection could not be watched"),
        }
    }
    open.close();
    open.wait().await;
    counted.cancel();
    if let Some(counting) = counting {
        let _ = counting.await;
    }
}

/// One connection of a worker's load.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_connection_goes_to_the_worker_with_the_fewest() {
        assert_eq!(least([3, 1, 2].into_iter(), 0), Some(1));
        assert_eq!(least([0; 0].into_iter(), 0), None);
    }

    #[test]
    fn equals_take_turns() {
        let (mut loads, mut next, mut order) = ([0; 3], 0, Vec::new());
        for _ in 0..6 {
            let place = least(loads.into_iter(), next).expect("there are workers");
            loads[place] += 1;
            next = (place + 1) % loads.len();
            order.push(place);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        // Short connections too, though nobody has one for long.
        assert_eq!(least([0; 3].into_iter(), 2), Some(2));
    }
}
