//! One message's part of the talk: which reply answers which of its commands, and what follows from it.
//!
//! Its own file, because it is pure: pipelining goes wrong where replies are counted wrongly, and here they are counted
//! without a socket. A connection holds one [`Transaction`] for each message of which something was written, oldest
//! first. Replies come in the order of commands, so each belongs to the oldest that still awaits one.

use std::collections::VecDeque;

use super::classify::{Stage, classify};
use super::outcome::{Class, Fault, Outcome, Refused};
use super::reply::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ends what an earlier message left open.
    Reset,
    Mail,
    /// The recipient at this place in the envelope.
    Recipient(usize),
    Data,
    /// The bytes after DATA, their end included.
    Body,
    /// The end alone, where DATA was let in although there is nobody to send to (RFC 2920, 3.1).
    LoneDot,
    /// BDAT, with the bytes.
    Chunk,
}

/// How a message's commands go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The envelope in one group, the body when it was let in.
    Grouped,
    /// One by one.
    Serial,
    /// Envelope and body in one group.
    Chunked,
}

/// What has to be done after a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More replies are to come.
    Wait,
    /// The next command is to be written.
    Next,
    /// The body is to be written.
    Body,
    LoneDot,
    /// Nothing more of this message.
    Finished(Outcome),
    /// Nothing more of this message, and nothing more on this connection.
    Closed(Outcome),
}

#[derive(Debug)]
pub struct Transaction {
    mode: Mode,
    recipients: usize,
    unsent: VecDeque<Command>,
    awaited: VecDeque<Command>,
    sender: Sender,
    refused: Vec<Refused>,
    /// From when on the server may have the message.
    body_begun: bool,
    let_in: bool,
}

#[derive(Debug)]
enum Sender {
    Unknown,
    Accepted,
    Refused(Fault),
}

impl Transaction {
    pub fn new(mode: Mode, recipients: usize, resets: bool) -> Self {
        let mut unsent = VecDeque::with_capacity(recipients + 3);
        if resets {
            unsent.push_back(Command::Reset);
        }
        unsent.push_back(Command::Mail);
        unsent.extend((0..recipients).map(Command::Recipient));
        unsent.push_back(match mode {
            Mode::Chunked => Command::Chunk,
            Mode::Grouped | Mode::Serial => Command::Data,
        });
        Self {
            mode,
            recipients,
            unsent,
            awaited: VecDeque::new(),
            sender: Sender::Unknown,
            refused: Vec::new(),
            body_begun: false,
            let_in: false,
        }
    }

    /// What is to be written now, of the envelope. From here on it counts as written.
    pub fn take_commands(&mut self) -> Vec<Command> {
        let count = match self.mode {
            Mode::Serial => 1.min(self.unsent.len()),
            Mode::Grouped | Mode::Chunked => self.unsent.len(),
        };
        let taken: Vec<Command> = self.unsent.drain(..count).collect();
        self.body_begun |= taken.contains(&Command::Chunk);
        self.awaited.extend(&taken);
        taken
    }

    /// The body is being written: from its first byte on nobody knows, until its reply.
    pub fn begin_body(&mut self) {
        self.body_begun = true;
        self.awaited.push_back(Command::Body);
    }

    pub fn begin_lone_dot(&mut self) {
        self.awaited.push_back(Command::LoneDot);
    }

    /// The command that the next reply answers.
    pub fn awaits(&self) -> Option<Command> {
        self.awaited.front().copied()
    }

    /// Whether the server is still within this message's transaction after it has finished, so that RSET has to come
    /// before the next MAIL.
    pub fn leaves_open(&self) -> bool {
        match self.mode {
            // RFC 3030: after a failed BDAT only RSET helps.
            Mode::Chunked => !self.let_in,
            Mode::Grouped | Mode::Serial => matches!(self.sender, Sender::Accepted) && !self.let_in,
        }
    }

    pub fn answer(&mut self, reply: Reply) -> Step {
        let Some(command) = self.awaited.pop_front() else {
            return Step::Closed(self.cut("the server says what it was not asked"));
        };
        if reply.code == 421 {
            let fault = classify(stage(command), reply);
            return Step::Closed(self.conclude(fault));
        }
        let is_go_on = reply.code / 100 == 3;
        match command {
            Command::Data if reply.code == 354 => self.let_in(),
            // 3yz to anything else, or a DATA that is accepted before its body: we are not where the server is.
            Command::Data if is_go_on || reply.is_positive() => self.out_of_step(command, reply),
            _ if is_go_on => self.out_of_step(command, reply),
            Command::Reset if reply.is_positive() => self.go_on(),
            Command::Reset => self.out_of_step(command, reply),
            Command::Mail => self.sender_answered(reply),
            Command::Recipient(at) => self.recipient_answered(at, reply),
            Command::Data => {
                let fault = self.single(classify(Stage::Data, reply));
                Step::Finished(self.conclude(fault))
            }
            Command::LoneDot => Step::Finished(self.cut("the message has no recipient")),
            Command::Body | Command::Chunk if reply.is_positive() && self.refusal().is_none() => {
                self.let_in = true;
                Step::Finished(Outcome::Sent {
                    reply: reply.clipped(),
                    refused: std::mem::take(&mut self.refused),
                })
            }
            Command::Body | Command::Chunk => {
                let fault = self.single(classify(Stage::Body, reply));
                Step::Finished(self.conclude(fault))
            }
        }
    }

    /// What is known of the message when the connection ends here.
    pub fn cut(&mut self, what: impl Into<std::borrow::Cow<'static, str>>) -> Outcome {
        let class = match self.body_begun {
            true => Class::Uncertain,
            false => Class::NotSent,
        };
        self.conclude(Fault::new(class, what))
    }

    fn sender_answered(&mut self, reply: Reply) -> Step {
        if reply.is_positive() {
            self.sender = Sender::Accepted;
            return self.go_on();
        }
        let fault = classify(Stage::Mail, reply);
        self.sender = Sender::Refused(fault.clone());
        match self.mode {
            Mode::Serial => Step::Finished(self.conclude(fault)),
            Mode::Grouped | Mode::Chunked => Step::Wait,
        }
    }

    fn recipient_answered(&mut self, at: usize, reply: Reply) -> Step {
        // Without a sender each is refused, for that reason.
        if !reply.is_positive() && !matches!(self.sender, Sender::Refused(_)) {
            self.refused.push(Refused {
                recipient: at,
                fault: classify(Stage::Recipient, reply),
            });
        }
        match self.refusal().cloned() {
            Some(fault) if self.mode == Mode::Serial => Step::Finished(self.conclude(fault)),
            _ => self.go_on(),
        }
    }

    fn let_in(&mut self) -> Step {
        self.let_in = true;
        match self.refusal() {
            Some(_) => Step::LoneDot,
            None => Step::Body,
        }
    }

    fn go_on(&self) -> Step {
        match self.awaited.is_empty() && !self.unsent.is_empty() {
            true => Step::Next,
            false => Step::Wait,
        }
    }

    fn out_of_step(&mut self, command: Command, reply: Reply) -> Step {
        let mut fault = classify(stage(command), reply);
        fault.what = "the server's reply does not fit the command".into();
        fault.class = match self.body_begun {
            true => Class::Uncertain,
            false => Class::NotSent,
        };
        Step::Closed(self.conclude(fault))
    }

    /// The fault by which the message goes to nobody, whatever comes after it.
    fn refusal(&self) -> Option<&Fault> {
        match &self.sender {
            Sender::Refused(fault) => Some(fault),
            _ if self.refused.len() == self.recipients => self.refused.first().map(|it| &it.fault),
            _ => None,
        }
    }

    /// A reply about a message to several says nothing of one address.
    fn single(&self, mut fault: Fault) -> Fault {
        fault.suppress &= self.recipients == 1;
        fault
    }

    fn conclude(&mut self, fault: Fault) -> Outcome {
        let fault = self.refusal().cloned().unwrap_or(fault);
        let refused = std::mem::take(&mut self.refused);
        Outcome::Failed { fault, refused }
    }
}

fn stage(command: Command) -> Stage {
    match command {
        Command::Reset | Command::Mail => Stage::Mail,
        Command::Recipient(_) => Stage::Recipient,
        Command::Data => Stage::Data,
        // Nothing of a message follows a lone dot, so what is said then says nothing of its fate.
        Command::LoneDot => Stage::Data,
        Command::Body | Command::Chunk => Stage::Body,
    }
}

#[cfg(test)]
mod tests;
