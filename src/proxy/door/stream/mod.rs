//! A client's socket as pingora drives it.
//!
//! Its own file, because every byte from and to a client passes here, before pingora has looked at it. Nothing is
//! buffered on the way in: pingora reads a head and a body into buffers of its own, large enough for one call each.

mod digests;

use std::io::{self, IoSlice};
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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy::door::alarm::Alarm;
use crate::proxy::door::backlog::{Held, LOOK, patience};
use crate::proxy::door::connection::Connection;
use crate::proxy::door::farewell::Farewell;
use crate::proxy::door::flaw::Flaw;
use crate::proxy::door::inbound::{Deadlines, Inbound};
use crate::proxy::door::keeper::Keeper;
use crate::proxy::door::outbound::Outbound;
use crate::proxy::door::pace::{Pace, Verdict};
use crate::proxy::door::streams::{Sent, Streams};
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

    /// Looks at what the client is sent on streams of HTTP/2.
    fn note_sent(&mut self, cx: &Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let Some(streams) = &mut self.streams else {
            return Ok(());
        };
        match streams.sent(bytes, Instant::now()) {
            Ok(Sent::Nothing) => Ok(()),
            // A deadline that the next look for something to read has to know of.
            Ok(Sent::Leave) => {
                cx.waker().wake_by_ref();
                Ok(())
            }
            Ok(Sent::Flood) => {
                self.keeper.note(Flaw::Flood, self.connection.ip, "");
                Ok(())
            }
            Err(flaw) => Err(self.break_off(flaw)),
        }
    }

    /// The client takes nothing. An error: it has had its time.
    fn poll_taking(&mut self, cx: &mut Context<'_>) -> Poll<Flaw> {
        let edge = self.keeper.edge.load();
        let (longest, rate) = match self.connection.is_tunnel() {
            true => (edge.timeouts.tunnel_idle, 0),
            false => (edge.timeouts.write, edge.limits.min_rate),
        };
        let backlog = &self.keeper.backlog;
        self.held.get_or_insert_with(|| backlog.hold());
        let now = Instant::now();
        if self.taking.begin(now) {
            self.taken = self.acknowledged();
        }
        loop {
            let now = Instant::now();
            let budget = edge.limits.untaken_bytes;
            let period = patience(longest, backlog.bytes(), budget);
            // What the kernel holds for the client is not with the client, and it lets us write again only when a third
            // of that is gone: only what the client acknowledged counts. Asked only when the period is over.
            let moved = match self.taking.is_due(now, period) {
                true => self.acknowledged().saturating_sub(self.taken),
                false => 0,
            };
            match self.taking.judge_total(now, period, rate, moved) {
                Verdict::TooSlow => return Poll::Ready(Flaw::SlowReader),
                Verdict::Wait(at) => {
                    if moved > 0 {
                        self.taken += moved;
                    }
                    // Others may come to wait meanwhile, and leave it less time.
                    let at = match budget {
                        0 => at,
                        _ => at.min(now + LOOK),
                    };
                    if self.write_alarm.poll(cx, at).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn acknowledged(&self) -> u64 {
        self.socket_digest
            .tcp_info()
            .map_or(0, |info| info.tcpi_bytes_acked)
    }

    /// Writes, and looks at the time where the client does not take it.
    fn poll_out(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        match self.outbound.poll_out(&mut self.transport, cx, more) {
            Poll::Ready(written) => {
                if self.taking.is_waiting() {
                    self.taking.end(Instant::now(), 0);
                    self.held = None;
                }
                self.inbound.touch(Instant::now);
                Poll::Ready(written)
            }
            Poll::Pending => {
                let flaw = ready!(self.poll_taking(cx));
                Poll::Ready(Err(self.break_off(flaw)))
            }
        }
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

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = match self.outbound.gather(bytes) {
            true => bytes.len(),
            false => ready!(self.poll_out(cx, bytes))?,
        };
        self.note_sent(cx, &bytes[..taken])?;
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Chunks come as three slices: their size, their bytes, their end. The small ones are gathered, the first large
        // one goes out with them, and pingora asks again for the rest.
        let mut taken = 0;
        for slice in slices {
            if !self.outbound.gather(slice) {
                return match self.poll_out(cx, slice) {
                    Poll::Ready(Ok(written)) => {
                        self.note_sent(cx, &slice[..written])?;
                        Poll::Ready(Ok(taken + written))
                    }
                    // What was taken is taken.
                    _ if taken > 0 => Poll::Ready(Ok(taken)),
                    other => other,
                };
            }
            self.note_sent(cx, slice)?;
            taken += slice.len();
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx, &[]))?;
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.inbound.has_more || self.farewell.is_some() {
            return self.poll_farewell(cx, Vec::new()).map(Ok);
        }
        ready!(self.poll_out(cx, &[]))?;
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

impl Drop for Guarded {
    /// What pingora wrote and did not flush before it let go: as much as the kernel takes, for nobody can wait here.
    fn drop(&mut self) {
        self.outbound.try_out(&mut self.transport);
    }
}
