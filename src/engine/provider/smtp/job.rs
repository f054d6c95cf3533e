//! A message on its way, with whoever waits for its outcome, and what its outcome is if it is dropped.
//!
//! Its own file, because it is what keeps the promise that no message is lost sight of: a task that is cut off drops
//! its jobs, and each then says what is known.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::message::Message;
use super::outcome::{Class, Fault, Outcome};

/// The intent could not be made durable, or the caller has changed its mind: the body must not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld;

/// A message's outcome, once it is known. Dropped, it withdraws the message if nothing of it was written; if something
/// was, the message goes its way and nobody hears of it, so that its caller has to hold it for uncertain.
#[must_use = "the outcome of a message decides whether it may be tried again"]
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Outcome>);

pub struct Job {
    pub message: Message,
    pub intent: Intent,
    /// Bytes of its body were written.
    pub body_begun: bool,
    /// It was put back once, after a connection that had served others ended before its body.
    pub put_back: bool,
    answer: Option<oneshot::Sender<Outcome>>,
    /// Its place among those that the pool holds.
    _place: OwnedSemaphorePermit,
}

/// What has to be done before the first byte of a body.
pub enum Intent {
    Asked(BoxFuture<'static, Result<(), Withheld>>),
    Recorded,
    Withheld,
}

impl Job {
    pub fn new(
        message: Message,
        intent: impl Future<Output = Result<(), Withheld>> + Send + 'static,
        place: OwnedSemaphorePermit,
    ) -> (Self, Pending) {
        let (answer, pending) = oneshot::channel();
        // One caller's panic is no reason to lose the connection that others share.
        let intent = AssertUnwindSafe(intent).catch_unwind();
        let intent = async move { intent.await.unwrap_or(Err(Withheld)) };
        let job = Self {
            message,
            intent: Intent::Asked(Box::pin(intent)),
            body_begun: false,
            put_back: false,
            answer: Some(answer),
            _place: place,
        };
        (job, Pending(pending))
    }

    pub fn finish(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    pub fn is_abandoned(&self) -> bool {
        self.answer.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn tell(&mut self, outcome: Outcome) {
        if let Some(answer) = self.answer.take() {
            // Nobody waits any more: see `Pending`.
            let _ = answer.send(outcome);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let class = match self.body_begun {
            true => Class::Uncertain,
            false => Class::NotSent,
        };
        self.tell(Fault::new(class, "the connection was given up").into());
    }
}

impl Pending {
    /// Of a message that was not taken.
    pub(super) fn of(outcome: Outcome) -> Self {
        let (answer, pending) = oneshot::channel();
        // It has just been made.
        let _ = answer.send(outcome);
        Self(pending)
    }
}

impl Intent {
    pub fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(_))
    }

    /// Waits until it is recorded or withheld. Cancelled, it goes on from there the next time.
    pub async fn settle(&mut self) {
        if let Self::Asked(future) = self {
            *self = match future.await {
                Ok(()) => Self::Recorded,
                Err(Withheld) => Self::Withheld,
            };
        }
    }
}

impl Future for Pending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        self.0.poll_unpin(context).map(|answered| {
            // Each job answers, the dropped ones too.
            let unknown = Fault::new(Class::Uncertain, "the outcome was lost");
            answered.unwrap_or_else(|_| unknown.into())
        })
    }
}
