//! How a message leaves: one folder a kind of provider.
//!
//! Its own folder, because what speaks to a provider knows nothing of queues or the database.

pub mod sandbox;
pub mod smtp;

use std::future::Future;
use std::pin::Pin;

use super::queue::Due;
use super::retry::Class;

/// Has to be done before the message's first byte leaves. An error: it must not leave.
pub type Intent = Pin<Box<dyn Future<Output = Result<(), smtp::Withheld>> + Send>>;

/// What came of handing a message over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub class: Class,
    /// The other side's code, or ours. Bounded, and never an address.
    pub code: String,
    /// What the other side calls the message.
    pub reference: Option<String>,
}

/// Hands messages over, many at a time, each by its own future.
pub trait Provider: Send + Sync + 'static {
    /// By which attempts name it.
    fn name(&self) -> &str;

    /// Hands one over. `intent` is awaited before a byte of it leaves, and never for a message that cannot leave.
    fn send(&self, due: &Due, intent: Intent) -> impl Future<Output = Outcome> + Send;
}

impl Outcome {
    /// Surely nothing left.
    pub fn not_sent(code: &str) -> Self {
        Self {
            class: Class::NotSent,
            code: code.to_owned(),
            reference: None,
        }
    }
}
