//! TLS towards an upstream, in the types that pingora takes.
//!
//! Its own file, because certificates are taken apart once and shared by every address of an upstream.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::settings::Tls;

/// What every connection of one upstream carries.
#[derive(Debug, Default)]
pub struct Identity {
    ca: Option<Arc<CaType>>,
    client: Option<Arc<CertKey>>,
    /// Connections that were made under other certificates are not used on.
    group: u64,
}

impl Identity {
    pub fn new(tls: &Tls) -> Self {
        let mut group = DefaultHasher::new();
        tls.ca.hash(&mut group);
        let ca = tls.ca.iter().cloned();
        let ca: Arc<CaType> = ca.map(|der| WrappedX509::new(der, parse_x509)).collect();
        let client = tls.client.as_ref().and_then(|client| {
            let key = PrivateKeyDer::from_pem_slice(client.key.reveal().as_bytes()).ok()?;
            client.chain.hash(&mut group);
            Some(Arc::new(CertKey::new(
                client.chain.clone(),
                key.secret_der().to_vec(),
            )))
        });
        let is_plain = ca.is_empty() && client.is_none();
        Self {
            ca: Some(ca).filter(|ca| !ca.is_empty()),
            client,
            group: if is_plain { 0 } else { group.finish() },
        }
    }

    pub fn dress(&self, peer: &mut HttpPeer, tls: &Tls) {
        peer.group_key = self.group;
        peer.client_cert_key = self.client.clone();
        peer.options.ca = self.ca.clone();
        peer.options.verify_cert = tls.verify;
        peer.options.verify_hostname = tls.verify;
    }
}

/// The certificates of a PEM text, each one that pingora can read: it ends the process on one that it cannot.
pub fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut certificates = Vec::new();
    for found in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let der = found.map_err(|e| format!("has a certificate that is no PEM: {e}"))?;
        let anchor = rustls::RootCertStore::empty().add(der.clone());
        anchor.map_err(|e| format!("has a certificate that cannot be read: {e}"))?;
        certificates.push(der.as_ref().to_vec());
    }
    match certificates.is_empty() {
        true => Err("expected certificates in PEM (\"-----BEGIN CERTIFICATE-----\"); to name a file: { file = \"/path\" }".to_owned()),
        false => Ok(certificates),
    }
}

/// Whether a PEM text holds a private key and the first certificate is its own.
pub fn check_key(pem: &str, chain: &[Vec<u8>]) -> Result<(), String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        "expected a private key in PEM (\"-----BEGIN PRIVATE KEY-----\")".to_owned()
    })?;
    let chain = chain.iter().cloned().map(CertificateDer::from).collect();
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, key, &provider)
        .map(drop)
        .map_err(|e| format!("is not the key of the certificate: {e}"))
}
