//! A client's socket as pingora drives it.
//!
//! Its own file, because every byte from and to a client passes here, before pingora has looked at it. Nothing is
//! buffered on the way in: pingora reads a head and a body into buffers of its own, large enough for one call each.

mod digests;
mod writing;

use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pingora::http::ResponseHeader;
use pingora::protocols::SocketDigest;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use tokio::io::{AsyncRead, ReadBuf};

use crate::proxy::door::alarm::Alarm;
use crate::proxy::door::backlog::Held;
use crate::proxy::door::connection::Connection;
use crate::proxy::door::farewell::Farewell;
use crate::proxy::door::flaw::Flaw;
use crate::proxy::door::inbound::{Deadlines, Inbound};
use crate::proxy::door::keeper::Keeper;
use crate::proxy::door::outbound::Outbound;
use crate::proxy::door::pace::Pace;
use crate::proxy::door::streams::Streams;
use crate::proxy::door::transport::Transport;

#[derive(Debug)]
pub struct Guarded {
    transport: Transport,
    keeper: Arc<Keeper>,
    connection: Arc<Connection>,
    inbound: Inbound,
    /// `None`: HTTP/1 is spoken.
    streams: Option<Box<Streams>>,
    outbound: Outbound,
    /// For the client to send, and to take: set only while it is waited for.
    read_alarm: Alarm,
    write_alarm: Alarm,
    taking: Pace,
    /// What the client had acknowledged when the period of `taking` began.
    taken: u64,
    /// Its answer waits for it, and takes room meanwhile.
    held: Option<Held>,
    farewell: Option<Farewell>,
    proxy_digest: Arc<ProxyDigest>,
    socket_digest: Arc<SocketDigest>,
    tls_digest: Option<Arc<SslDigest>>,
}

impl Guarded {
    pub fn new(transport: Transport, connection: Arc<Connection>, keeper: Arc<Keeper>) -> Self {
        let socket_digest = SocketDigest::from_raw_fd(transport.socket().as_raw_fd());
        // Known from accept: pingora would ask the kernel again for each request.
        let _ = socket_digest
            .peer_addr
            .set(Some(SocketAddr::Inet(connection.peer)));
        Self {
            tls_digest: transport.digest().map(Arc::new),
            transport,
            keeper,
            inbound: Inbound::new(Instant::now()),
            streams: None,
            outbound: Outbound::default(),
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
            taking: Pace::default(),
            taken: 0,
            held: None,
            farewell: None,
            proxy_digest: Arc::new(ProxyDigest::new(
                Box::new(ResponseHeader::from(http::Response::new(()).into_parts().0)),
                Some(Box::new(Arc::clone(&connection))),
            )),
            connection,
            socket_digest: Arc::new(socket_digest),
        }
    }

    /// See [`Transport::readable`].
    pub async fn readable(&mut self) -> io::Result<()> {
        self.transport.readable().await
    }

    /// Gives back what only a request in progress needs, and awaits the next head.
    pub fn rest(&mut self) {
        self.outbound.rest();
        self.taking.reset();
        self.inbound = Inbound::new(Instant::now());
    }

    /// The next head begins: from now on, the whole of it has its deadline.
    pub fn begin_head(&mut self, now: Instant) {
        self.inbound = Inbound::new(now);
    }

    /// From here on frames of HTTP/2 are exchanged, which another reader checks.
    pub fn begin_http2(&mut self) {
        self.inbound.begin_tunnel(Instant::now());
        self.streams = Some(Box::default());
    }

    /// Whether bytes came after the request's end, so that no other may follow it.
    pub fn has_more(&self) -> bool {
        self.inbound.has_more
    }

    /// Ends the connection so that the client sees all that was sent.
    pub async fn part(&mut self) {
        std::future::poll_fn(|cx| self.poll_farewell(cx, Vec::new())).await;
    }

    fn poll_farewell(&mut self, cx: &mut Context<'_>, words: Vec<u8>) -> Poll<()> {
        let farewell = self.farewell.get_or_insert_with(|| {
            let mut all = self.outbound.take();
            all.extend_from_slice(&words);
            Farewell::new(all, self.keeper.edge.load().timeouts.drain_body)
        });
        farewell.poll(&mut self.transport, cx)
    }

    /// Breaks off what pingora is in the middle of: it hears of an error, and the gateway of the reason.
    fn break_off(&mut self, flaw: Flaw) -> io::Error {
        self.keeper.note(flaw, self.connection.ip, "");
        self.connection.set_flaw(flaw);
        io::Error::new(io::ErrorKind::TimedOut, flaw.as_str())
    }

    /// The client sends nothing. An error: it has had its time.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Flaw> {
        let now = Instant::now();
        let deadlines = Deadlines::of(&self.keeper.edge.load());
        match self.inbound.wait(now, &deadlines) {
            None => Poll::Pending,
            Some(Err(flaw)) => Poll::Ready(flaw),
            Some(Ok(at)) => {
                // Early alarms are looked at again, so it is set anew only where it would come too late.
                while self.read_alarm.poll(cx, at).is_ready() {
                    match self.inbound.wait(Instant::now(), &deadlines) {
                        Some(Err(flaw)) => return Poll::Ready(flaw),
                        Some(Ok(_)) => {}
                        None => return Poll::Pending,
                    }
                }
                Poll::Pending
            }
        }
    }

    /// As [`Self::poll_patience`], for each stream of HTTP/2. Ready: one has had its time, and the library is told so in the
    /// client's place.
    fn poll_streams(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let deadlines = Deadlines::of(&self.keeper.edge.load());
        while let Some(streams) = &mut self.streams {
            match streams.wait(Instant::now(), &deadlines) {
                None => break,
                Some(Ok(at)) => {
                    ready!(self.read_alarm.poll(cx, at));
                }
                Some(Err(stream)) => {
                    let reset = streams.give_up(stream);
                    let Some(reset) = reset.filter(|reset| reset.len() <= buffer.remaining())
                    else {
                        return Poll::Ready(Err(self.break_off(Flaw::SlowBody)));
                    };
                    self.keeper.note(Flaw::SlowBody, self.connection.ip, "");
                    buffer.put_slice(&reset);
                    return Poll::Ready(Ok(()));
                }
            }
        }
        Poll::Pending
    }

    /// After the request's end: whether the client has gone. What it sends stays where it is.
    fn poll_after(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.inbound.has_more {
            // Whether it is gone shows when the answer is written.
            return Poll::Pending;
        }
        match ready!(self.transport.poll_ahead(cx))? {
            0 => Poll::Ready(Ok(())),
            _ => {
                self.inbound.has_more = true;
                self.connection.set_more();
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.farewell.is_some() || this.connection.flaw().is_some() {
            // Broken off: whoever reads on waits for the end of it.
            return this.poll_farewell(cx, Vec::new()).map(Ok);
        }
        if this.inbound.is_done() {
            match this.connection.is_tunnel() {
                true => this.inbound.begin_tunnel(Instant::now()),
                false => return this.poll_after(cx),
            }
        }
        let before = buffer.filled().len();
        let flaw = match Pin::new(&mut this.transport).poll_read(cx, buffer) {
            Poll::Pending => {
                if this.streams.is_some()
                    && let Poll::Ready(given) = this.poll_streams(cx, buffer)
                {
                    return Poll::Ready(given);
                }
                ready!(this.poll_patience(cx))
            }
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            Poll::Ready(Ok(())) => {
                let new = &buffer.filled()[before..];
                if new.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                if let Some(streams) = &mut this.streams
                    && let Err(flaw) = streams.received(new, Instant::now())
                {
                    buffer.set_filled(before);
                    return Poll::Ready(Err(this.break_off(flaw)));
                }
                this.inbound
                    .moved(Instant::now, new.len(), buffer.remaining() > 0);
                let was_head = this.inbound.is_head();
                let is_head = was_head && new.starts_with(b"HEAD ");
                let taken = this.inbound.take(new, &this.keeper.edge.load().limits);
                match taken {
                    Ok(taken) => {
                        if this.inbound.has_more {
                            this.connection.set_more();
                        }
                        buffer.set_filled(before + taken);
                        return Poll::Ready(Ok(()));
                    }
                    Err(flaw) => {
                        buffer.set_filled(before);
                        if was_head {
                            // Nobody else has seen it yet: it is answered from here.
                            let words = this.keeper.refuse(flaw, this.connection.ip, is_head);
                            return this.poll_farewell(cx, words).map(Ok);
                        }
                        flaw
                    }
                }
            }
        };
        if this.inbound.is_head() {
            let words = match this.inbound.has_begun() {
                true => this.keeper.refuse(flaw, this.connection.ip, false),
                false => Vec::new(),
            };
            return this.poll_farewell(cx, words).map(Ok);
        }
        Poll::Ready(Err(this.break_off(flaw)))
    }
}

impl Drop for Guarded {
    /// What pingora wrote and did not flush before it let go: as much as the kernel takes, for nobody can wait here.
    fn drop(&mut self) {
        self.outbound.try_out(&mut self.transport);
    }
}
