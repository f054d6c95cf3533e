//! HTTP/1 as bytes on a socket, for both ends of the proxy.
//!
//! Its own file, because a client library hides just what a proxy must not change: order, spelling, framing, and how
//! a connection ends.

use std::future::Future;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::process::PATIENCE;

/// What a test waits for comes soon or never.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("in time")
}

/// One connection. Bytes that were read beyond what was asked for wait in `unread`.
pub struct Wire {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

/// A request's or an answer's head, as it came.
#[derive(Clone, Debug)]
pub struct Head {
    pub first: String,
    /// In order; names as they are spelt.
    pub fields: Vec<(String, String)>,
}

/// A whole message.
#[derive(Clone, Debug)]
pub struct Message {
    pub head: Head,
    pub body: Vec<u8>,
}

/// How a connection ended after what was read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
}

impl Head {
    /// All values of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.fields
            .iter()
            .filter(same)
            .map(|(_, v)| v.as_str())
            .collect()
    }

    /// The value of a field that is there once.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} is there {} times", all.len());
        all.first().copied()
    }

    /// An answer's status.
    pub fn status(&self) -> u16 {
        let status = self.first.split(' ').nth(1).expect("a status line");
        status.parse().expect("a status")
    }
}

impl Message {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("a connection"))
    }

    /// A client with little room, so that what it does not read stays with the proxy.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(8192).expect("a small buffer");
        Self::over(socket.connect(address).await.expect("a connection"))
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("an option");
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("sent");
    }

    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        in_time(self.stream.write_all(bytes.as_ref())).await
    }

    /// Ends the connection with RST, without a farewell.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("an option");
    }

    /// What was read too far, and the socket.
    pub fn into_parts(self) -> (Vec<u8>, TcpStream) {
        (self.unread, self.stream)
    }

    /// One read more.
    async fn fill(&mut self) -> Result<usize, End> {
        let mut bytes = [0; 16 * 1024];
        match in_time(self.stream.read(&mut bytes)).await {
            Ok(0) => Err(End::Closed),
            Ok(n) => {
                self.unread.extend_from_slice(&bytes[..n]);
                Ok(n)
            }
            Err(_) => Err(End::Reset),
        }
    }

    /// Everything up to and with `mark`.
    pub async fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, End> {
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|w| w == mark) {
                let rest = self.unread.split_off(at + mark.len());
                return Ok(std::mem::replace(&mut self.unread, rest));
            }
            self.fill().await?;
        }
    }

    pub async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, End> {
        while self.unread.len() < length {
            self.fill().await?;
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    /// What comes until the connection ends, and how it ends.
    pub async fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.fill().await {
                return (std::mem::take(&mut self.unread), end);
            }
        }
    }

    pub async fn head(&mut self) -> Result<Head, End> {
        let bytes = self.until(b"\r\n\r\n").await?;
        let text = String::from_utf8(bytes).expect("a head in ASCII");
        let mut lines = text.trim_end().split("\r\n");
        let first = lines.next().expect("a first line").to_owned();
        let fields = lines
            .map(|line| line.split_once(':').expect("a field"))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Ok(Head { first, fields })
    }

    /// A body by the framing that the head names; none without one, which is right for requests.
    pub async fn body(&mut self, head: &Head) -> Result<Vec<u8>, End> {
        if head.get("transfer-encoding").is_some() {
            return self.chunked().await;
        }
        match head.get("content-length") {
            Some(length) => self.exactly(length.parse().expect("a length")).await,
            None => Ok(Vec::new()),
        }
    }

    async fn chunked(&mut self) -> Result<Vec<u8>, End> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n").await?;
            let text = std::str::from_utf8(&line).expect("a chunk's size").trim();
            let size = usize::from_str_radix(text, 16).expect("a chunk's size");
            body.extend(self.exactly(size).await?);
            assert_eq!(self.exactly(2).await?, b"\r\n", "a chunk's end");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// A whole request, as an origin reads it.
    pub async fn request(&mut self) -> Result<Message, End> {
        let head = self.head().await?;
        let body = self.body(&head).await?;
        Ok(Message { head, body })
    }

    /// A whole answer, as a client reads it that sent anything but HEAD.
    pub async fn answer(&mut self) -> Message {
        let head = self.head().await.expect("an answer's head");
        let body = match head.status() {
            100..200 | 204 | 304 => Vec::new(),
            _ => self.body(&head).await.expect("an answer's body"),
        };
        Message { head, body }
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.answer().await
    }
}

/// Asks on a connection of its own.
pub async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Message {
    Wire::connect(address).await.ask(request).await
}

/// A bare GET with more fields.
pub fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: app.example.com\r\n{fields}\r\n")
}

/// An origin that does with each connection what `script` says.
pub async fn origin<F, Fut>(script: F) -> SocketAddr
where
    F: Fn(Wire) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(Wire::over(stream)));
        }
    });
    address
}

/// What an origin was asked.
pub struct Asked(mpsc::UnboundedReceiver<Message>);

impl Asked {
    /// For an origin that answers not everything alike.
    pub fn of(told: mpsc::UnboundedReceiver<Message>) -> Self {
        Self(told)
    }

    /// The next request that it got.
    pub async fn next(&mut self) -> Message {
        in_time(self.0.recv()).await.expect("the origin runs")
    }

    /// How many more it got so far.
    pub fn waiting(&self) -> usize {
        self.0.len()
    }
}

/// An origin that answers every request with the same bytes, keeps its connections, and tells what it was asked.
pub async fn recorder(answer: &'static str) -> (SocketAddr, Asked) {
    let (told, asked) = mpsc::unbounded_channel();
    let address = origin(move |mut wire| {
        let told = told.clone();
        async move {
            while let Ok(request) = wire.request().await {
                let _ = told.send(request);
                if wire.try_send(answer).await.is_err() {
                    return;
                }
            }
        }
    });
    (address.await, Asked(asked))
}

/// A short answer.
pub const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
