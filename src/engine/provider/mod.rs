//! How a message leaves: one folder a kind of provider.
//!
//! Its own folder, because what speaks to a provider knows nothing of queues or the database.

pub mod channels;
pub mod email;
pub mod sandbox;
pub mod sms;
pub mod smtp;

use std::future::Future;
use std::pin::Pin;

use super::message::Channel;
use super::queue::Due;
use super::retry::Class;

/// Has to be recorded before the message's first byte leaves.
pub struct Intent(Record);

type Record = Box<dyn FnOnce(String) -> Recorded + Send>;
type Recorded = Pin<Box<dyn Future<Output = Result<(), smtp::Withheld>> + Send>>;

impl Intent {
    /// `record` is called with what the message goes through, by name.
    pub fn new<F, Fut>(record: F) -> Self
    where
        F: FnOnce(String) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), smtp::Withheld>> + Send + 'static,
    {
        Self(Box::new(move |connection| Box::pin(record(connection))))
    }

    /// Durable once it is done. An error: the message must not leave.
    pub fn record(self, connection: String) -> Recorded {
        (self.0)(connection)
    }
}

/// What came of handing a message over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub class: Class,
    /// The other side's code, or ours. Bounded, and never an address.
    pub code: String,
    /// What the other side calls the message.
    pub reference: Option<String>,
    /// Who was asked, by name. `None`: nobody, or who answers always.
    pub server: Option<String>,
}

/// Hands messages over, many at a time, each by its own future.
pub trait Provider: Send + Sync + 'static {
    /// Its kind, by which outcomes are counted.
    fn name(&self) -> &'static str;

    /// Of one that is several: which of them an attempt went through, by which it is counted. One of few.
    fn kind<'a>(&'a self, _channel: Channel, _connection: &'a str) -> &'a str {
        self.name()
    }

    /// Hands one over. `intent` is recorded before a byte of it leaves, and never for a message that cannot leave.
    fn send(&self, due: &Due, intent: Intent) -> impl Future<Output = Outcome> + Send;
}

impl Outcome {
    pub fn of(class: Class, code: &str) -> Self {
        Self {
            class,
            code: code.to_owned(),
            reference: None,
            server: None,
        }
    }

    /// Surely nothing left.
    pub fn not_sent(code: &str) -> Self {
        Self::of(Class::NotSent, code)
    }
}
