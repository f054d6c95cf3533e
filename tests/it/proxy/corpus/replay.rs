//! The client of the corpus: sends a case, and tells what came back and how the connection ended.
//!
//! Its own file, because it judges nothing, and because it must survive whatever a proxy answers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::fixture::Case;

/// After this a proxy hangs. Far beyond every deadline that it is configured with.
const HANGS: Duration = Duration::from_secs(20);

/// How a case is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Alone; after the answer another request asks whether the connection still lives.
    Alone,
    /// In one piece with a request of somebody else's behind it.
    Glued,
}

/// What a client saw on one connection.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Final answers: to the case, and to the request after it.
    pub answers: Vec<Answer>,
    /// How many of them came before that request was sent. Glued, it is sent at once.
    pub before_next: usize,
    /// The connection was reset, which may have destroyed an answer on its way.
    pub reset: bool,
    pub hangs: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 0: what came was no answer.
    pub status: u16,
    /// Whose request the origin answered. `None`: the proxy's own answer.
    pub mark: Option<String>,
    pub body: Vec<u8>,
}

impl Mode {
    /// `q`, the number, and a letter that tells the modes and the next request apart.
    pub fn mark(self, number: usize) -> String {
        let letter = if self == Self::Alone { 'a' } else { 'g' };
        format!("q{number:04}{letter}")
    }

    /// The mark of the request after it.
    pub fn next_mark(self, number: usize) -> String {
        let letter = if self == Self::Alone { 'p' } else { 'v' };
        format!("q{number:04}{letter}")
    }
}

/// A request that every proxy takes, and which ends its connection.
pub fn plain(mark: &str, more: &str) -> String {
    format!("GET /{mark} HTTP/1.1\r\nHost: victim.test\r\n{more}\r\n")
}

pub async fn send(case: &Case, number: usize, mode: Mode, proxy: SocketAddr) -> Seen {
    let mut seen = Seen::default();
    let whole = timeout(HANGS, converse(case, number, mode, proxy, &mut seen)).await;
    match whole {
        Ok(Ok(())) => {}
        Ok(Err(_)) => seen.reset = true,
        Err(_) => seen.hangs = true,
    }
    seen
}

async fn converse(
    case: &Case,
    number: usize,
    mode: Mode,
    proxy: SocketAddr,
    seen: &mut Seen,
) -> std::io::Result<()> {
    let mut bytes = case.bytes(&mode.mark(number));
    let next = plain(&mode.next_mark(number), "Connection: close\r\n");
    if mode == Mode::Glued {
        bytes.extend(next.as_bytes());
    }
    let mut stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let mut reader = Answers {
        head_first: case.asks_for_head(),
        unread: Vec::new(),
    };
    // Refused in its middle, the rest of a case finds nobody; the answer is what counts.
    let _ = stream.write_all(&bytes).await;
    if mode == Mode::Alone {
        if case.expected.half {
            stream.shutdown().await?;
        }
        for _ in 0..case.expected.requests {
            match reader.next(&mut stream).await? {
                Some(answer) => seen.answers.push(answer),
                None => return Ok(()),
            }
            seen.before_next = seen.answers.len();
        }
        if case.expected.half || stream.write_all(next.as_bytes()).await.is_err() {
            return Ok(());
        }
    }
    loop {
        match reader.next(&mut stream).await {
            Ok(Some(answer)) => seen.answers.push(answer),
            Ok(None) => return Ok(()),
            // It was closing when the next request came.
            Err(_) if mode == Mode::Alone => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

/// Answers off a connection, one by one.
struct Answers {
    head_first: bool,
    unread: Vec<u8>,
}

impl Answers {
    /// The next final answer. `None`: the connection ended instead.
    async fn next(&mut self, stream: &mut TcpStream) -> std::io::Result<Option<Answer>> {
        let mut ended = false;
        loop {
            if let Some((answer, used)) = self.parse(ended) {
                self.unread.drain(..used);
                if (100..200).contains(&answer.status) && answer.status != 101 {
                    continue;
                }
                self.head_first = false;
                return Ok(Some(answer));
            }
            if ended {
                return Ok(None);
            }
            ended = stream.read_buf(&mut self.unread).await? == 0;
        }
    }

    fn parse(&self, ended: bool) -> Option<(Answer, usize)> {
        let bytes = &self.unread[..];
        let none = || Answer {
            status: 0,
            mark: None,
            body: bytes.to_vec(),
        };
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            return (ended && !bytes.is_empty()).then(|| (none(), bytes.len()));
        };
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = text.split("\r\n");
        let status = lines.next().filter(|line| line.starts_with("HTTP/1."));
        let status = status.and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let Some(status) = status else {
            return Some((none(), bytes.len()));
        };
        let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
        let get = |name: &str| {
            let found = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim().to_owned())
        };
        let rest = &bytes[end + 4..];
        let length = match status {
            100..200 | 204 | 304 => Some(0),
            _ if self.head_first => Some(0),
            _ => get("content-length").and_then(|length| length.parse().ok()),
        };
        // Without a length the end of the connection ends it: no proxy here makes chunks of its own answers.
        let length = match length {
            Some(length) if rest.len() >= length => length,
            _ if ended => rest.len(),
            _ => return None,
        };
        let answer = Answer {
            status,
            mark: get("x-mark"),
            body: rest[..length].to_vec(),
        };
        Some((answer, end + 4 + length))
    }
}
