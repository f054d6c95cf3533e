//! Routes that ask who comes: 401, 403 and 503, and what the upstream is told of a user.
//!
//! Its own file, because this is what services behind ficus lean on.

use axum::extract::Request;
use reqwest::Response;
use serde_json::Value;

use super::*;
use crate::support::issuer::{KeyServer, Mood, Signer, jwks, now};
use crate::support::process::upstream;

const ROUTES: &str = r#"
    [[route]]
    path = "/api/{*rest}"
    side = "legacy"
    auth = "required"
    [[route]]
    path = "/pro/{*rest}"
    side = "legacy"
    auth = "required"
    tiers = ["pro", "team"]
    [[route]]
    path = "/open/{*rest}"
    side = "legacy"
    auth = "optional"
    [[route]]
    path = "/dashboard/t/{tenant}/{*rest}"
    capability = "dashboard"
    auth = "required"
    [[tenant]]
    resolver = "path"
    pattern = "/dashboard/t/{tenant}/{*rest}"
"#;

/// A side that answers what it was sent: its name, and the fields of the head.
async fn echo(name: &'static str) -> std::net::SocketAddr {
    upstream(move |request: Request| async move {
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), Value::String(value))
        });
        let mut seen: serde_json::Map<String, Value> = fields.collect();
        seen.insert("side".to_owned(), Value::String(name.to_owned()));
        Value::Object(seen).to_string()
    })
    .await
}

/// A proxy with [`ROUTES`], whose issuer has the first key.
async fn guarded(database: &Database, more: &str) -> Ficus {
    let server = KeyServer::start(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]))).await;
    let config = two_sides(echo("legacy").await, echo("modern").await);
    let config = config + ROUTES + &server.entry("") + more;
    let ficus = Setup::new(database.url(), &config).start().await;
    // The first token may come before its key.
    let first = token(r#""sub":"first""#);
    eventually("the keys are there", || async {
        (ask(&ficus, "/api/x", &first, &[]).await.status() == 200).then_some(())
    })
    .await;
    ficus
}

fn token(claims: &str) -> String {
    Signer::Rsa.token(Some("a"), claims)
}

async fn ask(ficus: &Ficus, path: &str, token: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = client().get(ficus.url(path));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

/// The head that the upstream got.
async fn seen(answer: Response) -> Value {
    assert_eq!(answer.status(), 200);
    serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
}

/// Status, challenge and the problem's type of a refusal.
async fn refusal(answer: Response) -> (u16, Option<String>, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let challenge = answer.headers().get("www-authenticate");
    let challenge = challenge.map(|value| value.to_str().expect("text").to_owned());
    let problem: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    assert_eq!(problem["status"], status);
    let kind = problem["type"].as_str().expect("a type").to_owned();
    (status, challenge, kind)
}

#[tokio::test]
async fn what_is_not_proven_does_not_pass_a_required_route() {
    let database = seeded().await;
    let ficus = guarded(&database, "").await;
    let unauthenticated = (
        401,
        Some("Bearer".to_owned()),
        "urn:ficus:problem:unauthenticated".to_owned(),
    );
    for headers in [
        &[][..],
        // Believed from this peer, and no proof.
        &[("x-tenant-id", "2"), ("x-user-id", "7")],
        &[("authorization", "Basic dTpw")],
    ] {
        let answer = ask(&ficus, "/api/x", "", headers).await;
        assert_eq!(refusal(answer).await, unauthenticated, "{headers:?}");
    }
    let answer = ask(&ficus, "/dashboard/t/bluebird/x", "", &[]).await;
    assert_eq!(
        refusal(answer).await,
        unauthenticated,
        "a path proves nothing"
    );

    let invalid = (
        401,
        Some(r#"Bearer error="invalid_token""#.to_owned()),
        "urn:ficus:problem:invalid-token".to_owned(),
    );
    let late = Signer::Rsa.token_until(Some("a"), r#""sub":"7""#, now() - 60);
    let forged = Signer::Other.token(Some("a"), r#""sub":"7""#);
    for token in [late.as_str(), &forged, "x.y.z", "17|opaque", ".."] {
        for path in ["/api/x", "/open/x", "/%61pi//x"] {
            let headers = [("x-tenant-id", "2")];
            let answer = ask(&ficus, path, token, &headers).await;
            assert_eq!(refusal(answer).await, invalid, "{token} {path}");
        }
    }
    let good = format!("Bearer {}", token(r#""sub":"7""#));
    let twice = [("authorization", good.as_str()), ("authorization", &good)];
    let answer = ask(&ficus, "/api/x", "", &twice).await;
    assert_eq!(refusal(answer).await, invalid, "two are none");
}

#[tokio::test]
async fn the_upstream_is_told_the_user_of_the_token_and_nobody_elses_word() {
    let database = seeded().await;
    let ficus = guarded(&database, "").await;
    let spoofed = [
        ("x-user-id", "admin"),
        ("X-User-Tier", "gold"),
        ("x_user_id", "admin"),
        ("x-user_tier", "gold"),
        ("x_user-id", "admin"),
    ];
    let bearer = token(r#""sub":"auth0|7","tier":"pro""#);
    for path in ["/api/x", "/open/x", "/dashboard/x"] {
        let head = seen(ask(&ficus, path, &bearer, &spoofed).await).await;
        assert_eq!(head["x-user-id"], "auth0|7", "{path}");
        assert_eq!(head["x-user-tier"], "pro", "{path}");
        assert_eq!(head["authorization"], format!("Bearer {bearer}"), "{path}");
        let twins = ["x_user_id", "x-user_tier", "x_user-id"];
        assert!(twins.iter().all(|twin| head.get(twin).is_none()), "{head}");
    }
    // Half of what a peer says of somebody else is not put beside what the token says.
    let without_tier = token(r#""sub":"7""#);
    let head = seen(ask(&ficus, "/api/x", &without_tier, &spoofed).await).await;
    assert_eq!(head["x-user-id"], "7");
    assert_eq!(head.get("x-user-tier"), None);
    let without_user = token(r#""tenant":2"#);
    let head = seen(ask(&ficus, "/api/x", &without_user, &spoofed).await).await;
    assert_eq!(
        (head.get("x-user-id"), head.get("x-user-tier")),
        (None, None)
    );
    let nobody = seen(ask(&ficus, "/open/x", "", &[]).await).await;
    assert_eq!(nobody.get("x-user-id"), None);
}

#[tokio::test]
async fn from_a_peer_that_is_not_trusted_no_user_is_believed() {
    let database = seeded().await;
    let server = KeyServer::start(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]))).await;
    let config = two_sides(echo("legacy").await, echo("modern").await);
    let config = config.replace("127.0.0.0/8", "192.0.2.1") + ROUTES + &server.entry("");
    let ficus = Setup::new(database.url(), &config).start().await;
    let spoofed = [("x-user-id", "admin"), ("x_user_tier", "gold")];
    for path in ["/open/x", "/elsewhere"] {
        let head = seen(ask(&ficus, path, "", &spoofed).await).await;
        assert_eq!(
            (head.get("x-user-id"), head.get("x_user_tier")),
            (None, None)
        );
    }
}

#[tokio::test]
async fn a_tier_that_the_route_does_not_take_is_refused() {
    let database = seeded().await;
    let ficus = guarded(&database, "").await;
    for tier in ["pro", "team"] {
        let bearer = token(&format!(r#""sub":"7","tier":"{tier}""#));
        assert_eq!(ask(&ficus, "/pro/x", &bearer, &[]).await.status(), 200);
    }
    for claims in [
        r#""sub":"7","tier":"free""#,
        r#""sub":"7""#,
        r#""tenant":2"#,
    ] {
        let told = refusal(ask(&ficus, "/pro/x", &token(claims), &[]).await).await;
        let kind = "urn:ficus:problem:tier-not-allowed".to_owned();
        assert_eq!(told, (403, None, kind), "{claims}");
    }
}

#[tokio::test]
async fn a_token_of_one_tenant_opens_no_other_tenants_path() {
    let database = seeded().await;
    let ficus = guarded(&database, "").await;
    let bluebird = token(r#""sub":"7","tenant":2"#);
    for path in [
        "/dashboard/t/2/x",
        "/dashboard/t/bluebird/x",
        "/dashboard/t/BlueBird/x",
    ] {
        let head = seen(ask(&ficus, path, &bluebird, &[]).await).await;
        assert_eq!(
            (&head["side"], &head["x-ficus-tenant"]),
            (&"modern".into(), &"2".into())
        );
    }
    let other = (403, None, "urn:ficus:problem:other-tenant".to_owned());
    for path in [
        "/dashboard/t/3/x",
        "/dashboard/t/corner/x",
        // Nobody knows whether the application does.
        "/dashboard/t/stranger/x",
        "/dashboard/t/%00/x",
        "/dashboard/t/2/..%2f..%2ft/3/x",
    ] {
        assert_eq!(
            refusal(ask(&ficus, path, &bluebird, &[]).await).await,
            other,
            "{path}"
        );
    }
    let headers = [("x-tenant-id", "3")];
    for path in ["/dashboard/t/2/x", "/api/x", "/open/x"] {
        let answer = ask(&ficus, path, &bluebird, &headers).await;
        assert_eq!(refusal(answer).await, other, "{path}");
    }
    // Whose token names no tenant goes where the path says.
    let anybody = token(r#""sub":"7""#);
    let head = seen(ask(&ficus, "/dashboard/t/corner/x", &anybody, &[]).await).await;
    assert_eq!(
        (&head["side"], &head["x-ficus-tenant"]),
        (&"legacy".into(), &"3".into())
    );
}

#[tokio::test]
async fn without_keys_nobody_is_refused_for_good() {
    let database = seeded().await;
    let server = KeyServer::start(Mood::Fail).await;
    let config = two_sides(echo("legacy").await, echo("modern").await);
    let config = config + ROUTES + &server.entry("");
    let ficus = Setup::new(database.url(), &config).start().await;
    let bearer = token(r#""sub":"7""#);
    let answer = ask(&ficus, "/api/x", &bearer, &[]).await;
    assert!(answer.headers().contains_key("retry-after"));
    let kind = "urn:ficus:problem:identity-unavailable".to_owned();
    assert_eq!(refusal(answer).await, (503, None, kind));
    let head = seen(ask(&ficus, "/open/x", &bearer, &[]).await).await;
    assert_eq!(head.get("x-user-id"), None, "let in as nobody");
}

#[tokio::test]
async fn the_log_says_what_proved_a_user_and_never_who() {
    let database = seeded().await;
    let ficus = guarded(&database, "").await;
    let bearer = token(r#""sub":"ann@example.com","tenant":2"#);
    let _ = ask(&ficus, "/dashboard/t/2/held", &bearer, &[]).await;
    let _ = ask(&ficus, "/api/refused", "x.y.z", &[]).await;
    let line_of = async |path: &str| {
        eventually("the line is written", || async {
            let mut lines = ficus.access_log().into_iter();
            lines.find(|line| line["path"] == path)
        })
        .await
    };
    let held = line_of("/dashboard/t/2/held").await;
    let refused = line_of("/api/refused").await;
    assert_eq!(
        (&held["auth"], &held["identity"]),
        (&"jwt".into(), &"jwt".into())
    );
    assert_eq!(refused["auth"], "malformed");
    assert_eq!(refused["reason"], "invalid-token");
    let config = std::fs::read_to_string(ficus.config.with_file_name("access.log"));
    assert!(!config.expect("the log").contains("ann@"));
    assert!(!ficus.log().contains("ann@"));
}

#[tokio::test]
async fn explain_says_who_it_is_and_whether_the_route_lets_them_in() {
    let database = seeded().await;
    let ficus = guarded(&database, "").await;
    let explain = async |path: &str, token: &str| -> Value {
        let mut headers = Vec::new();
        if !token.is_empty() {
            headers.push(["authorization".to_owned(), format!("Bearer {token}")]);
        }
        let body = serde_json::json!({ "method": "GET", "url": path, "headers": headers });
        let socket = reqwest::Client::builder()
            .unix_socket(ficus.socket())
            .build()
            .expect("a client");
        let answer = socket
            .post("http://localhost/api/v1/explain")
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .expect("an answer");
        let text = answer.text().await.expect("text");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
    };
    let outcome = |explained: &Value, step: &str| -> String {
        let steps = explained["steps"].as_array().expect("steps");
        let found = steps.iter().find(|it| it["step"] == step);
        let found = found.unwrap_or_else(|| panic!("no {step} in {explained}"));
        found["outcome"].as_str().expect("text").to_owned()
    };
    let bearer = token(r#""sub":"7","tier":"pro","tenant":2"#);
    let held = explain("/dashboard/t/2/x", &bearer).await;
    assert_eq!(held["side"], "modern", "{held}");
    assert_eq!(
        outcome(&held, "tenant"),
        "jwt says tenant 2 (bluebird), proven"
    );
    assert_eq!(
        outcome(&held, "auth"),
        "authentication is required: jwt holds, user 7 of tier pro"
    );
    let absent = explain("/dashboard/t/2/x", "").await;
    assert_eq!(
        outcome(&absent, "auth"),
        "authentication is required: no proof is shown: 401 unauthenticated"
    );
    assert_eq!(
        (&absent["side"], &absent["reason"]),
        (&"none".into(), &"unauthenticated".into())
    );
    let refused = explain("/api/x", "x.y.z").await;
    assert_eq!(
        outcome(&refused, "auth"),
        "authentication is required: the proof is refused (malformed): 401 invalid-token"
    );
    let other = explain("/dashboard/t/3/x", &bearer).await;
    assert_eq!(other["reason"], "other-tenant", "{other}");
}
