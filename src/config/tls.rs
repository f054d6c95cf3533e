//! Reads `[proxy.tls]`.
//!
//! Its own file, because a certificate that does not fit its key is a fault of the configuration, found before it is in force.

use std::sync::LazyLock;

use super::address;
use super::section::Section;
use crate::proxy::tls::{Certificate, Clients, Config, Version, build};

/// A certificate has nothing in common with another.
static NO_DEFAULTS: LazyLock<toml::Table> = LazyLock::new(toml::Table::new);

/// How clients are asked for a certificate.
#[derive(Clone, Copy)]
enum Ask {
    No,
    Optionally,
    Always,
}

pub fn read(mut section: Section<'_, '_>) -> Option<Config> {
    let listen = section.list("listen", address::socket_address);
    let certificates: Vec<Option<Certificate>> = section
        .listed("certificate", ("proxy.tls.certificate", &NO_DEFAULTS))
        .into_iter()
        .map(read_certificate)
        .collect();
    let ask = section.word(
        "client_auth",
        &[
            ("none", Ask::No),
            ("optional", Ask::Optionally),
            ("required", Ask::Always),
        ],
    );
    let authorities = section.text("client_ca", |text| Ok(text.to_owned()));
    let http2 = section.switch("http2");
    let oldest = section.word(
        "oldest",
        &[("1.2", Version::Tls12), ("1.3", Version::Tls13)],
    );
    let clients = match (ask, authorities) {
        (Some(Ask::No), Some(_)) => Some(Clients::Anonymous),
        (Some(_), Some(authorities)) if authorities.is_empty() => {
            section.fault("client_ca", "is required, since client_auth asks for certificates: the authorities that sign them");
            None
        }
        (Some(Ask::Optionally), Some(authorities)) => Some(Clients::Optional(authorities)),
        (Some(Ask::Always), Some(authorities)) => Some(Clients::Required(authorities)),
        _ => None,
    };
    let read = || {
        Some(Config {
            listen: listen?,
            certificates: certificates.into_iter().collect::<Option<_>>()?,
            clients: clients?,
            http2: http2?,
            oldest: oldest?,
        })
    };
    let config = read();
    if let Some(config) = &config
        && let Err(faults) = build(config)
    {
        for fault in faults {
            section.fault(&fault.key, fault.problem);
        }
        section.finish();
        return None;
    }
    section.finish();
    config
}

fn read_certificate(mut section: Section<'_, '_>) -> Option<Certificate> {
    let chain = section.text("chain", |text| Ok(text.to_owned()));
    let key = section.secret("key", true, |_| Ok(()));
    section.finish();
    Some(Certificate {
        chain: chain?,
        key: key?,
    })
}
