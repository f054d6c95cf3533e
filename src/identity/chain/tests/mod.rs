//! The order of the chain, with look-ups that the test answers.
//!
//! Its own file, to leave the chain itself on one page.

use std::sync::Arc;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::identity::answers::Owner;
use crate::identity::jwt::Keyrings;
use crate::identity::{Driver, Key, LaravelSession, Memory, Proof};
use crate::ids::{TenantId, TenantRef};
use crate::laravel::envelope::Cipher;
use crate::laravel::envelope::tests::{KEY, seal};
use crate::secret::Secret;

mod looked_up;
mod strength;

const MEMORY: Memory = Memory {
    ttl: Duration::from_secs(60),
    lifetime: Duration::from_secs(7200),
    size: 100,
};

const HEADER: HeaderName = HeaderName::from_static("x-tenant-id");

fn by_header() -> Resolver {
    Resolver::Header { name: HEADER }
}

fn by_host() -> Resolver {
    Resolver::Host {
        pattern: "{tenant}.example.com".to_owned(),
    }
}

fn by_path() -> Resolver {
    Resolver::Path {
        pattern: "/t/{tenant}/{*rest}".to_owned(),
    }
}

fn by_query() -> Resolver {
    Resolver::Query {
        parameter: "tenant".to_owned(),
    }
}

fn by_session() -> LaravelSession {
    LaravelSession {
        cookie: "laravel_session".to_owned(),
        app_key: Secret::new(KEY),
        cipher: Cipher::Aes256Cbc,
        driver: Driver::Database,
        encrypt: false,
        guard: "web".to_owned(),
        query: "select 1".to_owned(),
        user_query: "select 1".to_owned(),
        database_url: Secret::default(),
        memory: MEMORY,
    }
}

/// Session number n is tenant n's; number 0 is nobody's.
fn lookup() -> Lookup {
    Arc::new(|question| {
        let number: i64 = match question.key {
            Key::Session(id) => id.reveal().parse().unwrap(),
            Key::User(user) => user.reveal().parse().unwrap(),
            Key::Sanctum { id, .. } => id.unwrap_or(40),
            Key::Token(_) => question
                .text
                .map_or(50, |text| text.reveal().parse().unwrap()),
        };
        let owner = Owner {
            tenant: Some(TenantId(number)),
            user: None,
        };
        Box::pin(async move { Ok((number > 0).then_some(owner)) })
    })
}

fn chain(resolvers: &[Resolver]) -> Chain {
    Chain::new(resolvers, &Handle::current(), &Keyrings::default(), |_| {
        Ok(lookup())
    })
    .unwrap()
}

fn session_cookie(number: usize) -> HeaderValue {
    let plain = format!("7198b0a1a7564e003b468667d6241918ce65aafa|{number:040}");
    HeaderValue::from_str(&format!("laravel_session={}", seal(plain.as_bytes()))).unwrap()
}

fn headers(name: HeaderName, value: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(name, value)])
}

fn identity<'a>(tenant: i64, source: &'static str, why: Option<Unresolved>) -> Identity<'a> {
    let strength = match source {
        "header" => Strength::Header,
        "host" => Strength::Host,
        "path" => Strength::Path,
        "query" => Strength::Query,
        _ => Strength::Proven,
    };
    Identity {
        tenant: Some(Named::Id(TenantId(tenant))),
        user: None,
        source,
        strength,
        proof: match strength {
            Strength::Proven => Proof::Held(source),
            _ => Proof::Absent,
        },
        why,
    }
}

fn nobody<'a>(why: Unresolved) -> Identity<'a> {
    Identity {
        tenant: None,
        user: None,
        source: "none",
        strength: Strength::Nothing,
        proof: Proof::Absent,
        why: Some(why),
    }
}

#[tokio::test]
async fn without_a_session_nothing_waits() {
    let chain = chain(&[Resolver::LaravelSession(by_session()), by_host()]);
    let facts = Facts {
        headers: &HeaderMap::new(),
        host: Some("2.example.com"),
        target: "/",
        sni: None,
        peer_trusted: false,
    };
    assert!(
        matches!(chain.resolve_now(&facts), Resolution::Done(found) if found == identity(2, "host", None))
    );
}

#[tokio::test]
async fn a_remembered_session_does_not_wait() {
    let chain = chain(&[Resolver::LaravelSession(by_session())]);
    let headers = headers(COOKIE, session_cookie(3));
    let facts = Facts {
        headers: &headers,
        host: None,
        target: "/",
        sni: None,
        peer_trusted: false,
    };
    let Resolution::NeedsLookup(pending) = chain.resolve_now(&facts) else {
        panic!("the first request has to ask")
    };
    assert_eq!(
        chain.finish(pending, &facts).await,
        identity(3, "laravel_session", None)
    );
    assert!(
        matches!(chain.resolve_now(&facts), Resolution::Done(found) if found == identity(3, "laravel_session", None))
    );
}

#[tokio::test]
async fn after_an_unknown_session_the_chain_goes_on_and_says_so() {
    let chain = chain(&[Resolver::LaravelSession(by_session()), by_host()]);
    let headers = headers(COOKIE, session_cookie(0));
    let facts = Facts {
        headers: &headers,
        host: Some("2.example.com"),
        target: "/",
        sni: None,
        peer_trusted: false,
    };
    let expected = identity(2, "host", Some(Unresolved::UnknownSession));
    assert_eq!(chain.resolve(&facts).await, expected);
    assert!(
        matches!(chain.resolve_now(&facts), Resolution::Done(found) if found == expected),
        "the same from memory"
    );
}

#[tokio::test]
async fn two_sessions_are_asked_one_after_the_other() {
    let other = LaravelSession {
        cookie: "other_session".to_owned(),
        ..by_session()
    };
    let chain = chain(&[
        Resolver::LaravelSession(other),
        Resolver::LaravelSession(by_session()),
    ]);
    let headers = headers(COOKIE, session_cookie(3));
    let facts = Facts {
        headers: &headers,
        host: None,
        target: "/",
        sni: None,
        peer_trusted: false,
    };
    assert_eq!(
        chain.resolve(&facts).await,
        identity(3, "laravel_session", None)
    );
}

#[tokio::test]
async fn the_refusal_of_the_strongest_is_told() {
    let chain = chain(&[
        by_header(),
        by_host(),
        Resolver::LaravelSession(by_session()),
    ]);
    let mut headers = headers(HEADER, HeaderValue::from_static("1"));
    headers.append(COOKIE, HeaderValue::from_static("laravel_session=forged"));
    let facts = Facts {
        headers: &headers,
        host: Some("www.example.org"),
        target: "/",
        sni: None,
        peer_trusted: false,
    };
    assert_eq!(
        chain.resolve(&facts).await,
        // The strongest is asked first.
        nobody(Unresolved::Malformed)
    );
}

#[tokio::test]
async fn an_empty_chain_finds_no_proof() {
    let facts = Facts {
        headers: &HeaderMap::new(),
        host: None,
        target: "/",
        sni: None,
        peer_trusted: true,
    };
    assert_eq!(
        chain(&[]).resolve(&facts).await,
        nobody(Unresolved::NoProof)
    );
}

#[tokio::test]
async fn a_forged_cookie_never_reaches_the_database() {
    let lookup: Lookup = Arc::new(|_| panic!("asked for a forged cookie"));
    let chain = Chain::new(
        &[Resolver::LaravelSession(by_session())],
        &Handle::current(),
        &Keyrings::default(),
        |_| Ok(Arc::clone(&lookup)),
    )
    .unwrap();
    let genuine = session_cookie(3);
    for at in "laravel_session=".len()..genuine.len() {
        let mut forged = genuine.as_bytes().to_vec();
        forged[at] = if forged[at] == b'x' { b'y' } else { b'x' };
        let headers = headers(COOKIE, HeaderValue::from_bytes(&forged).unwrap());
        let facts = Facts {
            headers: &headers,
            host: None,
            target: "/",
            sni: None,
            peer_trusted: false,
        };
        assert!(
            matches!(
                chain.resolve_now(&facts),
                Resolution::Done(Identity { tenant: None, .. })
            ),
            "byte {at}"
        );
    }
}

#[tokio::test]
async fn an_entry_that_cannot_work_is_named() {
    let faults = [
        (
            Resolver::Host {
                pattern: "example.com".to_owned(),
            },
            "{tenant}",
        ),
        (
            Resolver::Path {
                pattern: "/a".to_owned(),
            },
            "{tenant}",
        ),
        (
            Resolver::LaravelSession(LaravelSession {
                app_key: Secret::new("base64:AAAA"),
                ..by_session()
            }),
            "app_key",
        ),
        (
            Resolver::LaravelSession(LaravelSession {
                cookie: "a b".to_owned(),
                ..by_session()
            }),
            "cookie",
        ),
    ];
    for (entry, named) in faults {
        let fault = Chain::new(
            &[by_header(), entry],
            &Handle::current(),
            &Keyrings::default(),
            |_| Ok(lookup()),
        )
        .err()
        .unwrap()
        .to_string();
        assert!(
            fault.starts_with("[[tenant]] entry 2: ") && fault.contains(named),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn a_look_up_that_cannot_be_made_names_its_entry() {
    let fault = Chain::new(
        &[Resolver::LaravelSession(by_session())],
        &Handle::current(),
        &Keyrings::default(),
        |_| anyhow::bail!("database_url: bad"),
    )
    .err()
    .unwrap();
    assert_eq!(
        fault,
        BadResolver {
            entry: 1,
            fault: "database_url: bad".to_owned()
        }
    );
}

#[tokio::test]
async fn every_thread_may_ask_one_chain() {
    let chain = Arc::new(chain(&[Resolver::LaravelSession(by_session())]));
    // Does not compile unless the chain is shared and its waiting sent between threads.
    let request = tokio::spawn({
        let chain = Arc::clone(&chain);
        async move {
            let headers = headers(COOKIE, session_cookie(3));
            let facts = Facts {
                headers: &headers,
                host: None,
                target: "/",
                sni: None,
                peer_trusted: false,
            };
            TenantRef::from(chain.resolve(&facts).await.tenant.unwrap())
        }
    });
    assert_eq!(request.await.unwrap(), TenantRef::Id(TenantId(3)));
}
