//! Rate limits by who it is: user, API key, address, and the tier of the token, as a client sees them.
//!
//! Its own file, because a limit is only as good as the proof of whose it is. The rates are slow, so that no test earns
//! a request more by taking its time.

use reqwest::Response;
use serde_json::Value;

use super::*;
use crate::support::issuer::{KeyServer, Mood, Signer, jwks};

const ROUTES: &str = r#"
    [[route]]
    path = "/user/{*rest}"
    side = "legacy"
    rate_limit = { limit = "3/day", by = "user", tiers = { pro = "5/day" }, name = "api" }
    [[route]]
    path = "/key/{*rest}"
    side = "legacy"
    rate_limit = { limit = "3/day", by = "api_key" }
    [[route]]
    path = "/ip/{*rest}"
    side = "legacy"
    rate_limit = { limit = "3/day", by = "ip" }
    [[route]]
    path = "/warm"
    side = "legacy"
    auth = "required"
    [[tenant]]
    resolver = "api_key"
"#;

/// A proxy with [`ROUTES`] that has its issuer's key.
async fn limited(database: &Database) -> Ficus {
    let server = KeyServer::start(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]))).await;
    let ficus = start(database, &(server.entry("") + ROUTES)).await;
    let first = bearer(r#""sub":"first""#);
    eventually("the key is there", || async {
        (ask(&ficus, "/warm", &[("authorization", &first)])
            .await
            .status()
            == 200)
            .then_some(())
    })
    .await;
    ficus
}

fn bearer(claims: &str) -> String {
    format!("Bearer {}", Signer::Rsa.token(Some("a"), claims))
}

async fn ask(ficus: &Ficus, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = client().get(ficus.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

/// How many of so many requests come through; the rest are 429.
async fn allowed(ficus: &Ficus, path: &str, headers: &[(&str, &str)], times: usize) -> usize {
    let mut allowed = 0;
    for _ in 0..times {
        match ask(ficus, path, headers).await.status().as_u16() {
            200 => allowed += 1,
            status => assert_eq!(status, 429, "{path}"),
        }
    }
    allowed
}

fn field<'a>(answer: &'a Response, name: &str) -> &'a str {
    let value = answer.headers().get(name).expect(name);
    value.to_str().expect("text")
}

#[tokio::test]
async fn a_user_has_the_limit_of_the_tier_in_the_token_from_wherever_it_comes() {
    let database = seeded().await;
    let ficus = limited(&database).await;
    let (free, pro) = (
        bearer(r#""sub":"7","tier":"free","tenant":2"#),
        bearer(r#""sub":"8","tier":"pro","tenant":2"#),
    );
    for (token, limit) in [(&free, 3), (&pro, 5)] {
        let first = ask(&ficus, "/user/a", &[("authorization", token)]).await;
        assert_eq!(first.status(), 200);
        let policy = format!("\"api\";q={limit};w=86400");
        assert_eq!(field(&first, "ratelimit-policy"), policy);
        let left = format!("\"api\";r={};t=", limit - 1);
        assert!(field(&first, "ratelimit").starts_with(&left), "{first:?}");
        // Another path, another address, another name in a header that nobody proves.
        let elsewhere = [
            ("authorization", token.as_str()),
            ("x-forwarded-for", "192.0.2.77"),
            ("x-user-id", "somebody-else"),
            ("x-user-tier", "pro"),
        ];
        assert_eq!(allowed(&ficus, "/user/b", &elsewhere, 8).await, limit - 1);
    }
    let refused = ask(&ficus, "/user/a", &[("authorization", &free)]).await;
    assert_eq!(refused.status(), 429);
    assert!(field(&refused, "ratelimit").starts_with("\"api\";r=0;t="));
    let wait: u64 = field(&refused, "retry-after").parse().expect("seconds");
    // A third of a day, less what the test took.
    assert!((28_000..=28_800).contains(&wait), "{wait}");
    assert_eq!(field(&refused, "content-type"), "application/problem+json");
    let problem: Value =
        serde_json::from_str(&refused.text().await.expect("a body")).expect("JSON");
    assert_eq!(problem["type"], "urn:ficus:problem:rate-limited");

    // Another token of the same user is the same user; the same name at another tenant is somebody else.
    let again = bearer(r#""sub":"7","tier":"free","tenant":2,"jti":"another""#);
    assert_eq!(
        allowed(&ficus, "/user/a", &[("authorization", &again)], 2).await,
        0
    );
    let namesake = bearer(r#""sub":"7","tier":"free","tenant":3"#);
    assert_eq!(
        allowed(&ficus, "/user/a", &[("authorization", &namesake)], 5).await,
        3
    );
}

#[tokio::test]
async fn who_shows_no_user_is_counted_by_tenant_or_address_and_a_forged_token_is_nobodys() {
    let database = seeded().await;
    let ficus = limited(&database).await;
    let ann = bearer(r#""sub":"7","tenant":2"#);
    assert_eq!(
        allowed(&ficus, "/user/a", &[("authorization", &ann)], 4).await,
        3
    );
    // Her tenant, without a user, has a counter of its own; strangers have one an address.
    let tenant = [("x-tenant-id", "2")];
    assert_eq!(allowed(&ficus, "/user/a", &tenant, 4).await, 3);
    let forged = format!(
        "Bearer {}",
        Signer::Other.token(Some("a"), r#""sub":"9","tenant":3"#)
    );
    let stranger = [
        ("authorization", forged.as_str()),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    assert_eq!(allowed(&ficus, "/user/a", &stranger, 4).await, 3);
    let same_address = [("x-forwarded-for", "192.0.2.1")];
    assert_eq!(allowed(&ficus, "/user/a", &same_address, 2).await, 0);
    // Nothing of it was the real user's.
    let real = bearer(r#""sub":"9","tenant":3"#);
    assert_eq!(
        allowed(&ficus, "/user/a", &[("authorization", &real)], 4).await,
        3
    );
}

#[tokio::test]
async fn each_api_key_has_a_limit_of_its_own_and_a_made_up_one_none() {
    let database = seeded().await;
    let keys = ["ficus_key_", "ficus_key_", "ficus_key_"].map(ficus::secret::issue);
    for (name, key) in [("ci", &keys[0]), ("till", &keys[1])] {
        sqlx::query(
            "insert into ficus.api_key (name, tenant_id, digest) values ($1, 2, sha256($2::bytea))",
        )
        .bind(name)
        .bind(key.as_bytes())
        .execute(database.pool())
        .await
        .expect("a key");
    }
    let ficus = limited(&database).await;
    for key in &keys[..2] {
        let headers = [("x-api-key", key.as_str())];
        assert_eq!(allowed(&ficus, "/key/a", &headers, 5).await, 3);
    }
    // Who makes keys up is counted by the address, however many there are.
    let mut through = 0;
    for _ in 0..5 {
        let made_up = ficus::secret::issue("ficus_key_");
        let headers = [("x-api-key", made_up.as_str())];
        through += allowed(&ficus, "/key/a", &headers, 1).await;
    }
    assert_eq!(through, 3);
    let headers = [("x-api-key", keys[2].as_str())];
    assert_eq!(allowed(&ficus, "/key/a", &headers, 1).await, 0);
    // A token's user is no key: it is counted by its tenant.
    let user = bearer(r#""sub":"7","tenant":3"#);
    let headers = [("authorization", user.as_str())];
    assert_eq!(allowed(&ficus, "/key/a", &headers, 4).await, 3);
    let other = bearer(r#""sub":"8","tenant":3"#);
    let headers = [("authorization", other.as_str())];
    assert_eq!(allowed(&ficus, "/key/a", &headers, 2).await, 0);
}

#[tokio::test]
async fn an_address_has_one_limit_whoever_it_says_to_be() {
    let database = seeded().await;
    let ficus = limited(&database).await;
    let mut through = 0;
    for n in 0..5 {
        let token = bearer(&format!(r#""sub":"{n}","tier":"pro","tenant":2"#));
        let headers = [
            ("authorization", token.as_str()),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        through += allowed(&ficus, "/ip/a", &headers, 1).await;
    }
    assert_eq!(through, 3);
    let elsewhere = [("x-forwarded-for", "192.0.2.2")];
    assert_eq!(allowed(&ficus, "/ip/a", &elsewhere, 4).await, 3);
}
