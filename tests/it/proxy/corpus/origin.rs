//! An origin that forgives nothing and remembers everything it was asked.
//!
//! Its own file, because it is the witness: what a proxy did to a request is seen here and nowhere else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::grammar::{self, Request, Step};

/// What happened on a connection from the proxy.
#[derive(Clone, Debug)]
pub enum Event {
    /// A whole request, in the form that RFC 9112 writes.
    Asked(Request),
    /// Bytes that no strict origin takes, and why.
    Refused(String, Vec<u8>),
    /// Bytes behind a request that has no answer yet: no proxy here sends two at once, so they are somebody's body or
    /// somebody's next request.
    Behind(Vec<u8>),
}

/// The origin and its memory.
#[derive(Clone)]
pub struct Origin {
    pub address: SocketAddr,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let events = Arc::new(Mutex::new(Vec::new()));
        let origin = Self { address, events };
        let it = origin.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let it = it.clone();
                tokio::spawn(async move { it.serve(stream).await });
            }
        });
        origin
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().expect("the memory").clone()
    }

    fn tell(&self, event: Event) {
        self.events.lock().expect("the memory").push(event);
    }

    /// Until the connection ends or something on it is wrong. Errors of the socket are the proxy's to have.
    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut unread = Vec::new();
        let mut told_to_go_on = false;
        loop {
            match read(&unread) {
                Ok(Step::Whole(request, used)) => {
                    unread.drain(..used);
                    told_to_go_on = false;
                    let answer = answer(&request);
                    let last = ends_its_connection(&request);
                    self.tell(Event::Asked(request));
                    if !unread.is_empty() {
                        self.tell(Event::Behind(std::mem::take(&mut unread)));
                        return None;
                    }
                    stream.write_all(&answer).await.ok()?;
                    if last {
                        return None;
                    }
                }
                Ok(Step::More { waits }) => {
                    if waits && !told_to_go_on {
                        told_to_go_on = true;
                        stream
                            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                            .await
                            .ok()?;
                    }
                    if stream.read_buf(&mut unread).await.ok()? == 0 {
                        return None;
                    }
                }
                Err(fault) => {
                    self.tell(Event::Refused(fault.to_owned(), unread));
                    let no = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\nx-strict: no\r\n\r\n";
                    stream.write_all(no).await.ok()?;
                    return None;
                }
            }
        }
    }
}

/// As the proxy's neighbour reads it.
fn read(bytes: &[u8]) -> Result<Step, grammar::Fault> {
    let step = grammar::read(bytes)?;
    if let Step::Whole(request, _) = &step {
        grammar::check_hop(request)?;
    }
    Ok(step)
}

fn ends_its_connection(request: &Request) -> bool {
    let options = request.all("connection");
    let says = |option: &[u8]| options.iter().any(|v| v.eq_ignore_ascii_case(option));
    says(b"close") || (request.is_old && !says(b"keep-alive"))
}

/// Says whose request it answers. Nothing else tells a client that an answer is its own.
fn answer(request: &Request) -> Vec<u8> {
    let mark = mark_of(request).unwrap_or_else(|| "nobody".to_owned());
    let head = format!(
        "HTTP/1.1 200 OK\r\nx-mark: {mark}\r\ncontent-length: {}\r\n\r\n",
        mark.len()
    );
    match request.method.as_str() {
        "HEAD" => head.into_bytes(),
        _ => format!("{head}{mark}").into_bytes(),
    }
}

/// Whose request it is: the first mark in its target, or else in its fields. A mark in the body says nothing.
pub fn mark_of(request: &Request) -> Option<String> {
    let fields = request.fields.iter().map(|(_, value)| value.as_slice());
    let places = std::iter::once(request.target.as_bytes()).chain(fields);
    places.into_iter().find_map(first_mark)
}

/// A mark is `q`, four digits and a letter: see `replay`.
pub fn first_mark(bytes: &[u8]) -> Option<String> {
    let is_mark = |w: &&[u8]| {
        w[0] == b'q' && w[1..5].iter().all(u8::is_ascii_digit) && w[5].is_ascii_lowercase()
    };
    let mark = bytes.windows(6).find(is_mark)?;
    Some(String::from_utf8_lossy(mark).into_owned())
}
