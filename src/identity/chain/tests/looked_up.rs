//! The proofs that are looked up: each out of its place in the head, and each remembered.
//!
//! Its own file, because they share the stores' answers and nothing of the chain's order.

use http::header::AUTHORIZATION;

use super::*;
use crate::identity::{ApiKey, ApiToken, Sanctum};
use crate::secret;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// HMAC-SHA1 of 40 zeros and `v2` with the tests' key, by openssl.
const DATA_PREFIX: &str = "f06389cbc4038eccc74e7c8cf3e7dd4d71b468aa|";

fn sanctum() -> Resolver {
    Resolver::Sanctum(Sanctum {
        query: String::new(),
        expiration: None,
        database_url: Secret::default(),
        memory: MEMORY,
    })
}

fn api_token() -> Resolver {
    Resolver::ApiToken(ApiToken {
        input_key: "api_token".to_owned(),
        is_hashed: false,
        query: String::new(),
        database_url: Secret::default(),
        memory: MEMORY,
    })
}

fn api_key() -> Resolver {
    Resolver::ApiKey(ApiKey {
        header: API_KEY,
        query: String::new(),
        database_url: Secret::default(),
        memory: MEMORY,
    })
}

async fn resolved<'a>(resolver: Resolver, headers: &'a HeaderMap, target: &'a str) -> Identity<'a> {
    let chain = chain(&[by_host(), resolver]);
    let facts = Facts {
        headers,
        host: Some("2.example.com"),
        target,
        sni: None,
        peer_trusted: false,
    };
    let first = chain.resolve(&facts).await;
    let again = chain.resolve_now(&facts);
    assert!(
        matches!(again, Resolution::Done(ref found) if *found == first),
        "the same from memory"
    );
    first
}

#[tokio::test]
async fn each_proof_is_stronger_than_the_host() {
    let secret = "s".repeat(40);
    let bearer = |token: &str| {
        headers(
            AUTHORIZATION,
            HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
        )
    };
    let found = bearer(&format!("17|{secret}"));
    assert_eq!(
        resolved(sanctum(), &found, "/").await,
        identity(17, "sanctum", None)
    );
    let found = bearer("31");
    assert_eq!(
        resolved(api_token(), &found, "/").await,
        identity(31, "api_token", None)
    );
    assert_eq!(
        resolved(api_token(), &HeaderMap::new(), "/?api_token=32").await,
        identity(32, "api_token", None)
    );
    let key = HeaderValue::from_str(&secret::issue("ficus_key_")).unwrap();
    let found = headers(API_KEY, key);
    assert_eq!(
        resolved(api_key(), &found, "/").await,
        identity(50, "api_key", None)
    );
}

#[tokio::test]
async fn a_token_that_nobody_has_leaves_the_host_and_is_told_as_refused() {
    let token = HeaderValue::from_str(&format!("Bearer 0|{}", "s".repeat(40))).unwrap();
    let found = headers(AUTHORIZATION, token);
    let found = resolved(sanctum(), &found, "/").await;
    assert_eq!(found.source, "host");
    assert_eq!(found.why, Some(Unresolved::UnknownToken));
    assert_eq!(found.proof, Proof::Refused(Unresolved::UnknownToken));
}

#[tokio::test]
async fn a_session_in_cookies_is_read_without_a_store_and_its_user_is_looked_up() {
    let session = Resolver::LaravelSession(LaravelSession {
        driver: Driver::Cookie,
        ..by_session()
    });
    let id = "0".repeat(40);
    let data = serde_json::json!({
        "data": "a:1:{s:50:\"login_web_59ba36addc2b2f9401580f014c7f58ea4e30989d\";i:9;}",
        "expires": i64::MAX,
    });
    let sealed = seal(format!("{DATA_PREFIX}{data}").as_bytes());
    let mut both = headers(COOKIE, session_cookie(0));
    both.append(
        COOKIE,
        HeaderValue::from_str(&format!("{id}={sealed}")).unwrap(),
    );
    assert_eq!(
        resolved(session.clone(), &both, "/").await,
        identity(9, "laravel_session", None)
    );
    let alone = headers(COOKIE, session_cookie(0));
    let found = resolved(session, &alone, "/").await;
    assert_eq!(found.why, Some(Unresolved::UnknownSession));
}
