//! A connection's life: requests one after the other, and the waits between them.
//!
//! Its own file, because between two requests a connection should cost next to nothing: while it waits, neither a
//! session of pingora's nor a buffer is held for it.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::{HttpPersistentSettings, HttpServerApp};
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::connection::Connection;
use super::keeper::Keeper;
use super::stream::Guarded;
use super::transport::Transport;
use crate::proxy::gateway::Gateway;

/// A client whose connection was completed just before the stop gets this long to say what it wanted.
const LAST_WORD: Duration = Duration::from_millis(100);

/// In seconds: beyond every deadline of our own, which hold instead of pingora's. The gateway puts the configured time of an
/// idle connection in its place, for the client to be told.
const LONG: u64 = 24 * 3600;

/// What each connection of a worker needs.
pub struct Service {
    pub proxy: Arc<HttpProxy<Gateway>>,
    pub keeper: Arc<Keeper>,
    /// As pingora wants to be told.
    pub is_stopping: ShutdownWatch,
    pub stop: CancellationToken,
}

impl Service {
    /// Answers what comes until either side has had enough.
    pub async fn converse(&self, stream: TcpStream, peer: SocketAddr) {
        let connection = Arc::new(Connection::new(peer));
        let keeper = Arc::clone(&self.keeper);
        let mut stream = Box::new(Guarded::new(Transport::Tcp(stream), connection, keeper));
        let mut waits = Waits {
            stop: pin!(self.stop.cancelled()),
            alarm: pin!(sleep(self.keeper.edge.load().timeouts.head)),
        };
        let mut settings: Option<HttpPersistentSettings> = None;
        loop {
            let is_new = settings.is_none();
            let patience = {
                let edge = self.keeper.edge.load();
                match is_new {
                    true => edge.timeouts.head,
                    false => edge.timeouts.keepalive,
                }
            };
            if !waits.for_request(&stream, patience, is_new).await {
                return;
            }
            if !is_new {
                stream.begin_head(Instant::now().into_std());
            }
            let mut session = ServerSession::new_http1(stream);
            match settings.take() {
                Some(settings) => settings.apply_to_session(&mut session),
                None => session.set_keepalive(Some(LONG)),
            }
            match self.stop.is_cancelled() {
                true => session.set_keepalive(None),
                // Or it would be a deadline for each piece of the head.
                false => session.set_keepalive(Some(LONG)),
            }
            let done = self.proxy.process_new_http(session, &self.is_stopping);
            let Some((back, kept)) = done.await.map(|reusable| reusable.consume()) else {
                return;
            };
            let Ok(own) = back.into_any().downcast::<Guarded>() else {
                return;
            };
            (stream, settings) = (own, kept);
            if stream.has_more() {
                return stream.part().await;
            }
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
    /// Whether there is something to read within `patience`, which may be the end, before the proxy stops.
    async fn for_request(&mut self, stream: &Guarded, patience: Duration, is_new: bool) -> bool {
        let until = Instant::now() + patience;
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
