//! One connection of the scripted server: reads what a client writes, keeps the order of commands, answers.
//!
//! Its own file, because it is a small mail server of its own.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, Received, State};

/// What is read next.
enum Reading {
    Lines,
    Body,
    /// So many bytes of BDAT.
    Chunk(usize),
    /// The answer to a challenge of AUTH, of which so many are to come.
    Login(usize),
    Nothing,
}

struct Talk<'a> {
    state: &'a State,
    input: Vec<u8>,
    out: Vec<u8>,
    reading: Reading,
    from: Option<String>,
    to: Vec<String>,
    has_content: bool,
    is_encrypted: bool,
    /// A message's command was answered in this flight.
    counts: bool,
}

enum End {
    Goes,
    Closes,
    StartsTls,
}

pub async fn connection(stream: TcpStream, state: &State) {
    let mut talk = Talk {
        state,
        input: Vec::new(),
        out: Vec::new(),
        reading: Reading::Lines,
        from: None,
        to: Vec::new(),
        has_content: false,
        is_encrypted: state.script.implicit,
        counts: false,
    };
    if state.script.implicit {
        let tls = state.script.tls.as_ref().expect("a certificate");
        let Ok(mut stream) = tls.accept(stream).await else {
            return;
        };
        talk.run(&mut stream, true).await;
        return;
    }
    let mut stream = stream;
    if let End::StartsTls = talk.run(&mut stream, true).await {
        let tls = state.script.tls.as_ref().expect("a certificate");
        let Ok(mut stream) = tls.accept(stream).await else {
            return;
        };
        talk.is_encrypted = true;
        talk.run(&mut stream, false).await;
    }
}

impl Talk<'_> {
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        greets: bool,
    ) -> End {
        let mut end = match greets {
            true => self.answer("CONNECT", "220 mail.example.com ready"),
            false => End::Goes,
        };
        loop {
            while let End::Goes = end {
                let Some(line) = self.next_line() else { break };
                end = self.hear(&line);
            }
            if !self.out.is_empty() {
                if std::mem::take(&mut self.counts) {
                    self.state.note(|seen| seen.flights += 1);
                }
                let written = stream.write_all(&self.out).await;
                self.out.clear();
                if written.is_err() || stream.flush().await.is_err() {
                    return End::Closes;
                }
            }
            match end {
                End::Goes => {}
                End::Closes => {
                    // Not a reset: the client shall read what was said.
                    let _ = stream.shutdown().await;
                    return End::Closes;
                }
                End::StartsTls => return End::StartsTls,
            }
            // What was written in one piece is read in one.
            self.input.reserve(64 << 10);
            match stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return End::Closes,
                Ok(_) => {}
            }
        }
    }

    /// A line, or what stands for one.
    fn next_line(&mut self) -> Option<String> {
        match self.reading {
            Reading::Nothing => {
                self.input.clear();
                None
            }
            Reading::Lines | Reading::Login(_) => {
                let end = self.input.windows(2).position(|it| it == b"\r\n")?;
                let line: Vec<u8> = self.input.drain(..end + 2).collect();
                Some(String::from_utf8(line[..end].to_vec()).expect("text"))
            }
            Reading::Body => {
                if !self.has_content && !self.input.is_empty() {
                    self.has_content = true;
                    return Some("CONTENT".to_owned());
                }
                let end = match self.input.starts_with(b".\r\n") {
                    true => 0,
                    false => self.input.windows(5).position(|it| it == b"\r\n.\r\n")? + 2,
                };
                let body: Vec<u8> = self.input.drain(..end).collect();
                self.input.drain(..3);
                if self.state.script.drops_after_body {
                    self.input.clear();
                }
                let text = String::from_utf8(body).expect("text");
                let lines = text.split_inclusive("\r\n");
                self.receive(lines.map(|it| it.strip_prefix('.').unwrap_or(it)).collect());
                Some("BODY".to_owned())
            }
            Reading::Chunk(size) => {
                if self.input.len() < size {
                    return None;
                }
                let body = self.input.drain(..size).collect();
                self.receive(String::from_utf8(body).expect("text"));
                Some("BODY".to_owned())
            }
        }
    }

    fn receive(&mut self, body: String) {
        self.reading = Reading::Lines;
        let from = self.from.take().unwrap_or_default();
        let to = std::mem::take(&mut self.to);
        if !to.is_empty() {
            let received = Received { from, to, body };
            self.state.note(|seen| seen.messages.push(received));
        } else if !body.is_empty() {
            self.state.note(|seen| seen.hasty.push(body));
        }
    }

    fn hear(&mut self, line: &str) -> End {
        let script = &self.state.script;
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        self.state.note(|seen| seen.lines.push(line.to_owned()));
        self.counts |= matches!(verb, "MAIL" | "RCPT" | "DATA" | "BODY" | "BDAT" | "RSET");
        let waits = ["EHLO", "HELO", "STARTTLS", "AUTH", "QUIT"].contains(&verb);
        let groups = script.offers.contains(&"PIPELINING");
        let is_followed = !self.input.is_empty() && verb != "CONTENT" && verb != "BDAT";
        if is_followed && (waits || !groups || verb == "DATA") {
            self.state.note(|seen| seen.hasty.push(line.to_owned()));
        }
        match (&self.reading, verb) {
            (Reading::Login(more), _) => {
                let more = *more;
                self.reading = Reading::Lines;
                return match more {
                    0 => self.answer(line, "235 2.7.0 welcome"),
                    _ => {
                        self.reading = Reading::Login(more - 1);
                        self.answer(line, "334 UGFzc3dvcmQ6")
                    }
                };
            }
            (_, "CONTENT") => {
                return match (script.answer)(line) {
                    Answer::Usual => End::Goes,
                    _ => self.answer(line, ""),
                };
            }
            _ => {}
        }
        match verb {
            "EHLO" => {
                let mut offers = vec!["mail.example.com".to_owned()];
                offers.extend(script.offers.iter().map(|it| (*it).to_owned()));
                if script.tls.is_some() && !self.is_encrypted {
                    offers.push("STARTTLS".to_owned());
                }
                let last = offers.len() - 1;
                let lines: Vec<String> = offers
                    .iter()
                    .enumerate()
                    .map(|(at, it)| format!("250{}{it}", if at == last { ' ' } else { '-' }))
                    .collect();
                self.answer(line, &lines.join("\r\n"))
            }
            "STARTTLS" if script.tls.is_some() => match (script.answer)(line) {
                Answer::Usual => {
                    self.out.extend_from_slice(b"220 go on\r\n");
                    End::StartsTls
                }
                _ => self.answer(line, ""),
            },
            "AUTH" => match line {
                "AUTH LOGIN" => {
                    self.reading = Reading::Login(1);
                    self.answer(line, "334 VXNlcm5hbWU6")
                }
                "AUTH CRAM-MD5" => {
                    self.reading = Reading::Login(0);
                    self.answer(
                        line,
                        "334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
                    )
                }
                _ => self.answer(line, "235 2.7.0 welcome"),
            },
            "MAIL" if self.from.is_some() => self.answer(line, "503 5.5.1 nested MAIL"),
            "MAIL" => {
                let before = self.out.len();
                let end = self.answer(line, "250 2.1.0 ok");
                self.from = self.said_yes(before).then(|| path(line));
                end
            }
            "RCPT" if self.from.is_none() => self.answer(line, "503 5.5.1 need MAIL"),
            "RCPT" => {
                let before = self.out.len();
                let end = self.answer(line, "250 2.1.5 ok");
                if self.said_yes(before) {
                    self.to.push(path(line));
                }
                end
            }
            "DATA" if self.to.is_empty() && !script.lets_data_in => {
                self.answer(line, "554 5.5.1 no valid recipients")
            }
            "DATA" => {
                let before = self.out.len();
                let end = self.answer(line, "354 go on");
                if self.out[before..].starts_with(b"354") {
                    (self.reading, self.has_content) = (Reading::Body, false);
                }
                end
            }
            "BDAT" => {
                let size = line.split(' ').nth(1).and_then(|it| it.parse().ok());
                self.reading = Reading::Chunk(size.expect("a size"));
                End::Goes
            }
            "BODY" => self.answer(line, "250 2.0.0 queued"),
            "RSET" => {
                self.from = None;
                self.to.clear();
                self.answer(line, "250 2.0.0 ok")
            }
            "QUIT" => {
                let _ = self.answer(line, "221 2.0.0 bye");
                End::Closes
            }
            "HELO" => self.answer(line, "250 mail.example.com"),
            _ => self.answer(line, "500 5.5.2 what"),
        }
    }

    /// As the script says, and as usual where it says nothing.
    fn answer(&mut self, line: &str, usual: &str) -> End {
        let (text, end) = match (self.state.script.answer)(line) {
            Answer::Usual => (usual, End::Goes),
            Answer::Say(text) => (text, End::Goes),
            Answer::SayAndCut(text) => (text, End::Closes),
            Answer::Cut => return End::Closes,
            Answer::Silent => {
                self.reading = Reading::Nothing;
                return End::Goes;
            }
        };
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        end
    }

    fn said_yes(&self, before: usize) -> bool {
        self.out[before..].starts_with(b"2")
    }
}

fn path(line: &str) -> String {
    let (_, rest) = line.split_once('<').expect("a path");
    let (path, _) = rest.split_once('>').expect("a path");
    path.to_owned()
}
