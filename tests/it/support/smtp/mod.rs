//! A mail server that says what a test scripts, and counts what it is told.
//!
//! Its own folder, because what matters of a pipelining client is how its bytes arrive, and real servers do not tell.

mod talk;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::tls::Identity;
use talk::connection;

/// How the server answers a line. Three lines are none of SMTP: `CONNECT` stands for the greeting, `CONTENT` for the
/// first bytes of a body, `BODY` for its end.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As a server does that minds the order of commands.
    Usual,
    Say(&'static str),
    SayAndCut(&'static str),
    /// Closes without a word, after the replies before this one.
    Cut,
    /// Reads on, and never answers again.
    Silent,
}

pub struct Script {
    /// The keywords after EHLO. The usual: PIPELINING and some that change nothing.
    pub offers: Vec<&'static str>,
    pub tls: Option<TlsAcceptor>,
    /// TLS from the first byte, and no STARTTLS.
    pub implicit: bool,
    /// 354 although there is no recipient, as RFC 2920 allows.
    pub lets_data_in: bool,
    /// Forgets what came in one piece with a body's end.
    pub drops_after_body: bool,
    pub answer: Box<dyn Fn(&str) -> Answer + Send + Sync>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub connections: usize,
    /// How often something of a message was answered: the round trips that the client waited for.
    pub flights: usize,
    pub lines: Vec<String>,
    pub messages: Vec<Received>,
    /// Lines that came before the reply to one that they must wait for.
    pub hasty: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    pub body: String,
}

/// Dropped, it closes its port and cuts its connections.
pub struct MailServer {
    pub address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    script: Script,
    seen: Mutex<Seen>,
    changed: Notify,
    gone: tokio_util::sync::CancellationToken,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            offers: vec!["PIPELINING", "8BITMIME", "SIZE 10000000", "HELP"],
            tls: None,
            implicit: false,
            lets_data_in: false,
            drops_after_body: false,
            answer: Box::new(|_| Answer::Usual),
        }
    }
}

impl Script {
    /// Answers as told, where the line begins so.
    pub fn answering(answers: &'static [(&'static str, Answer)]) -> Self {
        let answer = move |line: &str| {
            let found = answers.iter().find(|(start, _)| line.starts_with(start));
            found.map_or(Answer::Usual, |(_, answer)| answer.clone())
        };
        Self {
            answer: Box::new(answer),
            ..Self::default()
        }
    }
}

/// What a server shows of its certificate.
pub fn acceptor(identity: &Identity) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_slice(identity.chain.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a pair");
    TlsAcceptor::from(Arc::new(config))
}

impl MailServer {
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State {
            script,
            seen: Mutex::default(),
            changed: Notify::new(),
            gone: tokio_util::sync::CancellationToken::new(),
        });
        let accepting = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).expect("an option");
                    state.note(|seen| seen.connections += 1);
                    let state = Arc::clone(&state);
                    tokio::spawn(async move {
                        let gone = state.gone.clone();
                        gone.run_until_cancelled(connection(stream, &state)).await;
                    });
                }
            }
        });
        Self {
            address,
            state,
            accepting,
        }
    }

    pub fn seen(&self) -> Seen {
        self.state
            .seen
            .lock()
            .expect("no test panics in it")
            .clone()
    }

    /// Waits until what was seen is so.
    pub async fn until(&self, is_so: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let changed = self.state.changed.notified();
            let seen = self.seen();
            if is_so(&seen) {
                return seen;
            }
            changed.await;
        }
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.gone.cancel();
    }
}

impl State {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().expect("no test panics in it"));
        self.changed.notify_one();
    }
}
