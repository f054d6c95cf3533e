//! Connections for requests that ask for another protocol, such as WebSocket.
//!
//! Its own file, because it stands around one fault of pingora 0.9 (cloudflare/pingora#946): where an upstream answers
//! 101 before pingora has looked at the end of the request's own empty body, it takes that end for the tunnel's. On a
//! connection from here no answer is seen in the same turn in which a request was written, so the end is looked at first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::prelude::*;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Opens them. Each is for one request, since pingora's pool tells connections apart by a descriptor that these have not.
#[derive(Debug)]
pub struct Tunnels {
    pub connect_timeout: Duration,
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
        let socket = Unhurried {
            stream,
            has_written: false,
        };
        Ok(VirtualSocketStream::new(Box::new(socket)).into())
    }
}

/// After each write, the first attempt to read lets others go first.
#[derive(Debug)]
struct Unhurried {
    stream: TcpStream,
    has_written: bool,
}

impl VirtualSocket for Unhurried {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            // A tunnel's ends keep it alive themselves, and the read timeout ends one that is silent.
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
        Pin::new(&mut self.stream).poll_read(cx, buffer)
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
