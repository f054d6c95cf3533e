//! Sending by SMTP with pipelining: one round trip a message, and an outcome for each that says whether it may be tried
//! again.
//!
//! Its own folder and our own client, because those on crates.io take four or five round trips a message, and do not
//! tell a message that was surely not taken from one that maybe was.
//!
//! A [`Pool`] has the connections to one [`Server`]. [`Pool::submit`] takes a [`Message`] and gives what its [`Outcome`]
//! is awaited on; [`Pool::send`] and [`Pool::send_all`] stand on it. The pure parts decide: [`dialogue`] which reply
//! answers what, [`classify`] what a reply means, [`command`] and [`content`] what is written. [`dial`] opens a
//! connection, [`connection`] works on it, [`queue`] is where messages wait.
//!
//! # Flights
//!
//! To a server that offers PIPELINING a connection with work goes
//!
//! ```text
//! MAIL RCPT DATA ▶        ◀ 250 250 354
//! body₁ . MAIL RCPT DATA ▶        ◀ 250 250 250 354
//! body₂ . MAIL RCPT DATA ▶        …
//! ```
//!
//! so that each message takes one round trip, and the last one more. [`Grouping::WithinMessage`] takes two each; with
//! [`Server::chunking`] it is one even for a message that comes alone. A server that does not offer PIPELINING gets its
//! commands one by one. Nothing is ever written behind EHLO, STARTTLS or AUTH.
//!
//! # The intent
//!
//! With each message comes a future, its intent: the caller's chance to make durable that the message is about to leave,
//! so that after a crash it knows which ones may have. It is polled from when the envelope was written, while replies to
//! this and to the message before are read; no byte of the body is written before it is done. So it takes no time of its
//! own where it is faster than the server. If it says [`Withheld`], panics, or takes longer than [`Timeouts::intent`],
//! the message is not sent, and a connection whose server waits for the body is closed.
//!
//! A future and not a callback with a list, because groups are the caller's: a connection has one message at this point
//! at a time, but all connections of all pools can hand their message's id to one task, which writes what it has in one
//! transaction and wakes each: twenty connections make groups of up to twenty.
//!
//! An intent may have been recorded for a message that is not sent after all, since the server may refuse its recipient
//! meanwhile. Its outcome then says so.

mod address;
mod auth;
mod capability;
mod classify;
mod command;
mod connection;
mod content;
mod dial;
mod dialogue;
mod job;
mod link;
mod message;
mod outcome;
mod pool;
mod queue;
mod reply;
mod server;
mod tls;
mod wait;

pub use address::{Address, AddressError};
pub use job::{Pending, Withheld};
pub use message::{Envelope, LONGEST_BODY, MOST_RECIPIENTS, Message, MessageError};
pub use outcome::{Class, Fault, Outcome, Refused};
pub use pool::{Limits, Pool};
pub use reply::{Enhanced, Reply};
pub use server::{Credentials, Grouping, Roots, Security, Server, ServerError, Timeouts};
