//! The end of a connection on which more may come: the last words, then silence, then nothing.
//!
//! Its own file, because a connection that is closed with bytes unread is reset, and a reset overtakes the answer that
//! the client should see (RFC 9112, 9.6).

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::transport::Transport;

/// Bound: `patience` for all of it.
#[derive(Debug)]
pub struct Farewell {
    words: Vec<u8>,
    said: usize,
    has_ended: bool,
    patience: Pin<Box<Sleep>>,
}

impl Farewell {
    pub fn new(words: Vec<u8>, patience: Duration) -> Self {
        Self {
            words,
            said: 0,
            has_ended: false,
            patience: Box::pin(sleep(patience)),
        }
    }

    /// Ready when the other end has closed too, or was given time enough.
    pub fn poll(&mut self, transport: &mut Transport, cx: &mut Context<'_>) -> Poll<()> {
        if self.patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // What goes wrong here concerns nobody any more.
        self.poll_out(transport, cx).map(drop)
    }

    fn poll_out(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.words.get(self.said..) {
            let said = ready!(Pin::new(&mut *transport).poll_write(cx, rest))?;
            if said == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.said += said;
        }
        if !self.has_ended {
            ready!(Pin::new(&mut *transport).poll_shutdown(cx))?;
            self.has_ended = true;
        }
        loop {
            let mut bytes = [MaybeUninit::uninit(); 4096];
            let mut unheard = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut *transport).poll_read(cx, &mut unheard))?;
            if unheard.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
