//! What a client is sent, and how long it may take for it.
//!
//! Its own file, because it is one half of [`Guarded`]: the other reads.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::AsyncWrite;

use super::Guarded;
use crate::proxy::door::backlog::{LOOK, patience};
use crate::proxy::door::flaw::Flaw;
use crate::proxy::door::pace::Verdict;
use crate::proxy::door::streams::Sent;

impl Guarded {
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
