//! The SMTP side: RFC 5321 without extensions but PIPELINING (RFC 2920), SIZE (RFC 1870) and 8BITMIME (RFC 6152).
//!
//! Its own file, because the dialogue is a protocol of its own; what it yields is an envelope and its bytes.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::lines::{LONGEST_LINE, Line, next_line};
use super::store::Store;

/// Connections at once; more are told to come back.
const CONNECTIONS: usize = 64;
/// Bytes of a message.
const LARGEST_MESSAGE: usize = 1024 * 1024;
/// RFC 5321, 4.5.3.1.8.
const RECIPIENTS: usize = 100;

/// Serves until it is aborted; its sessions end with it.
pub async fn serve(listener: TcpListener, store: Arc<Store>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut sessions = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the mail catcher could not accept a connection");
                    // Out of file descriptors, most likely: some session must end first.
                    sessions.join_next().await;
                    continue;
                }
            },
            Some(_) = sessions.join_next() => continue,
        };
        match places.clone().try_acquire_owned() {
            Ok(place) => {
                let store = store.clone();
                sessions.spawn(async move {
                    if let Err(error) = converse(stream, &store).await {
                        tracing::debug!(%error, "a mail session broke off");
                    }
                    drop(place);
                });
            }
            // Dropped without waiting: a client that does not read must not hold us.
            Err(_) => drop(stream.try_write(b"421 too many connections, come back later\r\n")),
        }
    }
}

async fn converse(stream: TcpStream, store: &Store) -> io::Result<()> {
    // Otherwise each answer waits for the acknowledgement of the one before, 40 ms a message.
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    Session {
        reader: BufReader::new(reader),
        writer: BufWriter::new(writer),
        store,
        greeted: false,
        envelope: None,
    }
    .run()
    .await
}

struct Envelope {
    sender: String,
    recipients: Vec<String>,
}

struct Session<'a, R, W> {
    reader: BufReader<R>,
    writer: BufWriter<W>,
    store: &'a Store,
    greeted: bool,
    envelope: Option<Envelope>,
}

impl<R: tokio::io::AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<'_, R, W> {
    async fn run(mut self) -> io::Result<()> {
        self.answer("220 mail catcher of the ficus demo").await?;
        loop {
            let line = match next_line(&mut self.reader).await? {
                Line::Whole(line) => line,
                Line::TooLong => {
                    self.answer("500 the line is too long").await?;
                    continue;
                }
                Line::End => return Ok(()),
            };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let reply = match verb.to_ascii_uppercase().as_str() {
                "EHLO" if !rest.is_empty() => {
                    self.restart();
                    format!(
                        "250-ficus demo\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE {LARGEST_MESSAGE}"
                    )
                }
                "HELO" if !rest.is_empty() => {
                    self.restart();
                    "250 ficus demo".to_owned()
                }
                "EHLO" | "HELO" => "501 say who you are".to_owned(),
                "MAIL" => self.begin(rest),
                "RCPT" => self.address(rest),
                "DATA" => match self.envelope.take() {
                    Some(envelope) if !envelope.recipients.is_empty() => {
                        self.take_message(envelope).await?
                    }
                    // Kept: a refused DATA ends no transaction.
                    envelope => {
                        self.envelope = envelope;
                        "503 name a recipient first".to_owned()
                    }
                },
                "RSET" => {
                    self.envelope = None;
                    "250 forgotten".to_owned()
                }
                "NOOP" => "250 well".to_owned(),
                "VRFY" => "252 try to send it".to_owned(),
                "QUIT" => {
                    self.answer("221 good-bye").await?;
                    return self.writer.shutdown().await;
                }
                _ => "500 no such command here".to_owned(),
            };
            self.answer(&reply).await?;
        }
    }

    fn restart(&mut self) {
        self.greeted = true;
        self.envelope = None;
    }

    fn begin(&mut self, rest: &str) -> String {
        if !self.greeted {
            return "503 say EHLO first".to_owned();
        }
        if self.envelope.is_some() {
            return "503 a message is begun already".to_owned();
        }
        let Some((sender, parameters)) = path(rest, "FROM:") else {
            return "501 expected MAIL FROM:<address>".to_owned();
        };
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (name.to_ascii_uppercase().as_str(), value.parse::<usize>()) {
                ("SIZE", Ok(size)) if size > LARGEST_MESSAGE => {
                    return format!("552 at most {LARGEST_MESSAGE} bytes");
                }
                ("SIZE", Ok(_)) | ("BODY", _) => {}
                _ => return "555 unknown parameter".to_owned(),
            }
        }
        self.envelope = Some(Envelope {
            sender: sender.to_owned(),
            recipients: Vec::new(),
        });
        "250 go on".to_owned()
    }

    fn address(&mut self, rest: &str) -> String {
        let Some(envelope) = &mut self.envelope else {
            return "503 say MAIL first".to_owned();
        };
        match path(rest, "TO:") {
            Some((recipient, _)) if !recipient.is_empty() => {
                if envelope.recipients.len() >= RECIPIENTS {
                    return "452 too many recipients".to_owned();
                }
                envelope.recipients.push(recipient.to_owned());
                "250 go on".to_owned()
            }
            _ => "501 expected RCPT TO:<address>".to_owned(),
        }
    }

    /// The text up to the line with a single dot. One that is too large is read to its end and refused.
    async fn take_message(&mut self, envelope: Envelope) -> io::Result<String> {
        self.writer
            .write_all(b"354 end with a line that is a single dot\r\n")
            .await?;
        self.writer.flush().await?;
        let mut raw = Vec::new();
        let mut refused = false;
        // Only a dot between two line ends ends a message: anything laxer lets one message smuggle a second.
        let mut after_line_end = true;
        loop {
            match next_line(&mut self.reader).await? {
                Line::Whole(line) if after_line_end && line == b".\r\n" => break,
                Line::Whole(line) => {
                    let text = if after_line_end {
                        line.strip_prefix(b".").unwrap_or(&line)
                    } else {
                        &line[..]
                    };
                    refused |= raw.len() + text.len() > LARGEST_MESSAGE;
                    if !refused {
                        raw.extend_from_slice(text);
                    }
                    after_line_end = line.ends_with(b"\r\n");
                }
                Line::TooLong => {
                    refused = true;
                    after_line_end = false;
                }
                Line::End => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        if refused {
            return Ok(format!(
                "552 at most {LARGEST_MESSAGE} bytes, in lines of at most {LONGEST_LINE}"
            ));
        }
        Ok(
            match self
                .store
                .add(envelope.sender, envelope.recipients, Bytes::from(raw))
            {
                Ok(number) => format!("250 caught as {number}"),
                Err(error) => {
                    tracing::warn!(%error, "the mail catcher could not keep a message");
                    "451 could not keep it".to_owned()
                }
            },
        )
    }

    /// Held back while more commands are waiting already, as PIPELINING allows.
    async fn answer(&mut self, reply: &str) -> io::Result<()> {
        self.writer.write_all(reply.as_bytes()).await?;
        self.writer.write_all(b"\r\n").await?;
        if self.reader.buffer().is_empty() {
            self.writer.flush().await
        } else {
            Ok(())
        }
    }
}

/// Of `FROM:<a@b> SIZE=1`: the address and what follows. Old clients put a space before the bracket.
fn path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (head, tail) = rest.split_at_checked(keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    tail.trim_start().strip_prefix('<')?.split_once('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends all of `sent` at once, as a pipelining client does, and gives the replies.
    async fn replies_to(store: &Store, sent: &[u8]) -> Vec<String> {
        let mut replies = Vec::new();
        let session = Session {
            reader: BufReader::new(sent),
            writer: BufWriter::new(&mut replies),
            store,
            greeted: false,
            envelope: None,
        };
        let _ = session.run().await;
        String::from_utf8(replies)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn a_pipelined_message_is_kept_with_its_dots_unstuffed() {
        let (folder, store) = store();
        let replies = replies_to(
            &store,
            b"EHLO me\r\nMAIL FROM:<a@x.test> SIZE=20\r\nRCPT TO:<b@y.test>\r\nRCPT TO:<c@y.test>\r\nDATA\r\nSubject: hi\r\n\r\n..dot\r\n.\r\nQUIT\r\n",
        )
        .await;
        let codes: Vec<&str> = replies.iter().map(|line| &line[..3]).collect();
        assert_eq!(
            codes,
            [
                "220", "250", "250", "250", "250", "250", "250", "250", "354", "250", "221"
            ]
        );
        let message = store.get(1).unwrap();
        assert_eq!(&message.raw[..], b"Subject: hi\r\n\r\n.dot\r\n");
        assert_eq!(
            (message.sender.as_str(), message.recipients.len()),
            ("a@x.test", 2)
        );
        assert_eq!(
            std::fs::read(folder.path().join("000001.eml")).unwrap(),
            &message.raw[..]
        );
    }

    #[tokio::test]
    async fn a_dot_after_a_bare_line_feed_does_not_end_the_message() {
        let (_folder, store) = store();
        replies_to(&store, b"HELO me\r\nMAIL FROM:<>\r\nRCPT TO:<b@y.test>\r\nDATA\r\none\n.\r\nMAIL FROM:<evil@x.test>\r\n.\r\nQUIT\r\n").await;
        assert_eq!(store.received(), 1);
        assert_eq!(
            &store.get(1).unwrap().raw[..],
            b"one\n.\r\nMAIL FROM:<evil@x.test>\r\n"
        );
    }

    #[tokio::test]
    async fn commands_out_of_order_are_refused() {
        let (_folder, store) = store();
        let replies = replies_to(
            &store,
            b"MAIL FROM:<a@x.test>\r\nHELO me\r\nRCPT TO:<b@y.test>\r\nDATA\r\nMAIL FROM:a@x.test\r\nMAIL FROM:<a@x.test>\r\nRSET\r\nRCPT TO:<b@y.test>\r\nWHAT\r\nQUIT\r\n",
        )
        .await;
        let codes: Vec<&str> = replies.iter().map(|line| &line[..3]).collect();
        assert_eq!(
            codes,
            [
                "220", "503", "250", "503", "503", "501", "250", "250", "503", "500", "221"
            ]
        );
    }

    #[tokio::test]
    async fn a_message_too_large_is_refused_and_the_session_goes_on() {
        let (_folder, store) = store();
        let mut sent =
            b"HELO me\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n".to_vec();
        sent.extend(
            "x".repeat(998)
                .into_bytes()
                .into_iter()
                .chain(*b"\r\n")
                .cycle()
                .take(LARGEST_MESSAGE + 1000),
        );
        sent.extend(b"\r\n.\r\nNOOP\r\nMAIL FROM:<a@x.test> SIZE=999999999\r\nQUIT\r\n");
        let replies = replies_to(&store, &sent).await;
        let codes: Vec<&str> = replies.iter().map(|line| &line[..3]).collect();
        assert_eq!(
            codes,
            [
                "220", "250", "250", "250", "354", "552", "250", "552", "221"
            ]
        );
        assert_eq!(store.received(), 0);
    }

    #[tokio::test]
    async fn a_line_without_end_is_thrown_away_in_bounded_memory() {
        let (_folder, store) = store();
        let mut sent = vec![b'x'; 3 * LONGEST_LINE];
        sent.extend(b"\r\nNOOP\r\nQUIT\r\n");
        let replies = replies_to(&store, &sent).await;
        assert_eq!(
            replies[1..]
                .iter()
                .map(|line| &line[..3])
                .collect::<Vec<_>>(),
            ["500", "250", "221"]
        );
    }
}
