//! A server to send through: where it is, how to speak to it, and for how long to wait.
//!
//! Its own file, because it is what a caller fills in.

use std::time::Duration;

use thiserror::Error;

use crate::secret::Secret;

#[derive(Clone, Debug)]
pub struct Server {
    /// A name or an IP address. Its certificate has to be for it.
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub roots: Roots,
    pub credentials: Option<Credentials>,
    /// What EHLO says that we are: a domain, or an address in brackets.
    pub local_name: String,
    pub grouping: Grouping,
    /// Whether to send by BDAT where the server offers CHUNKING and PIPELINING. It saves one round trip where messages
    /// come one by one. Off by default: the body leaves before the server has said anything about its recipient, so that
    /// what DATA would know to be unsent is uncertain when the connection is lost.
    pub chunking: bool,
    pub timeouts: Timeouts,
}

/// As SwiftMailer's `encryption` means it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// `tls`: STARTTLS before anything else. A server that does not offer or refuses it is told nothing.
    StartTls,
    /// `ssl`: TLS from the first byte.
    Implicit,
    /// Empty: plain text, the login included, even where the server offers STARTTLS. Legacy's accounts have it so;
    /// whoever sits between can read the password unless the server offers CRAM-MD5, and every message.
    Plain,
}

/// By whom the server's certificate has to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Whom the operating system trusts.
    Native,
    /// These, as PEM.
    Pem(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// For PLAIN, LOGIN and CRAM-MD5.
    Password { user: String, password: Secret },
    /// For XOAUTH2: an access token of OAuth 2.0. Whoever refreshes it makes a new pool.
    Token { user: String, token: Secret },
}

/// What may be written at once to a server that offers PIPELINING. To one that does not, commands go one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// A message's body and the next one's envelope: one round trip a message (RFC 2920, 3.1).
    AcrossMessages,
    /// An envelope, then its body: two round trips a message. For servers that drop what follows a body.
    WithinMessage,
    /// Each command on its own, for servers that offer PIPELINING and do not mean it.
    Never,
}

/// How long each step may take. The defaults are the least that RFC 5321, 4.5.3.2 asks for: to wait less for the reply to
/// a body makes duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// DNS, TCP, and again TLS.
    pub connect: Duration,
    pub greeting: Duration,
    /// EHLO, STARTTLS, and each step of AUTH.
    pub session: Duration,
    /// MAIL, RCPT and RSET, each reply.
    pub command: Duration,
    /// The reply to DATA.
    pub data: Duration,
    /// For the server to take the next part of what is written.
    pub block: Duration,
    /// The reply to a body.
    pub end: Duration,
    /// For the caller to make the intent durable. The server waits meanwhile, so it is less than its patience.
    pub intent: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        Self {
            connect: Duration::from_secs(30),
            greeting: Duration::from_secs(5 * MINUTE),
            session: Duration::from_secs(5 * MINUTE),
            command: Duration::from_secs(5 * MINUTE),
            data: Duration::from_secs(2 * MINUTE),
            block: Duration::from_secs(3 * MINUTE),
            end: Duration::from_secs(10 * MINUTE),
            intent: Duration::from_secs(MINUTE),
        }
    }
}

#[derive(Debug, Error)]
pub enum ServerError {
    #[error("the local name {0:?} is neither a domain nor an address in brackets")]
    LocalName(String),
    #[error("no certificate can be for the host {0:?}")]
    Host(String),
    #[error("reading the roots that the server's certificate is checked against: {0}")]
    Roots(String),
}

impl Server {
    /// With STARTTLS, the system's roots, no login and the timeouts of RFC 5321.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            security: Security::StartTls,
            roots: Roots::Native,
            credentials: None,
            local_name: "localhost".to_owned(),
            grouping: Grouping::AcrossMessages,
            chunking: false,
            timeouts: Timeouts::default(),
        }
    }

    /// The local name goes into a command.
    pub(super) fn check(&self) -> Result<(), ServerError> {
        let name = &self.local_name;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if name.is_empty() || name.len() > 255 || !name.chars().all(is_allowed) {
            return Err(ServerError::LocalName(name.clone()));
        }
        Ok(())
    }
}

impl Credentials {
    pub(super) fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } | Self::Token { user, .. } => user,
        }
    }

    pub(super) fn secret(&self) -> &Secret {
        match self {
            Self::Password { password, .. } => password,
            Self::Token { token, .. } => token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_name_that_could_end_its_line_is_refused() {
        let named = |name: &str| Server {
            local_name: name.to_owned(),
            ..Server::new("mx.example.com", 25)
        };
        for name in ["localhost", "mx-1.example.com", "[192.0.2.1]", "[IPv6:::1]"] {
            assert!(named(name).check().is_ok(), "{name}");
        }
        for name in ["", "a b", "a\r\nMAIL FROM:<>", "ö"] {
            assert!(named(name).check().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_server_prints_without_its_secrets() {
        let server = Server {
            credentials: Some(Credentials::Password {
                user: "bob".to_owned(),
                password: Secret::new("hunter2"),
            }),
            ..Server::new("mx.example.com", 25)
        };
        assert!(!format!("{server:?}").contains("hunter2"));
    }
}
