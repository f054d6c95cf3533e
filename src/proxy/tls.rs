//! TLS for clients: which certificate for which name, whose certificates clients must show, what is spoken inside.
//!
//! Its own file, because it is the whole of what a handshake needs: the configuration builds one of these, a reload replaces it,
//! and a connection keeps the one that it began with. It stands on rustls, as pingora does.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::secret::Secret;

/// Sessions that may be resumed, by clients that come back. Each is some hundred bytes. A reload forgets them, so a client
/// certificate that is no longer trusted is not resumed either.
const SESSIONS: usize = 10_000;

/// `[proxy.tls]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub listen: Vec<SocketAddr>,
    /// The first one also stands for names that none has.
    pub certificates: Vec<Certificate>,
    pub clients: Clients,
    pub http2: bool,
    pub oldest: Version,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// PEM: the certificate itself, then those that lead to a root.
    pub chain: String,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: Secret,
}

/// What is asked of clients in the handshake.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Clients {
    /// No certificate.
    #[default]
    Anonymous,
    /// One that these authorities (PEM) have signed, if the client has any.
    Optional(String),
    /// The same, and who has none is turned away.
    Required(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Tls12,
    Tls13,
}

/// Where in the configuration a fault is.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Below `proxy.tls`.
    pub key: String,
    pub problem: String,
}

/// What a handshake needs, or each thing that keeps it from working. `None`: there is nothing that listens.
pub fn build(config: &Config) -> Result<Option<Arc<ServerConfig>>, Vec<Fault>> {
    if config.listen.is_empty() {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut faults = Vec::new();
    let mut note = |key: String, problem: String| faults.push(Fault { key, problem });
    let mut keys = Vec::new();
    for (place, certificate) in config.certificates.iter().enumerate() {
        match load(certificate, &provider) {
            Ok(key) => keys.push(key),
            Err((key, problem)) => note(format!("certificate[{place}].{key}"), problem),
        }
    }
    if config.certificates.is_empty() {
        note(
            "certificate".to_owned(),
            "expected at least one, since proxy.tls.listen has an address".to_owned(),
        );
    }
    let versions: &[&SupportedProtocolVersion] = match config.oldest {
        Version::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        Version::Tls13 => &[&rustls::version::TLS13],
    };
    let verifier = match verify_clients(&config.clients, &provider) {
        Ok(verifier) => verifier,
        Err(problem) => {
            note("client_ca".to_owned(), problem);
            None
        }
    };
    let Some((names, first)) = by_name(&keys).zip(keys.first().cloned()) else {
        return Err(faults);
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    let fault = |e: rustls::Error| {
        vec![Fault {
            key: "oldest".to_owned(),
            problem: e.to_string(),
        }]
    };
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(fault)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_cert_resolver(Arc::new(Certificates { names, first }));
    server.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    server.alpn_protocols = match config.http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(Some(Arc::new(server)))
}

/// A certificate with its key, or the key of the configuration that is wrong and why.
fn load(
    certificate: &Certificate,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, (&'static str, String)> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect();
    let chain = chain.map_err(|e| ("chain", format!("is no PEM: {e}")))?;
    if chain.is_empty() {
        return Err((
            "chain",
            "has no certificate: expected PEM, -----BEGIN CERTIFICATE-----".to_owned(),
        ));
    }
    // The text is a secret, and the error tells nothing of it.
    let key = PrivateKeyDer::from_pem_slice(certificate.key.reveal().as_bytes()).map_err(|_| {
        (
            "key",
            "has no private key: expected PEM, PKCS#8, PKCS#1 or SEC1, without a password"
                .to_owned(),
        )
    })?;
    CertifiedKey::from_der(chain, key, provider)
        .map(Arc::new)
        .map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => {
                ("key", "is not the key of this certificate".to_owned())
            }
            e => ("chain", format!("cannot be used: {e}")),
        })
}

/// The certificates by the names that they are for, in lower case. `None` where one of them cannot be read.
fn by_name(keys: &[Arc<CertifiedKey>]) -> Option<HashMap<String, Arc<CertifiedKey>>> {
    let mut names = HashMap::new();
    for key in keys {
        let certificate = webpki::EndEntityCert::try_from(key.cert.first()?).ok()?;
        for name in certificate.valid_dns_names() {
            // The first one that has a name keeps it.
            names
                .entry(name.to_ascii_lowercase())
                .or_insert_with(|| Arc::clone(key));
        }
    }
    Some(names)
}

fn verify_clients(
    clients: &Clients,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>, String> {
    let (authorities, is_required) = match clients {
        Clients::Anonymous => return Ok(None),
        Clients::Optional(authorities) => (authorities, false),
        Clients::Required(authorities) => (authorities, true),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        let certificate = certificate.map_err(|e| format!("is no PEM: {e}"))?;
        roots
            .add(certificate)
            .map_err(|e| format!("has a certificate that cannot be used: {e}"))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match is_required {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    builder
        .build()
        .map(Some)
        .map_err(|e| format!("cannot be used: {e}"))
}

/// Picks the certificate by the name that the client asks for.
#[derive(Debug)]
struct Certificates {
    names: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl Certificates {
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.names.get(&name).or_else(|| {
            // A wildcard stands for one whole label (RFC 6125, 6.4.3).
            let (_, rest) = name.split_once('.')?;
            self.names.get(&format!("*.{rest}"))
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        Some(Arc::clone(named.unwrap_or(&self.first)))
    }
}
