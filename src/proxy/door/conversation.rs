//! A connection's life: requests one after the other, and the waits between them.
//!
//! Its own file, because between two requests a connection should cost next to nothing: while it waits, neither a
//! session of pingora's nor a buffer is held for it.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::apps::{HttpPersistentSettings, HttpServerApp};
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::connection::Connection;
use super::stream::Guarded;
use super::transport::Transport;
use crate::proxy::edge::Edge;
use crate::proxy::gateway::Gateway;

/// A client whose connection was completed just before the stop gets this long to say what it wanted.
const LAST_WORD: Duration = Duration::from_millis(100);

/// What each connection of a worker needs.
pub struct Service {
    pub proxy: Arc<HttpProxy<Gateway>>,
    pub edge: Arc<ArcSwap<Edge>>,
    /// As pingora wants to be told.
    pub is_stopping: ShutdownWatch,
    pub stop: CancellationToken,
}

impl Service {
    /// Answers what comes until either side has had enough.
    pub async fn converse(&self, stream: TcpStream, peer: SocketAddr) {
        let connection = Arc::new(Connection::new(peer));
        let mut stream = Box::new(Guarded::new(Transport::Tcp(stream), connection));
        let mut waits = Waits {
            stop: pin!(self.stop.cancelled()),
            alarm: pin!(sleep(self.edge.load().timeouts.keepalive)),
        };
        let mut settings: Option<HttpPersistentSettings> = None;
        loop {
            let is_new = settings.is_none();
            let keepalive = self.edge.load().timeouts.keepalive;
            if !waits.for_request(&stream, keepalive, is_new).await {
                return;
            }
            let mut session = ServerSession::new_http1(stream);
            match settings.take() {
                Some(settings) => settings.apply_to_session(&mut session),
                // The gateway puts the configured time in the place of this one.
                None => session.set_keepalive(Some(60)),
            }
            if self.stop.is_cancelled() {
                session.set_keepalive(None);
            }
            let done = self.proxy.process_new_http(session, &self.is_stopping);
            let Some((back, kept)) = done.await.map(|reusable| reusable.consume()) else {
                return;
            };
            let Ok(own) = back.into_any().downcast::<Guarded>() else {
                return;
            };
            (stream, settings) = (own, kept);
            stream.rest();
        }
    }
}

/// What a connection between two requests waits for, besides the next one. Made once for the connection: to arm a timer
/// for each request would cost a request more than the wait itself.
struct Waits<'s, 'p> {
    stop: Pin<&'p mut WaitForCancellationFuture<'s>>,
    alarm: Pin<&'p mut Sleep>,
}

impl Waits<'_, '_> {
    /// Whether there is something to read within `keepalive`, which may be the end, before the proxy stops.
    async fn for_request(&mut self, stream: &Guarded, keepalive: Duration, is_new: bool) -> bool {
        let until = Instant::now() + keepalive;
        loop {
            tokio::select! {
                biased;
                readable = stream.readable() => return readable.is_ok(),
                () = self.stop.as_mut() => {
                    return is_new && matches!(timeout(LAST_WORD, stream.readable()).await, Ok(Ok(())));
                }
                // It was set for an earlier wait.
                () = self.alarm.as_mut() => match Instant::now() >= until {
                    true => return false,
                    false => self.alarm.as_mut().reset(until),
                }
            }
        }
    }
}
