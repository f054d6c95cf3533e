//! A client's socket as pingora drives it.
//!
//! Its own file, because every byte from and to a client passes here, before pingora has looked at it. Nothing is
//! buffered on the way in: pingora reads a head and a body into buffers of its own, large enough for one call each. On
//! the way out small writes are gathered, so that a head and the body after it leave in one call.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::connection::Connection;
use super::transport::Transport;

/// Bytes that are gathered before they are written: a head with many fields, and a small body after it. A larger body
/// is not copied: it leaves together with what was gathered, from where it is.
const GATHER: usize = 4096;

/// A head and a small body: gathered without the buffer having to grow.
const USUAL: usize = 1024;

#[derive(Debug)]
pub struct Guarded {
    transport: Transport,
    /// Written by pingora, not yet by us: `gathered[sent..]`. Without room while the connection rests.
    gathered: Vec<u8>,
    sent: usize,
    proxy_digest: Arc<ProxyDigest>,
    socket_digest: Arc<SocketDigest>,
}

impl Guarded {
    pub fn new(transport: Transport, connection: Arc<Connection>) -> Self {
        let socket_digest = SocketDigest::from_raw_fd(transport.socket().as_raw_fd());
        // Known from accept: pingora would ask the kernel again for each request.
        let _ = socket_digest
            .peer_addr
            .set(Some(SocketAddr::Inet(connection.peer)));
        Self {
            transport,
            gathered: Vec::new(),
            sent: 0,
            proxy_digest: Arc::new(ProxyDigest::new(
                Box::new(ResponseHeader::from(http::Response::new(()).into_parts().0)),
                Some(Box::new(connection)),
            )),
            socket_digest: Arc::new(socket_digest),
        }
    }

    /// See [`Transport::readable`].
    pub async fn readable(&self) -> io::Result<()> {
        self.transport.readable().await
    }

    /// Gives back what only a request in progress needs.
    pub fn rest(&mut self) {
        if self.gathered.is_empty() {
            self.gathered = Vec::new();
        }
    }

    /// Writes what was gathered, and with it `more`; answers how much of `more`. `Ready(0)` only for an empty `more`.
    fn poll_out(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        while self.sent < self.gathered.len() {
            let waiting = self.gathered.len() - self.sent;
            let rest = &self.gathered[self.sent..];
            let transport = Pin::new(&mut self.transport);
            let written = ready!(match more.is_empty() {
                // The most frequent by far, and the kernel takes one slice at less cost than a list of them.
                true => transport.poll_write(cx, rest),
                false => {
                    transport.poll_write_vectored(cx, &[IoSlice::new(rest), IoSlice::new(more)])
                }
            })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written.min(waiting);
            if let Some(of_more @ 1..) = written.checked_sub(waiting) {
                self.clear();
                return Poll::Ready(Ok(of_more));
            }
        }
        self.clear();
        match more.is_empty() {
            true => Poll::Ready(Ok(0)),
            false => Pin::new(&mut self.transport).poll_write(cx, more),
        }
    }

    fn clear(&mut self) {
        self.gathered.clear();
        self.sent = 0;
    }

    /// Takes `bytes` for later, if there is room.
    fn gather(&mut self, bytes: &[u8]) -> bool {
        let fits = self.gathered.len() + bytes.len() <= GATHER;
        if fits {
            if self.gathered.capacity() == 0 {
                self.gathered.reserve(USUAL);
            }
            self.gathered.extend_from_slice(bytes);
        }
        fits
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.gather(bytes) {
            true => Poll::Ready(Ok(bytes.len())),
            false => self.poll_out(cx, bytes),
        }
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
            if !self.gather(slice) {
                return match self.poll_out(cx, slice) {
                    Poll::Ready(Ok(written)) => Poll::Ready(Ok(taken + written)),
                    // What was taken is taken.
                    _ if taken > 0 => Poll::Ready(Ok(taken)),
                    other => other,
                };
            }
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
        ready!(self.poll_out(cx, &[]))?;
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

impl Drop for Guarded {
    /// What pingora wrote and did not flush before it let go: as much as the kernel takes, for nobody can wait here.
    fn drop(&mut self) {
        while let Some(rest @ [_, ..]) = self.gathered.get(self.sent..) {
            match self.transport.try_write(rest) {
                Ok(written @ 1..) => self.sent += written,
                _ => return,
            }
        }
    }
}

#[async_trait]
impl Shutdown for Guarded {
    async fn shutdown(&mut self) {
        // It is over either way.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Guarded {
    fn id(&self) -> UniqueIDType {
        self.transport.socket().as_raw_fd()
    }
}

impl Ssl for Guarded {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.transport.alpn()
    }
}

impl GetTimingDigest for Guarded {
    /// Nobody asks when the connection was made.
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Guarded {
    /// pingora's place for whatever a connection carries along: here, its [`Connection`].
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.proxy_digest))
    }
}

impl GetSocketDigest for Guarded {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket_digest))
    }
}

/// HTTP/2 without TLS is not spoken, so nobody has to look ahead.
impl Peek for Guarded {}
