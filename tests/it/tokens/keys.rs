//! Tokens through a real proxy, and a server of keys that fails, hangs, floods and rotates.
//!
//! Its own file, because the keys are a stranger's service in the middle of ours.

use super::*;
use crate::support::issuer::{KeyServer, Mood, OTHER_PEM, RSA_PEM, Signer, jwks, now};

const BLUEBIRD: &str = r#""sub":"7","tenant":2"#;
const CORNER: &str = r#""sub":"8","tenant":"corner""#;

/// Who answers `/dashboard` for the bearer of a token.
async fn served_to(ficus: &Ficus, token: &str) -> String {
    let bearer = format!("Bearer {token}");
    served(ficus, "/dashboard", &[("authorization", &bearer)]).await
}

async fn until_served_to(ficus: &Ficus, token: &str, side: &str) {
    eventually(&format!("the bearer is on {side}"), || async {
        (served_to(ficus, token).await == side).then_some(())
    })
    .await;
}

async fn unresolved(ficus: &Ficus, reason: &str) -> f64 {
    let name = format!("ficus_identity_unresolved_total{{reason=\"{reason}\"}} ");
    let metrics = ficus.metrics().await;
    let found = metrics.lines().find_map(|line| line.strip_prefix(&name));
    found.map_or(0.0, |value| value.parse().expect("a number"))
}

#[tokio::test]
async fn a_token_names_the_tenant_above_header_and_path_and_a_forged_one_nobody() {
    let database = seeded().await;
    let server = KeyServer::start(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]))).await;
    let ficus = start(&database, &server.entry("token_cookie = \"jwt\"")).await;
    let (bluebird, corner) = (
        Signer::Rsa.token(Some("a"), BLUEBIRD),
        Signer::Rsa.token(Some("a"), CORNER),
    );
    until_served_to(&ficus, &bluebird, "modern").await;
    assert_eq!(served_to(&ficus, &corner).await, "legacy");
    let bearer = format!("Bearer {bluebird}");
    let headers = [("authorization", bearer.as_str()), ("x-tenant-id", "3")];
    assert_eq!(served(&ficus, "/dashboard", &headers).await, "modern");
    let cookie = format!("a=b; jwt={bluebird}");
    let in_cookie = [("cookie", cookie.as_str())];
    assert_eq!(served(&ficus, "/dashboard", &in_cookie).await, "modern");

    let before = unresolved(&ficus, "bad_signature").await;
    let forged = Signer::Other.token(Some("a"), BLUEBIRD);
    assert_eq!(served_to(&ficus, &forged).await, "legacy");
    assert_eq!(unresolved(&ficus, "bad_signature").await, before + 1.0);
    // The weaker then says where it goes, as it would without any token.
    let bearer = format!("Bearer {forged}");
    let headers = [("authorization", bearer.as_str()), ("x-tenant-id", "2")];
    assert_eq!(served(&ficus, "/dashboard", &headers).await, "modern");

    let late = Signer::Rsa.token_until(Some("a"), BLUEBIRD, now() - 60);
    assert_eq!(served_to(&ficus, &late).await, "legacy");
    assert_eq!(unresolved(&ficus, "expired").await, 1.0);
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found_by_the_first_token_that_it_signed() {
    let database = seeded().await;
    let server = KeyServer::start(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]))).await;
    let ficus = start(&database, &server.entry("")).await;
    let old = Signer::Rsa.token(Some("a"), BLUEBIRD);
    until_served_to(&ficus, &old, "modern").await;
    server.set(Mood::Serve(jwks(&[Signer::Other.jwk("b")])));
    assert_eq!(served_to(&ficus, &old).await, "modern", "nobody knows yet");
    let new = Signer::Other.token(Some("b"), BLUEBIRD);
    assert_eq!(
        served_to(&ficus, &new).await,
        "modern",
        "it waits for its key"
    );
    assert_eq!(server.asked(), 2);
    // The key is gone, and what it had verified is forgotten.
    assert_eq!(served_to(&ficus, &old).await, "legacy");
    assert_eq!(unresolved(&ficus, "unknown_key").await, 1.0);
}

#[tokio::test]
async fn a_plain_public_key_rotates_as_well() {
    let database = seeded().await;
    let server = KeyServer::start(Mood::Serve(RSA_PEM.to_owned())).await;
    let ficus = start(&database, &server.entry("")).await;
    until_served_to(&ficus, &Signer::Rsa.token(None, BLUEBIRD), "modern").await;
    server.set(Mood::Serve(OTHER_PEM.to_owned()));
    let new = Signer::Other.token(None, BLUEBIRD);
    assert_eq!(
        served_to(&ficus, &new).await,
        "modern",
        "it waits for its key"
    );
}

#[tokio::test]
async fn unknown_keys_are_asked_for_once_a_minute_however_many_tokens_name_them() {
    let database = seeded().await;
    let server = KeyServer::start(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]))).await;
    let ficus = start(&database, &server.entry("")).await;
    until_served_to(&ficus, &Signer::Rsa.token(Some("a"), BLUEBIRD), "modern").await;
    let flood = (0..100).map(|n| {
        let token = Signer::Other.token(Some(&format!("kid-{n}")), BLUEBIRD);
        let ficus = &ficus;
        async move { served_to(ficus, &token).await }
    });
    let sides = futures_util::future::join_all(flood).await;
    assert!(sides.iter().all(|side| side == "legacy"), "{sides:?}");
    assert_eq!(server.asked(), 2, "the first, and one early");
}

#[tokio::test]
async fn the_last_keys_stay_in_use_whatever_the_issuer_does() {
    let database = seeded().await;
    let good = Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]));
    let server = KeyServer::start(good.clone()).await;
    let elsewhere = KeyServer::start(Mood::Serve(jwks(&[Signer::Other.jwk("a")]))).await;
    let ficus = start(
        &database,
        &server.entry("key_ttl = \"1s\"\nkey_timeout = \"200ms\""),
    )
    .await;
    let token = |sub: &str| Signer::Rsa.token(Some("a"), &format!(r#""sub":"{sub}","tenant":2"#));
    until_served_to(&ficus, &token("first"), "modern").await;
    for (name, mood) in [
        ("fail", Mood::Fail),
        ("hang", Mood::Hang),
        ("flood", Mood::Flood),
        ("page", Mood::Serve("<html>".to_owned())),
        ("none", Mood::Serve(jwks(&[]))),
        ("redirect", Mood::Redirect(elsewhere.url())),
    ] {
        server.set(mood);
        let before = server.asked();
        eventually("it is asked twice more", || async {
            (server.asked() >= before + 2).then_some(())
        })
        .await;
        // Another text each time, so that nothing but the key can hold it.
        assert_eq!(served_to(&ficus, &token(name)).await, "modern", "{name}");
    }
    assert_eq!(elsewhere.asked(), 0, "nobody is followed");
    server.set(Mood::Serve(jwks(&[Signer::Other.jwk("a")])));
    until_served_to(&ficus, &Signer::Other.token(Some("a"), BLUEBIRD), "modern").await;
}

#[tokio::test]
async fn an_issuer_that_comes_late_is_found_and_meanwhile_tokens_prove_nothing() {
    let database = seeded().await;
    let server = KeyServer::start(Mood::Fail).await;
    let ficus = start(&database, &server.entry("")).await;
    let token = Signer::Rsa.token(Some("a"), BLUEBIRD);
    assert_eq!(served_to(&ficus, &token).await, "legacy");
    assert_eq!(unresolved(&ficus, "keys_missing").await, 1.0);
    server.set(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")])));
    until_served_to(&ficus, &token, "modern").await;
    let warnings = ficus.log().matches("cannot be fetched").count();
    assert_eq!(warnings, 1, "once, not at each try");
}

#[tokio::test]
async fn a_reload_goes_on_with_the_keys_that_it_has() {
    let database = seeded().await;
    let server = KeyServer::start(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]))).await;
    let ficus = start(&database, &server.entry("")).await;
    until_served_to(&ficus, &Signer::Rsa.token(Some("a"), BLUEBIRD), "modern").await;
    server.set(Mood::Fail);
    let text = std::fs::read_to_string(&ficus.config).expect("the configuration");
    let more = "\n[[route]]\npath = \"/fresh\"\nside = \"modern\"\n";
    std::fs::write(&ficus.config, text + more).expect("written");
    eventually("the change is in force", || async {
        (served(&ficus, "/fresh", &[]).await == "modern").then_some(())
    })
    .await;
    let another = Signer::Rsa.token(Some("a"), r#""sub":"9","tenant":2"#);
    assert_eq!(served_to(&ficus, &another).await, "modern");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn two_issuers_stand_beside_each_other() {
    let database = seeded().await;
    let one = KeyServer::start(Mood::Serve(RSA_PEM.to_owned())).await;
    let two = KeyServer::start(Mood::Serve(OTHER_PEM.to_owned())).await;
    let entries = one.entry("issuer = \"one\"") + &two.entry("issuer = \"two\"");
    let ficus = start(&database, &entries).await;
    let of =
        |signer: Signer, iss: &str| signer.token(None, &format!(r#"{BLUEBIRD},"iss":"{iss}""#));
    until_served_to(&ficus, &of(Signer::Rsa, "one"), "modern").await;
    until_served_to(&ficus, &of(Signer::Other, "two"), "modern").await;
    // Each speaks for itself only.
    assert_eq!(served_to(&ficus, &of(Signer::Other, "one")).await, "legacy");
    assert_eq!(served_to(&ficus, &of(Signer::Rsa, "two")).await, "legacy");
    assert_eq!(served_to(&ficus, &of(Signer::Rsa, "three")).await, "legacy");
    assert_eq!(unresolved(&ficus, "unrecognised").await, 1.0);
}
