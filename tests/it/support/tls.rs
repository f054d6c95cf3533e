//! Certificates that are made when a test runs, and clients that look at what a server shows.
//!
//! Its own file, because a handshake needs both ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key, as files hold them.
pub struct Identity {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).expect("signed").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub fn issue(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("a certificate");
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        Identity {
            chain: signed.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client that trusts this authority, speaks these protocols and shows this certificate.
    pub fn client(&self, protocols: &[&str], shows: Option<&Identity>) -> Client {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate");
        roots.add(root).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the versions")
            .with_root_certificates(roots);
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::from_pem_slice(identity.chain.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
                let (chain, key) = (vec![chain.expect("a certificate")], key.expect("a key"));
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        Client(TlsConnector::from(Arc::new(config)))
    }
}

impl Identity {
    /// Writes it where the configuration looks for it: `NAME.pem` and `NAME.key`, each moved into place as a whole.
    pub fn write(&self, folder: &Path, name: &str) {
        for (text, kind) in [(&self.key, "key"), (&self.chain, "pem")] {
            let (fresh, path) = (
                folder.join(format!("{name}.{kind}.new")),
                folder.join(format!("{name}.{kind}")),
            );
            std::fs::write(&fresh, text).expect("written");
            std::fs::rename(&fresh, &path).expect("in place");
        }
    }
}

#[derive(Clone)]
pub struct Client(TlsConnector);

impl Client {
    /// Connects and asks for `name`.
    pub async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        self.0.connect(name, stream).await
    }
}
