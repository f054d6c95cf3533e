//! Connections for requests that ask for another protocol, such as WebSocket.
//!
//! Its own file, because it stands around one fault of pingora 0.9 (cloudflare/pingora#946): where an upstream answers
//! 101 before pingora has looked at the end of the request's own empty body, it takes that end for the tunnel's. On a
//! connection from here no answer is seen in the same turn in which a request was written, so the end is looked at first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::prelude::*;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use super::upstream::keepalive;

/// Opens them. Each is for one request, since pingora's pool tells connections apart by a descriptor that these have not.
#[derive(Debug)]
pub struct Tunnels {
    pub connect_timeout: Duration,
    /// Between two reads of an answer, until it turns out to be the beginning of a tunnel. The door keeps the time from
    /// then on (`proxy.timeouts.tunnel_idle`).
    pub answer: Option<Duration>,
}

#[async_trait]
impl L4Connect for Tunnels {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ConnectNoRoute, "the upstream is no internet address");
        };
        let connected = timeout(self.connect_timeout, TcpStream::connect(address)).await;
        let stream = connected
            .or_err(ConnectTimedout, "connecting for a tunnel")?
            .or_err(ConnectError, "connecting for a tunnel")?;
        // The longer a tunnel is silent, the less anybody else would notice that its other end is gone.
        let times = keepalive();
        let keepalive = TcpKeepalive::new()
            .with_time(times.idle)
            .with_interval(times.interval)
            .with_retries(u32::try_from(times.count).unwrap_or(3));
        SockRef::from(&stream)
            .set_tcp_keepalive(&keepalive)
            .or_err(ConnectError, "keeping a tunnel alive")?;
        let socket = Unhurried {
            stream,
            has_written: false,
            answer: self.answer,
            patience: None,
        };
        Ok(VirtualSocketStream::new(Box::new(socket)).into())
    }
}

/// After each write, the first attempt to read lets others go first.
#[derive(Debug)]
struct Unhurried {
    stream: TcpStream,
    has_written: bool,
    /// `None`: without a bound, or a tunnel by now.
    answer: Option<Duration>,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Unhurried {
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(answer) = self.answer else {
            return Poll::Pending;
        };
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(answer)));
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl VirtualSocket for Unhurried {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Unhurried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_written) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) else {
            return self.poll_patience(cx);
        };
        self.patience = None;
        if buffer.filled()[before..].starts_with(b"HTTP/1.1 101 ") {
            self.answer = None;
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Unhurried {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
