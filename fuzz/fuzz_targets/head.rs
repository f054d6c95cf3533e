//! Whatever a head says, the chain of resolvers names a tenant or a reason, and an untrusted header names nobody.
#![no_main]

use std::sync::{Arc, LazyLock};

use ficus::config::Config;
use ficus::identity::{Chain, Facts, Named, Resolution, normalise_host};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let config = Config::parse(include_str!("chain.toml"), std::iter::empty()).expect("chain.toml");
    Chain::new(
        &config.tenant,
        RUNTIME.handle(),
        &ficus::identity::jwt::Keyrings::default(),
        |_| Ok(Arc::new(|_| Box::pin(async { Ok(None) }))),
    )
    .expect("a chain")
});

fuzz_target!(|head: &str| {
    let mut headers = HeaderMap::new();
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value.trim()),
        ) {
            headers.append(name, value);
        }
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.and_then(normalise_host);
    let facts = |peer_trusted| Facts {
        headers: &headers,
        host: host.as_deref(),
        target: "/",
        sni: None,
        peer_trusted,
    };
    for trusted in [false, true] {
        let Resolution::Done(identity) = CHAIN.resolve_now(&facts(trusted)) else {
            continue;
        };
        assert!(identity.tenant.is_some() || identity.why.is_some());
        assert!(trusted || identity.source != "header");
        if let Some(Named::Slug(slug)) = identity.tenant {
            assert!(!slug.is_empty() && slug.len() <= 63);
        }
    }
});
