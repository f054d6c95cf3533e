//! What a client is sent: small writes gathered, large ones passed on, and a reader that takes too little let go.
//!
//! Its own file, because a call for each write of a head, a chunk's size, its bytes and its end would cost more than
//! all the rest of a small answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::transport::Transport;

/// Bytes that are gathered before they are written: a head with many fields, and a small body after it. A larger body
/// is not copied: it leaves together with what was gathered, from where it is.
const GATHER: usize = 4096;
/// A head and a small body: gathered without the buffer having to grow.
const USUAL: usize = 1024;

/// Written by pingora, not yet by us: `gathered[sent..]`. Without room while the connection rests.
#[derive(Debug, Default)]
pub struct Outbound {
    gathered: Vec<u8>,
    sent: usize,
}

impl Outbound {
    /// Writes what was gathered, and with it `more`; answers how much of `more`. `Ready(0)` only for an empty `more`.
    pub fn poll_out(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
        more: &[u8],
    ) -> Poll<io::Result<usize>> {
        while self.sent < self.gathered.len() {
            let waiting = self.gathered.len() - self.sent;
            let rest = &self.gathered[self.sent..];
            let socket = Pin::new(&mut *transport);
            let written = ready!(match more.is_empty() {
                // The most frequent by far, and the kernel takes one slice at less cost than a list of them.
                true => socket.poll_write(cx, rest),
                false => socket.poll_write_vectored(cx, &[IoSlice::new(rest), IoSlice::new(more)]),
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
            false => Pin::new(transport).poll_write(cx, more),
        }
    }

    /// Takes `bytes` for later, if there is room.
    pub fn gather(&mut self, bytes: &[u8]) -> bool {
        let fits = self.gathered.len() + bytes.len() <= GATHER;
        if fits {
            if self.gathered.capacity() == 0 {
                self.gathered.reserve(USUAL);
            }
            self.gathered.extend_from_slice(bytes);
        }
        fits
    }

    /// What is left to write, for somebody else to write it.
    pub fn take(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.gathered);
        rest.drain(..std::mem::take(&mut self.sent));
        rest
    }

    /// Gives the room back, if nothing is in it.
    pub fn rest(&mut self) {
        if self.gathered.is_empty() {
            self.gathered = Vec::new();
        }
    }

    /// As much as the kernel takes now, where nobody can wait.
    pub fn try_out(&mut self, transport: &Transport) {
        while let Some(rest @ [_, ..]) = self.gathered.get(self.sent..) {
            match transport.try_write(rest) {
                Ok(written @ 1..) => self.sent += written,
                _ => return,
            }
        }
    }

    fn clear(&mut self) {
        self.gathered.clear();
        self.sent = 0;
    }
}
