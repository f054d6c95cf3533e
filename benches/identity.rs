//! What it costs to name the tenant of a request, by each proof. Targets: 3 µs for a remembered session, 1 µs for a remembered token.
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

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use ficus::identity::answers::{Lookup, Owner};
use ficus::identity::jwt::claims::Expected;
use ficus::identity::jwt::keys::KeySet;
use ficus::identity::jwt::{Algorithm, KeySource, Keyrings, verify};
use ficus::identity::{
    Chain, Driver, Facts, Jwt, LaravelSession, Memory, Resolution, Resolver, Sanctum, Unresolved,
    normalise_host,
};
use ficus::ids::TenantId;
use ficus::laravel::envelope::Cipher;
use ficus::secret::Secret;
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

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

fn expected() -> Expected {
    Expected {
        leeway: 30,
        tenant: Some("tenant".to_owned()),
        user: Some("sub".to_owned()),
        tier: Some("tier".to_owned()),
        ..Expected::default()
    }
}

fn token_resolver(cache_size: u64) -> Resolver {
    Resolver::Jwt(Box::new(Jwt {
        algorithm: Algorithm::Rs256,
        key: KeySource::Inline(Secret::new(include_str!("../tests/fixtures/jwt/rsa.pem"))),
        cookie: None,
        expected: expected(),
        cache_size,
    }))
}

/// Good until 2100.
fn signed_token() -> String {
    let payload = r#"{"sub":"5f7c8ec7-c33d-4c83-9b6b-7b2f2a9d2f10","email":"ann@example.com","tier":"pro","tenant":2,"iat":1700000000,"exp":4102444800}"#;
    let signed = [r#"{"typ":"JWT","alg":"RS256"}"#, payload]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let pair =
        RsaKeyPair::from_pkcs8(include_bytes!("../tests/fixtures/jwt/rsa.pkcs8")).expect("a key");
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .expect("signed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
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
        Chain::new(&[resolver], runtime.handle(), &Keyrings::default(), |_| {
            Ok(Arc::clone(&lookup))
        })
        .expect("a chain")
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

    // RS256 by a key of 2048 bits, as plan 003 signs: some 500 bytes.
    let bearer = format!("Bearer {}", signed_token());
    let mut with_jwt = headers.clone();
    with_jwt.insert(
        AUTHORIZATION,
        HeaderValue::from_str(&bearer).expect("a token is a header"),
    );
    let jwt_facts = Facts {
        headers: &with_jwt,
        ..facts
    };
    let by_jwt = chain(token_resolver(10_000));
    assert!(named(&by_jwt, &jwt_facts));
    criterion.bench_function("identity/jwt_remembered", |b| {
        b.iter(|| assert!(named(&by_jwt, &jwt_facts)))
    });
    let pem = include_str!("../tests/fixtures/jwt/rsa.pem");
    let keys = KeySet::of_text(Algorithm::Rs256, pem).expect("a key");
    let expected = expected();
    let signed = signed_token();
    criterion.bench_function("identity/jwt_verified", |b| {
        b.iter(|| {
            verify(black_box(&signed), Algorithm::Rs256, &keys, &expected, 0).expect("a good token")
        })
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
