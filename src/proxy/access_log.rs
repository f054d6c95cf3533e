//! One line a request: JSON, written by a thread of its own.
//!
//! Its own file, because a slow disk or a stopped reader of stdout must never hold a request: a line that
//! finds the queue full is dropped and counted.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use crate::telemetry::AccessLog as Config;

/// Lines that wait for the writer at most: about 20 MB.
const QUEUE: usize = 65_536;

/// A line waits this long for company: to wake the writer for each one would cost a request more than the line itself.
const GATHER: Duration = Duration::from_millis(2);

/// Everything that is known of a request when it is over. No body, no query, no token.
#[derive(Serialize)]
pub struct Line<'a> {
    pub time: &'a str,
    pub request_id: &'a str,
    pub client: Option<std::net::IpAddr>,
    pub method: &'a str,
    pub host: Option<&'a str>,
    /// Without the query, which may hold a token.
    pub path: &'a str,
    /// `None`: the client went away first.
    pub status: Option<u16>,
    pub bytes: u64,
    pub ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<i64>,
    /// Which resolver named the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<&'a str>,
    pub capability: &'a str,
    /// Who answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'a str>,
    pub reason: &'a str,
    pub revision: i64,
    /// Why legacy answered where the decision was modern; `reason` stays the decision's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'a str>,
    /// Times that the request was sent upstream; more than one is a retry.
    pub attempts: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

enum Message {
    Line(Vec<u8>),
    /// Write what came before, then drop this.
    Flush(SyncSender<()>),
}

/// The sending end. `None` inside: switched off. Clones share the writer.
#[derive(Clone)]
pub struct AccessLog {
    lines: Option<SyncSender<Message>>,
    dropped: Counter,
}

impl AccessLog {
    /// Starts the writer's thread. It ends, with all lines written, when the log is dropped.
    pub fn start(config: &Config, dropped: Counter) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = match config {
            Config::Off => {
                return Ok(Self {
                    lines: None,
                    dropped,
                });
            }
            Config::Stdout => Box::new(io::stdout()),
            Config::File(path) => {
                Box::new(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        let (lines, queue) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("access log".to_owned())
            .spawn(move || write_lines(&queue, out))?;
        Ok(Self {
            lines: Some(lines),
            dropped,
        })
    }

    pub fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    pub fn write(&self, line: &Line<'_>) {
        let Some(lines) = &self.lines else { return };
        let mut text = Vec::with_capacity(384);
        if serde_json::to_writer(&mut text, line).is_ok() {
            text.push(b'\n');
            if lines.try_send(Message::Line(text)).is_err() {
                self.dropped.inc();
            }
        }
    }

    /// Waits until every line so far is written, at most `patience`. For the end of the process, never for a request.
    pub fn flush(&self, patience: Duration) {
        let (done, written) = sync_channel(1);
        let asked = self
            .lines
            .as_ref()
            .map(|lines| lines.try_send(Message::Flush(done)));
        if matches!(asked, Some(Ok(()))) {
            // An error is the writer's answer too: it dropped its end after the last line.
            let _ = written.recv_timeout(patience);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, on which nobody waits"
)]
fn write_lines(queue: &Receiver<Message>, out: Box<dyn Write + Send>) {
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    let mut failing = false;
    let mut note = |result: io::Result<()>| match result {
        Ok(()) => failing = false,
        // Said once until it works again: a full disk must not fill the other log.
        Err(e) if !std::mem::replace(&mut failing, true) => {
            tracing::error!(error = %e, "the access log cannot be written")
        }
        Err(_) => {}
    };
    let mut waiting = Vec::new();
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        if matches!(next, Some(Message::Line(_))) {
            thread::sleep(GATHER);
        }
        while let Some(message) = next {
            match message {
                Message::Line(line) => note(out.write_all(&line)),
                Message::Flush(done) => waiting.push(done),
            }
            next = queue.try_recv().ok();
        }
        // Nobody waits for more: let the reader see it now.
        note(out.flush());
        waiting.clear();
    }
}
