//! The engine's SMTP client against servers that answer as they are told.
//!
//! Its own folder: one file for each of what it promises. Shared is how a pool and a message are made.

mod faults;
mod login;
mod pipelining;
mod pools;
mod security;

use std::future::ready;

use ficus::engine::provider::smtp::{
    Address, Class, Envelope, Limits, Message, Outcome, Pool, Security, Server, Withheld,
};

use crate::support::smtp::MailServer;

type Ready = std::future::Ready<Result<(), Withheld>>;

/// An intent that is durable at once.
fn recorded() -> Ready {
    ready(Ok(()))
}

/// To the server in plain text.
fn to(server: &MailServer) -> Server {
    Server {
        security: Security::Plain,
        ..Server::new("127.0.0.1", server.address.port())
    }
}

fn pool(server: Server, connections: usize) -> Pool {
    let limits = Limits {
        connections,
        ..Limits::default()
    };
    Pool::new(server, limits).expect("a pool")
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn message(to: &str) -> Message {
    message_of(&[to], &format!("Subject: for {to}\r\n\r\nhello\r\n"))
}

fn message_of(to: &[&str], body: &str) -> Message {
    let to = to.iter().map(|it| address(it)).collect();
    let envelope = Envelope::new(Some(address("ann@example.com")), to).expect("an envelope");
    Message::new(envelope, body.to_owned()).expect("a message")
}

/// `None`: it was sent.
fn classes(outcomes: &[Outcome]) -> Vec<Option<Class>> {
    outcomes.iter().map(Outcome::class).collect()
}

fn text_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent { reply, .. } => reply.text.clone(),
        Outcome::Failed { fault, .. } => fault.to_string(),
    }
}
