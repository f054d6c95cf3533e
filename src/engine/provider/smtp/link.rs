//! A stream of which replies are read and to which groups are written, each with its bound of time.
//!
//! Its own file, because here alone bytes arrive: what was read too much is kept, and counts.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::reply::Reply;

/// A socket, or TLS on one.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How a connection ended, or might as well have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Lost {
    #[error("the server closed the connection")]
    Closed,
    #[error("the server did not answer in time")]
    Silent,
    #[error("the server did not read in time")]
    Stuck,
    #[error("the connection broke: {0}")]
    Broken(ErrorKind),
    #[error("the server's reply is none of SMTP")]
    Malformed,
    #[error("the server says what it was not asked")]
    Unasked,
    #[error("the server ends the connection")]
    Ended,
    #[error("the caller did not let the body go")]
    Withheld,
}

pub struct Link<S> {
    stream: S,
    buffer: BytesMut,
}

impl<S: Stream> Link<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The next reply. Cancelled, it has lost nothing.
    pub async fn reply(&mut self, until: Instant) -> Result<Reply, Lost> {
        loop {
            match Reply::parse(&self.buffer) {
                Ok(Some((reply, taken))) => {
                    self.buffer.advance(taken);
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(_) => return Err(Lost::Malformed),
            }
            let read = timeout_at(until, self.read()).await;
            read.map_err(|_| Lost::Silent)??;
        }
    }

    /// Writes all of it, each part within `block`.
    pub async fn write(&mut self, mut bytes: &[u8], block: Duration) -> Result<(), Lost> {
        while !bytes.is_empty() {
            let written = timeout(block, self.stream.write(bytes)).await;
            match written.map_err(|_| Lost::Stuck)? {
                Ok(0) => return Err(Lost::Closed),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(e) => return Err(Lost::Broken(e.kind())),
            }
        }
        let flushed = timeout(block, self.stream.flush()).await;
        let flushed = flushed.map_err(|_| Lost::Stuck)?;
        flushed.map_err(|e| Lost::Broken(e.kind()))
    }

    /// Ends when the server says something without being asked, which is always that it closes. Cancelled, it has lost
    /// nothing.
    pub async fn stir(&mut self) -> Lost {
        if !self.is_quiet() {
            return Lost::Unasked;
        }
        match self.read().await {
            Ok(()) => Lost::Unasked,
            Err(lost) => lost,
        }
    }

    /// Whether nothing was read that was not asked for.
    pub fn is_quiet(&self) -> bool {
        self.buffer.is_empty()
    }

    pub fn boxed(self) -> Link<Box<dyn Stream>>
    where
        S: 'static,
    {
        Link {
            stream: Box::new(self.stream),
            buffer: self.buffer,
        }
    }

    /// The stream, for a handshake. `None`: there is more on it already, which somebody put there before the server
    /// could (CVE-2011-0411), so it must not be read as if it came over TLS.
    pub fn into_quiet(self) -> Option<S> {
        self.buffer.is_empty().then_some(self.stream)
    }

    async fn read(&mut self) -> Result<(), Lost> {
        self.buffer.reserve(1024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Lost::Closed),
            Ok(_) => Ok(()),
            Err(e) => Err(Lost::Broken(e.kind())),
        }
    }
}
