//! An https upstream: whom it must be signed by, what name it must have, and what it may ask of us.
//!
//! Its own file, because certificates have to be made first.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::wire::{FINE, get};
use super::super::{dead_port, in_front_of};
use super::{asked, until_metric};
use crate::support::process::eventually;

/// A CA and what it signed, in a folder.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a folder"));
        this.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem");
        for name in ["modern.internal", "ficus"] {
            std::fs::write(this.path("ext"), format!("subjectAltName=DNS:{name}\n"))
                .expect("written");
            this.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
            this.openssl(&format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out {name}.pem"));
        }
        this
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .output()
            .expect("openssl runs");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        format!("{{ file = \"{}\" }}", self.path(name).display())
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

/// An origin as `modern.internal` that takes only clients whose certificate the CA has signed, if it asks for one.
async fn https_origin(certificates: &Certificates, asks: bool) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![certificate(&certificates.path("modern.internal.pem"))];
    let key =
        PrivateKeyDer::from_pem_file(certificates.path("modern.internal.key")).expect("a key");
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = if asks {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(certificate(&certificates.path("ca.pem")))
            .expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(chain, key).expect("a server");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut bytes = [0; 4096];
                // Each request of these tests comes in one piece.
                while matches!(stream.read(&mut bytes).await, Ok(1..)) {
                    if stream.write_all(FINE.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn config(address: SocketAddr, tls: &str) -> String {
    format!(
        "[upstream.modern]\nurl = \"https://{address}\"\n[upstream.modern.tls]\n{tls}\n\
         [[route]]\npath = \"/{{*rest}}\"\nupstream = \"modern\"\n"
    )
}

#[tokio::test]
async fn an_upstream_is_believed_by_its_ca_and_its_name_or_if_nobody_asks() {
    let certificates = Certificates::new();
    let address = https_origin(&certificates, false).await;
    let ca = certificates.file("ca.pem");
    for (tls, status) in [
        (format!("ca = {ca}\nsni = \"modern.internal\""), 200),
        (format!("ca = {ca}\nsni = \"other.internal\""), 502),
        ("sni = \"modern.internal\"".to_owned(), 502),
        ("sni = \"modern.internal\"\nverify = false".to_owned(), 200),
    ] {
        let ficus = in_front_of(dead_port(), &config(address, &tls)).await;
        for _ in 0..2 {
            let answer = asked(&ficus, &get("/a", "")).await;
            assert_eq!(answer.head.status(), status, "{tls}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_asks_for_our_certificate_gets_it_and_a_reload_brings_a_new_one() {
    let certificates = Certificates::new();
    let address = https_origin(&certificates, true).await;
    let tls = |name: &str| {
        let (certificate, key) = (
            certificates.file(&format!("{name}.pem")),
            certificates.file(&format!("{name}.key")),
        );
        format!(
            "ca = {}\nsni = \"modern.internal\"\ncertificate = {certificate}\nkey = {key}",
            certificates.file("ca.pem")
        )
    };
    let without = format!(
        "ca = {}\nsni = \"modern.internal\"",
        certificates.file("ca.pem")
    );
    let ficus = in_front_of(dead_port(), &config(address, &without)).await;
    assert_eq!(asked(&ficus, &get("/a", "")).await.head.status(), 502);

    let text = std::fs::read_to_string(&ficus.config).expect("its configuration");
    let aside = ficus.config.with_extension("new");
    std::fs::write(&aside, text.replace(&without, &tls("ficus"))).expect("written");
    std::fs::rename(&aside, &ficus.config).expect("in place");
    until_metric(&ficus, "ficus_config_reloads_total 1").await;
    eventually("it is let in", || async {
        (asked(&ficus, &get("/a", "")).await.head.status() == 200).then_some(())
    })
    .await;
}
