//! What it costs to name the tenant of a request, by each proof. Target: 3 µs for a remembered session.
//!
//! Its own file, because criterion builds one binary a bench.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot be set up has nothing to measure"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ficus::identity::answers::{Lookup, Owner};
use ficus::identity::laravel::envelope::Cipher;
use ficus::identity::{
    Chain, Driver, Facts, LaravelSession, Memory, Resolution, Resolver, Sanctum, Unresolved,
    normalise_host,
};
use ficus::ids::TenantId;
use ficus::secret::Secret;
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

const HEADER: HeaderName = HeaderName::from_static("x-tenant-id");

/// Sealed by Laravel with the key of bytes 00 to 1f, percent-encoded as browsers return it.
const SESSION: &str = "eyJpdiI6Ik9BMkhoOUNMVmNZalJqcStoQzFxREE9PSIsInZhbHVlIjoia21VZlZQekk0QUU5bENOcVNnaTlQVDJTTlhiYUg0NWVYMGJFTmZVYlpEL2V5T0RlZGM3dkM3Z0loYnhvaHh5MXBLRkw1VHBLNGcwS0MxWHc4U29KRDArelAyMk9EdEhyaHRMR1VBdE1Jc1FRbGZwTzl2emxDbFJicGJpbGtOc2kiLCJtYWMiOiJkZDZiZTlhMWUzZWRlZTEwZmNhZjIwZjRjYWVmMmRmNWMzNDQyZmJiMTNiNzc3MmU5YzcyOTE1ZjVlZDFlOWI5IiwidGFnIjoiIn0%3D";

const MEMORY: Memory = Memory {
    ttl: Duration::from_secs(3600),
    lifetime: Duration::from_secs(7200),
    size: 10_000,
};

fn session_resolver() -> Resolver {
    Resolver::LaravelSession(LaravelSession {
        cookie: "laravel_session".to_owned(),
        app_key: Secret::new("base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        cipher: Cipher::Aes256Cbc,
        driver: Driver::Database,
        encrypt: false,
        guard: "web".to_owned(),
        query: String::new(),
        user_query: String::new(),
        database_url: Secret::default(),
        memory: MEMORY,
    })
}

/// A browser's head. The other encrypted cookie, Laravel's XSRF-TOKEN, stands before the session as Laravel sets them.
fn browser(session: &str) -> HeaderMap {
    let cookies =
        format!("_ga=GA1.1.1234567890.1234567890; XSRF-TOKEN={SESSION}; laravel_session={session}");
    let mut headers = HeaderMap::new();
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ),
    );
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"),
    );
    headers.insert(
        COOKIE,
        HeaderValue::from_str(&cookies).expect("a cookie is a header"),
    );
    headers
}

fn named(chain: &Chain, facts: &Facts<'_>) -> bool {
    matches!(chain.resolve_now(black_box(facts)), Resolution::Done(identity) if identity.tenant.is_some())
}

fn identity(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let lookup: Lookup = Arc::new(|_| {
        Box::pin(async {
            Ok(Some(Owner {
                tenant: Some(TenantId(2)),
                user: None,
            }))
        })
    });
    let chain = |resolver| {
        Chain::new(&[resolver], runtime.handle(), |_| Ok(Arc::clone(&lookup))).expect("a chain")
    };

    let mut headers = browser(SESSION);
    headers.insert(HEADER, HeaderValue::from_static("acme"));
    let facts = Facts {
        headers: &headers,
        host: Some("acme.example.com"),
        target: "/t/acme/orders?tenant=acme",
        sni: None,
        peer_trusted: true,
    };

    let by_header = chain(Resolver::Header { name: HEADER });
    criterion.bench_function("identity/header", |b| {
        b.iter(|| assert!(named(&by_header, &facts)))
    });

    let by_host = chain(Resolver::Host {
        pattern: "{tenant}.example.com".to_owned(),
    });
    criterion.bench_function("identity/host", |b| {
        b.iter(|| assert!(named(&by_host, &facts)))
    });
    let by_path = chain(Resolver::Path {
        pattern: "/t/{tenant}/{*rest}".to_owned(),
    });
    criterion.bench_function("identity/path", |b| {
        b.iter(|| assert!(named(&by_path, &facts)))
    });
    let by_query = chain(Resolver::Query {
        parameter: "tenant".to_owned(),
    });
    criterion.bench_function("identity/query", |b| {
        b.iter(|| assert!(named(&by_query, &facts)))
    });
    criterion.bench_function("identity/normalise_host", |b| {
        b.iter(|| normalise_host(black_box("acme.example.com:8080")))
    });

    let by_session = chain(session_resolver());
    runtime.block_on(by_session.resolve(&facts));
    criterion.bench_function("identity/session_hit", |b| {
        b.iter(|| assert!(named(&by_session, &facts)))
    });

    let by_token = chain(Resolver::Sanctum(Sanctum {
        query: String::new(),
        expiration: None,
        database_url: Secret::default(),
        memory: MEMORY,
    }));
    let token = HeaderValue::from_str(&format!("Bearer 17|{}", "s".repeat(40))).expect("a token");
    let bearing = HeaderMap::from_iter([(AUTHORIZATION, token)]);
    let with_token = Facts {
        headers: &bearing,
        ..facts
    };
    runtime.block_on(by_token.resolve(&with_token));
    criterion.bench_function("identity/sanctum_hit", |b| {
        b.iter(|| assert!(named(&by_token, &with_token)))
    });

    let forged = browser(&SESSION.replace("ZDZiZTlh", "ZDZiZTli"));
    let facts = Facts {
        headers: &forged,
        ..facts
    };
    let is_refused = || matches!(by_session.resolve_now(black_box(&facts)), Resolution::Done(identity) if identity.why == Some(Unresolved::BadMac));
    criterion.bench_function("identity/session_forged", |b| {
        b.iter(|| assert!(is_refused()))
    });
}

criterion_group!(benches, identity);
criterion_main!(benches);
