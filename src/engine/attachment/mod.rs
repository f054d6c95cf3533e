//! A message's attachments, brought here: given with it in base64, or fetched from where it says.
//!
//! Its own folder, because a fetch goes where a customer says: it is the one request of the engine whose address a stranger
//! chooses. The name is resolved here, every address that it has must be the public internet's ([`public`]), and the
//! connection goes to the addresses that were looked at, so that a second answer of the name's server changes nothing.
//! Redirects are followed by the same steps. Only `https`, no proxy of the environment, no credentials in the URL.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::mail;
use super::mail::File;
use super::mail::header::{ContentId, FileName, MediaType};

pub mod public;

use public::is_public;

/// Bytes of one file: in base64 it fills a mail.
pub const FILE_LIMIT: usize = mail::MAIL_LIMIT / 4 * 3;
/// For a file, from the name's resolution to the last byte.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Bytes of a URL.
const URL_LIMIT: usize = 2000;
/// A storage's download page, its content network, and one more.
const REDIRECT_LIMIT: usize = 3;

/// A file as a message names it.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub name: &'a str,
    /// What the sender says that it is. Without it a fetched file is what its server says, and another is bytes.
    pub kind: Option<&'a str>,
    /// By what the HTML shows it, if it does.
    pub inline: Option<&'a str>,
    pub source: Source<'a>,
}

#[derive(Clone, Debug)]
pub enum Source<'a> {
    Base64(&'a str),
    Url(&'a str),
}

/// Why there is no file. None of them repeats the URL, which may carry a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Header(#[from] mail::Fault),
    #[error("the file is not base64")]
    Base64,
    #[error("the file is larger than {FILE_LIMIT} bytes")]
    TooLarge,
    #[error(
        "the URL is not https with a host, has credentials in it, or is longer than {URL_LIMIT} bytes"
    )]
    Url,
    #[error("the URL's host leads to {0}, which is not on the public internet")]
    Forbidden(IpAddr),
    #[error("the URL's host has no address")]
    Unresolved,
    #[error("the URL leads on more than {REDIRECT_LIMIT} times")]
    Redirects,
    #[error("the file's server answered {0}")]
    Status(u16),
    #[error("the file's server could not be reached, or broke off")]
    Transport,
    #[error("the file did not come in time")]
    Timeout,
}

impl Fault {
    /// Whether the file may be there the next time.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unresolved | Self::Transport | Self::Timeout | Self::Status(408 | 429) => true,
            Self::Status(status) => *status >= 500,
            _ => false,
        }
    }
}

/// Fetches files. One for the process.
#[derive(Clone, Debug)]
pub struct Fetcher {
    time_limit: Duration,
    /// The tests' own server, on this machine, and whom to believe that it is.
    #[cfg(test)]
    permitted: Option<(SocketAddr, reqwest::Certificate)>,
}

impl Default for Fetcher {
    fn default() -> Self {
        Self {
            time_limit: TIME_LIMIT,
            #[cfg(test)]
            permitted: None,
        }
    }
}

impl Fetcher {
    /// The file, checked as far as a mail wants it.
    pub async fn load(&self, wanted: &Wanted<'_>) -> Result<File, Fault> {
        let name = FileName::new(wanted.name)?;
        let inline = wanted.inline.map(ContentId::new).transpose()?;
        let kind = wanted.kind.map(MediaType::new).transpose()?;
        let (bytes, told) = match wanted.source {
            Source::Base64(text) => (decode(text)?, None),
            Source::Url(url) => timeout(self.time_limit, self.fetch(url))
                .await
                .map_err(|_| Fault::Timeout)??,
        };
        Ok(File {
            name,
            kind: kind.or(told).unwrap_or_else(MediaType::bytes),
            bytes,
            inline,
        })
    }

    /// The bytes, and what the server says that they are.
    async fn fetch(&self, url: &str) -> Result<(Vec<u8>, Option<MediaType>), Fault> {
        let mut url = parse(url)?;
        for _ in 0..=REDIRECT_LIMIT {
            let answer = self.ask(&url).await?;
            let status = answer.status();
            if status.is_success() {
                let header = answer.headers().get(CONTENT_TYPE);
                let kind = header
                    .and_then(|kind| kind.to_str().ok())
                    .and_then(|kind| MediaType::new(kind).ok());
                return Ok((read(answer).await?, kind));
            }
            let location = answer.headers().get(LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            match location {
                Some(location) if status.is_redirection() => {
                    let next = url.join(location).map_err(|_| Fault::Url)?;
                    url = parse(next.as_str())?;
                }
                _ => return Err(Fault::Status(status.as_u16())),
            }
        }
        Err(Fault::Redirects)
    }

    /// One request, to addresses that have been looked at.
    async fn ask(&self, url: &Url) -> Result<Response, Fault> {
        let host = url.host_str().ok_or(Fault::Url)?;
        let port = url.port_or_known_default().ok_or(Fault::Url)?;
        let addresses = self.resolve(host, port).await?;
        // A client for each: it knows the addresses of one host. Files are fetched once for a campaign.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("ficus/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .no_proxy()
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .timeout(self.time_limit)
            .resolve_to_addrs(host, &addresses);
        #[cfg(test)]
        let client = match &self.permitted {
            Some((_, certificate)) => client.tls_certs_only([certificate.clone()]),
            None => client,
        };
        let client = client.build().map_err(|_| Fault::Transport)?;
        client.get(url.clone()).send().await.map_err(fault)
    }

    /// Every address must be allowed: a name that has one inside and one outside is an attempt.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        let addresses: Vec<SocketAddr> = match literal(host) {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => {
                let found = lookup_host((host, port)).await;
                found.map_err(|_| Fault::Unresolved)?.collect()
            }
        };
        if let Some(address) = addresses.iter().find(|address| !self.may_reach(address)) {
            return Err(Fault::Forbidden(address.ip()));
        }
        match addresses.is_empty() {
            true => Err(Fault::Unresolved),
            false => Ok(addresses),
        }
    }

    fn may_reach(&self, address: &SocketAddr) -> bool {
        #[cfg(test)]
        if let Some((permitted, _)) = &self.permitted
            && address.ip().is_loopback()
            && address.port() == permitted.port()
        {
            return true;
        }
        is_public(address.ip())
    }
}

/// What can be said of a source before anybody is asked for it: whoever hands a message in is told at once. What its host's name leads to
/// is looked at when the file is fetched, since it may lead elsewhere by then.
///
/// # Errors
///
/// If it can never be a file.
pub fn check(source: &Source<'_>) -> Result<(), Fault> {
    match source {
        Source::Base64(text) => decode(text).map(|_| ()),
        Source::Url(url) => match parse(url)?.host_str().and_then(literal) {
            Some(address) if !is_public(address) => Err(Fault::Forbidden(address)),
            _ => Ok(()),
        },
    }
}

/// A host that is an address itself. The URL's parser has brought every spelling of it to one.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// White space is allowed: base64 comes in lines.
fn decode(text: &str) -> Result<Vec<u8>, Fault> {
    // A line end for each 76 characters and as much again.
    if text.len() > FILE_LIMIT / 3 * 4 + FILE_LIMIT / 10 {
        return Err(Fault::TooLarge);
    }
    let text: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(text).map_err(|_| Fault::Base64)?;
    match bytes.len() > FILE_LIMIT {
        true => Err(Fault::TooLarge),
        false => Ok(bytes),
    }
}

fn parse(text: &str) -> Result<Url, Fault> {
    if text.len() > URL_LIMIT {
        return Err(Fault::Url);
    }
    let url = Url::parse(text).map_err(|_| Fault::Url)?;
    let is_fit = url.scheme() == "https"
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none();
    match is_fit {
        true => Ok(url),
        false => Err(Fault::Url),
    }
}

/// What the server says of the length is believed when it is too much, and counted otherwise.
async fn read(mut answer: Response) -> Result<Vec<u8>, Fault> {
    if answer
        .content_length()
        .is_some_and(|length| length > FILE_LIMIT as u64)
    {
        return Err(Fault::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(fault)? {
        if bytes.len() + chunk.len() > FILE_LIMIT {
            return Err(Fault::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Its text is left out: it has the URL in it.
fn fault(error: reqwest::Error) -> Fault {
    match error.is_timeout() {
        true => Fault::Timeout,
        false => Fault::Transport,
    }
}

#[cfg(test)]
mod tests;
