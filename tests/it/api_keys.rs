//! API keys, from the command line to the resolver that takes them.
//!
//! Its own file, because a key is made by one part of ficus and judged by another.

use axum::http::{Method, StatusCode};
use ficus::identity::Key;
use ficus::identity::key::TokenDigest;
use ficus::identity::token::api_key;
use ficus::rollout::Role;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use crate::control_stage::Stage;

const ROUTE: &str = "/api/v1/api-keys";

#[tokio::test]
async fn a_key_is_shown_once_is_listed_without_its_text_and_is_one_that_the_proxy_takes() {
    let stage = Stage::new().await;
    let admin = stage.token(Role::Admin).await;
    let create = [
        "apikey",
        "create",
        "partner",
        "--tenant",
        "acme",
        "--expires",
        "2100-01-01T00:00:00Z",
        "--reason",
        "a partner",
        "--output",
        "table",
    ];
    let made = stage.ficus(&admin, &create).await;
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.stderr.contains("once"), "{}", made.stderr);
    let text = made.stdout.trim();
    let name = HeaderName::from_static("x-api-key");
    let value = HeaderValue::from_str(text).unwrap();
    let headers = HeaderMap::from_iter([(name.clone(), value)]);
    let digest = TokenDigest::of(text.as_bytes());
    assert_eq!(api_key::read(&headers, &name, true), Ok(Key::Token(digest)));
    let stored: (i64, String) =
        sqlx::query_as("select tenant_id, encode(digest, 'hex') from ficus.api_key")
            .fetch_one(stage.pool())
            .await
            .unwrap();
    assert_eq!(stored, (1, digest.hex()));

    let listed = stage.ficus(&admin, &["apikey", "list"]).await;
    let first = &listed.json()["items"][0];
    assert_eq!(
        (&first["name"], &first["tenant_id"]),
        (&json!("partner"), &json!(1))
    );
    assert!(!listed.stdout.contains("ficus_key_"), "{}", listed.stdout);
    let again = stage.ficus(&admin, &create).await;
    assert_ne!(again.code, 0, "a name is used once");
}

#[tokio::test]
async fn a_key_is_revoked_once_and_only_by_an_admin() {
    let stage = Stage::new().await;
    let admin = stage.token(Role::Admin).await;
    let operator = stage.token(Role::Operator).await;
    let body = json!({ "name": "ci", "tenant": "2", "reason": "ci" });
    let refused = stage
        .ask(Method::POST, ROUTE, Some(&operator), Some(body.clone()))
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let made = stage
        .ask(Method::POST, ROUTE, Some(&admin), Some(body))
        .await;
    assert_eq!(
        (made.status, &made.headers["cache-control"]),
        (StatusCode::CREATED, &"no-store".parse().unwrap())
    );
    for changed in [1, 0] {
        let path = format!("{ROUTE}/ci");
        let revoked = stage
            .ask(
                Method::DELETE,
                &path,
                Some(&admin),
                Some(json!({ "reason": "over" })),
            )
            .await;
        assert_eq!(revoked.body["changed"], changed);
    }
    let path = format!("{ROUTE}/nobody");
    let unknown = stage
        .ask(
            Method::DELETE,
            &path,
            Some(&admin),
            Some(json!({ "reason": "over" })),
        )
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.body["code"], "unknown-api-key");
    let body = json!({ "name": "ci2", "tenant": "nobody", "reason": "x" });
    let unknown = stage
        .ask(Method::POST, ROUTE, Some(&admin), Some(body))
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.body["code"], "unknown-tenant");
}
