//! What carries a connection's bytes: a TCP socket, and whatever is put around one.
//!
//! Its own file, because everything else at the door is the same for each of them: a kind of transport is one variant
//! here, with how it reads, writes and waits.

use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use pingora::protocols::ALPN;
use pingora::protocols::tls::SslDigest;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

#[derive(Debug)]
pub enum Transport {
    Tcp(TcpStream),
    /// After its handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// The socket underneath.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Waits until a read would not wait, which says nothing of what it would find. Reads nothing, so it may be dropped.
    pub async fn readable(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            // What was decrypted already is not on the socket any more, and what is on the socket need not be for us.
            Self::Tls(stream) => {
                poll_fn(|cx| Pin::new(&mut **stream).poll_fill_buf(cx).map_ok(drop)).await
            }
        }
    }

    /// How many of the next bytes there are, one at most, without reading them; 0 is the end.
    pub fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut byte = [0];
        match self {
            Self::Tcp(stream) => stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)),
            Self::Tls(stream) => Pin::new(&mut **stream)
                .poll_fill_buf(cx)
                .map_ok(|bytes| bytes.len().min(1)),
        }
    }

    /// The protocol that the handshake chose. `None`: there was none, and HTTP/1 is spoken.
    pub fn alpn(&self) -> Option<ALPN> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(stream) => match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Some(ALPN::H2),
                _ => None,
            },
        }
    }

    /// Which server the client asked for in the handshake, lower-case.
    pub fn server_name(&self) -> Option<String> {
        let Self::Tls(stream) = self else { return None };
        stream
            .get_ref()
            .1
            .server_name()
            .map(str::to_ascii_lowercase)
    }

    /// What the handshake agreed upon. `None`: there was none.
    pub fn digest(&self) -> Option<SslDigest> {
        let Self::Tls(stream) = self else { return None };
        let session = stream.get_ref().1;
        let suite = session.negotiated_cipher_suite()?.suite();
        let version = match session.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let cipher = suite.as_str().unwrap_or("unknown");
        Some(SslDigest::new(cipher, version, None, None, Vec::new()))
    }

    /// Writes as much as the kernel takes now.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                let taken = session.writer().write(bytes)?;
                while session.wants_write() {
                    session.write_tls(&mut Now(socket))?;
                }
                Ok(taken)
            }
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A socket that is written to without waiting.
struct Now<'a>(&'a TcpStream);

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
