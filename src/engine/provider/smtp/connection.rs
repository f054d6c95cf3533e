//! One connection at work: takes messages, keeps the pipeline full, tells each its outcome.
//!
//! Its own file, because it is where the pure parts meet the socket. It holds at most two messages at a time: one whose
//! body is written and one whose envelope went out behind it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::capability::Capabilities;
use super::command;
use super::content::{END, copy, stuff};
use super::dial::Session;
use super::dialogue::{Command, Mode, Step, Transaction};
use super::job::{Intent, Job};
use super::link::{Link, Lost, Stream};
use super::outcome::{Class, Fault, Outcome};
use super::pool::Limits;
use super::queue::Queue;
use super::reply::Reply;
use super::server::{Grouping, Server};

/// For what a server still has to say after it stopped reading, and for its answer to QUIT.
const GRACE: Duration = Duration::from_secs(5);

pub struct Connection<'a> {
    server: &'a Server,
    limits: &'a Limits,
    queue: &'a Queue,
    closing: &'a CancellationToken,
    link: Link<Box<dyn Stream>>,
    abilities: Capabilities,
    /// Of which something was written, oldest first.
    talks: VecDeque<Talk>,
    out: Vec<u8>,
    taken: u32,
    /// A message's fate was decided on this connection, so that the server had let it work.
    has_served: bool,
    /// The server is still within the transaction of the last one.
    is_open: bool,
    /// Nothing more can be written; the server may still say why.
    broken: Option<Lost>,
}

struct Talk {
    job: Job,
    transaction: Transaction,
}

impl<'a> Connection<'a> {
    pub fn new(
        session: Session,
        server: &'a Server,
        limits: &'a Limits,
        queue: &'a Queue,
        closing: &'a CancellationToken,
    ) -> Self {
        Self {
            server,
            limits,
            queue,
            closing,
            link: session.link,
            abilities: session.abilities,
            talks: VecDeque::with_capacity(2),
            out: Vec::new(),
            taken: 0,
            has_served: false,
            is_open: false,
            broken: None,
        }
    }

    /// Until nothing waits for long, the pool closes, it has served its number, or it is lost.
    pub async fn run(mut self) {
        loop {
            let moved = match self.talks.is_empty() {
                true => self.begin().await,
                false => self.advance().await.map(|()| true),
            };
            match moved {
                Ok(true) => {}
                Ok(false) => return self.quit().await,
                Err(lost) => return self.give_up(lost),
            }
        }
    }

    /// Takes a message and writes its first group. `false`: there is none for this connection any more.
    async fn begin(&mut self) -> Result<bool, Lost> {
        if !self.has_room() {
            return Ok(false);
        }
        let job = tokio::select! {
            biased;
            () = self.closing.cancelled() => return Ok(false),
            lost = self.link.stir() => return Err(lost),
            job = self.queue.take() => job,
            () = sleep(self.limits.idle) => return Ok(false),
        };
        let Some(mut job) = self.fitting(job) else {
            return Ok(true);
        };
        if self.mode() == Mode::Chunked {
            // The body is part of the group.
            let limit = self.server.timeouts.intent;
            match may_leave(&mut self.link, &mut job.intent, limit).await {
                Ok(true) => {}
                Ok(false) => {
                    job.finish(withheld());
                    return Ok(true);
                }
                Err(lost) => {
                    self.end(job, Fault::not_sent(lost.to_string()).into());
                    return Err(lost);
                }
            }
        }
        self.out.clear();
        self.open(job);
        self.write_commands();
        self.flush().await?;
        Ok(true)
    }

    /// Reads one reply, and does what follows from it.
    async fn advance(&mut self) -> Result<(), Lost> {
        let reply = self.next_reply().await;
        let reply = reply.map_err(|lost| self.broken.unwrap_or(lost))?;
        let Some(talk) = self.talks.front_mut() else {
            return Err(Lost::Unasked);
        };
        match talk.transaction.answer(reply) {
            Step::Wait => Ok(()),
            Step::Next => {
                self.out.clear();
                self.write_commands();
                self.flush().await
            }
            Step::Body => self.send_body().await,
            Step::LoneDot => {
                talk.transaction.begin_lone_dot();
                self.out.clear();
                self.out.extend_from_slice(END);
                self.flush().await
            }
            Step::Finished(outcome) => {
                self.has_served = true;
                if let Some(talk) = self.talks.pop_front() {
                    self.is_open = talk.transaction.leaves_open();
                    talk.job.finish(outcome);
                }
                Ok(())
            }
            Step::Closed(outcome) => {
                if let Some(talk) = self.talks.pop_front() {
                    self.end(talk.job, outcome);
                }
                Err(Lost::Ended)
            }
        }
    }

    /// The next reply; meanwhile the newest message's intent is asked for, so that it costs no round trip of its own.
    async fn next_reply(&mut self) -> Result<Reply, Lost> {
        let until = Instant::now() + self.patience();
        loop {
            let Some(newest) = self.talks.back_mut() else {
                return Err(Lost::Unasked);
            };
            let intent = &mut newest.job.intent;
            let is_asked = intent.is_asked();
            tokio::select! {
                biased;
                reply = self.link.reply(until) => return reply,
                () = intent.settle(), if is_asked => {}
            }
        }
    }

    /// The body, once its intent is durable, and behind it the next message's envelope.
    async fn send_body(&mut self) -> Result<(), Lost> {
        let Some(talk) = self.talks.front_mut() else {
            return Err(Lost::Unasked);
        };
        let limit = self.server.timeouts.intent;
        if !may_leave(&mut self.link, &mut talk.job.intent, limit).await? {
            if let Some(talk) = self.talks.pop_front() {
                talk.job.finish(withheld());
            }
            // The server waits for a body: an empty one would be a message, so only closing takes DATA back.
            return Err(Lost::Withheld);
        }
        talk.transaction.begin_body();
        talk.job.body_begun = true;
        self.out.clear();
        stuff(&talk.job.message.body, &mut self.out);
        if self.groups_messages()
            && let Some(job) = self.queue.try_take()
            && let Some(next) = self.fitting(job)
        {
            self.open(next);
            self.write_commands();
        }
        self.flush().await
    }

    /// What the newest message has to say now.
    fn write_commands(&mut self) {
        let Some(Talk { job, transaction }) = self.talks.back_mut() else {
            return;
        };
        let (message, offered, out) = (&job.message, &self.abilities, &mut self.out);
        for it in transaction.take_commands() {
            let line = match it {
                Command::Reset => "RSET\r\n".to_owned(),
                Command::Mail => command::mail(message, offered),
                Command::Recipient(at) => command::recipient(message, at, offered),
                Command::Data => "DATA\r\n".to_owned(),
                Command::Chunk => command::chunk(message),
                // They are written when they were let in.
                Command::Body | Command::LoneDot => continue,
            };
            out.extend_from_slice(line.as_bytes());
            if it == Command::Chunk {
                job.body_begun = true;
                copy(&message.body, out);
            }
        }
    }

    /// Writes the group. If that fails, the server may have said why before it stopped reading, so that is read first.
    async fn flush(&mut self) -> Result<(), Lost> {
        if let Some(lost) = self.broken {
            return Err(lost);
        }
        let block = self.server.timeouts.block;
        self.broken = self.link.write(&self.out, block).await.err();
        Ok(())
    }

    /// `None`: this server cannot take it, and its caller knows.
    fn fitting(&self, job: Job) -> Option<Job> {
        match command::misfit(&job.message, &self.abilities) {
            None => Some(job),
            Some(fault) => {
                job.finish(fault.into());
                None
            }
        }
    }

    fn open(&mut self, job: Job) {
        self.taken += 1;
        let resets = std::mem::take(&mut self.is_open);
        let recipients = job.message.envelope.to.len();
        let transaction = Transaction::new(self.mode(), recipients, resets);
        self.talks.push_back(Talk { job, transaction });
    }

    fn mode(&self) -> Mode {
        let groups = self.abilities.pipelining && self.server.grouping != Grouping::Never;
        match groups {
            false => Mode::Serial,
            true if self.server.chunking && self.abilities.chunking => Mode::Chunked,
            true => Mode::Grouped,
        }
    }

    fn groups_messages(&self) -> bool {
        self.mode() == Mode::Grouped
            && self.server.grouping == Grouping::AcrossMessages
            && self.has_room()
            && !self.closing.is_cancelled()
    }

    fn has_room(&self) -> bool {
        let most = self.limits.messages_per_connection;
        most == 0 || self.taken < most
    }

    fn patience(&self) -> Duration {
        if self.broken.is_some() {
            return GRACE;
        }
        let times = &self.server.timeouts;
        let awaited = self.talks.front().and_then(|it| it.transaction.awaits());
        match awaited {
            Some(Command::Data) => times.data,
            Some(Command::Body | Command::LoneDot | Command::Chunk) => times.end,
            Some(Command::Reset | Command::Mail | Command::Recipient(_)) => times.command,
            // Never: who is in `talks` awaits a reply.
            None => GRACE,
        }
    }

    async fn quit(mut self) {
        let goodbye = async {
            self.link.write(b"QUIT\r\n", GRACE).await?;
            self.link.reply(Instant::now() + GRACE).await
        };
        // Whatever it says, nothing is lost any more.
        let _ = goodbye.await;
    }

    fn give_up(mut self, lost: Lost) {
        tracing::debug!(host = self.server.host, %lost, "a connection to a mail server ended");
        while let Some(mut talk) = self.talks.pop_front() {
            let outcome = talk.transaction.cut(lost.to_string());
            self.end(talk.job, outcome);
        }
    }

    /// A server that had let this connection work may end it when it likes: what it was not given yet goes to another
    /// connection, once.
    fn end(&self, job: Job, outcome: Outcome) {
        let is_not_sent = outcome.class() == Some(Class::NotSent);
        if is_not_sent && self.has_served && !job.put_back && !job.body_begun {
            self.queue.put_back(job);
        } else {
            job.finish(outcome);
        }
    }
}

/// Whether the body may be written now: its intent is durable, and the server still waits for it. Nothing of it was
/// written when this fails.
async fn may_leave(
    link: &mut Link<Box<dyn Stream>>,
    intent: &mut Intent,
    limit: Duration,
) -> Result<bool, Lost> {
    if !link.is_quiet() {
        return Err(Lost::Unasked);
    }
    if intent.is_asked() {
        let settled = tokio::select! {
            biased;
            lost = link.stir() => return Err(lost),
            settled = timeout(limit, intent.settle()) => settled,
        };
        if settled.is_err() {
            *intent = Intent::Withheld;
        }
    }
    Ok(matches!(intent, Intent::Recorded))
}

fn withheld() -> Outcome {
    Fault::not_sent("the intent was not recorded").into()
}
