//! What a server's certificate is checked against.
//!
//! Its own file, because reading roots is done once for a pool, and may fail.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::server::{Roots, Security, Server, ServerError};

/// How TLS is spoken with one server, and whose certificate it has to show.
#[derive(Clone)]
pub struct Tls {
    pub connector: TlsConnector,
    pub name: ServerName<'static>,
}

/// Reads files where the roots are the system's. `None` for a server in plain text.
pub fn of(server: &Server) -> Result<Option<Tls>, ServerError> {
    if server.security == Security::Plain {
        return Ok(None);
    }
    let name = ServerName::try_from(server.host.clone())
        .map_err(|_| ServerError::Host(server.host.clone()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ServerError::Roots(e.to_string()))?
        .with_root_certificates(roots(&server.roots)?)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Some(Tls { connector, name }))
}

fn roots(roots: &Roots) -> Result<RootCertStore, ServerError> {
    let unread = |e: &dyn std::fmt::Display| ServerError::Roots(e.to_string());
    let mut store = RootCertStore::empty();
    match roots {
        Roots::Native => {
            let found = rustls_native_certs::load_native_certs();
            // One file that cannot be read is no reason to trust nobody.
            store.add_parsable_certificates(found.certs);
            if let (true, Some(e)) = (store.is_empty(), found.errors.first()) {
                return Err(unread(e));
            }
        }
        Roots::Pem(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|e| unread(&e))?;
                store.add(certificate).map_err(|e| unread(&e))?;
            }
        }
    }
    match store.is_empty() {
        true => Err(ServerError::Roots("there are none".to_owned())),
        false => Ok(store),
    }
}
