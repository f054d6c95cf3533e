//! A split by user: whom a token names is kept on one side, on every proxy, and nobody else is in the share.
//!
//! Its own file, because it needs an issuer of tokens, and because who is nobody matters as much as who is in.

use ficus::flags::split::bucket_of;

use super::split::{set_share, split_by, with_tenants};
use super::*;
use crate::support::Database;
use crate::support::issuer::{KeyServer, Mood, Signer, jwks};

const USERS: std::ops::RangeInclusive<i64> = 1..=30;

/// A token of a user of a tenant; each is signed anew.
fn token(tenant: i64, user: i64) -> String {
    claims(&format!(r#""tenant":{tenant},"sub":"{user}""#))
}

fn claims(claims: &str) -> String {
    Signer::Rsa.token(Some("a"), claims)
}

/// Two proxies that know the issuer's key and the split, at a share of 100 %.
async fn two(database: &Database) -> [Ficus; 2] {
    let issuer = KeyServer::start(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]))).await;
    let config = split_by("user").await + &issuer.entry("");
    let first = Setup::new(database.url(), &config)
        .roles("proxy,control")
        .name("a");
    let first = with_tenants(database, "user", first).await;
    let second = Setup::new(database.url(), &config).name("b").start().await;
    set_share(database, "100").await;
    let fleet = [first, second];
    for ficus in &fleet {
        // The first token may come before its key.
        eventually("the issuer's key is there", || async {
            (ask(ficus, &[bearer(token(1, 1))]).await == "modern").then_some(())
        })
        .await;
    }
    fleet
}

fn bearer(token: String) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

/// Who answers a request with these fields. Nobody is marked by a cookie.
async fn ask(ficus: &Ficus, fields: &[(&'static str, String)]) -> String {
    ask_at(ficus, "/dashboard", fields).await
}

async fn ask_at(ficus: &Ficus, path: &str, fields: &[(&'static str, String)]) -> String {
    let mut request = client().get(ficus.url(path));
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    let answer = request.send().await.expect("an answer");
    assert!(!answer.headers().contains_key("set-cookie"));
    answer.text().await.expect("a body")
}

/// The users of a tenant who are on the modern side of a proxy.
async fn modern_users(ficus: &Ficus, tenant: i64) -> Vec<i64> {
    let mut modern = Vec::new();
    for user in USERS {
        if ask(ficus, &[bearer(token(tenant, user))]).await == "modern" {
            modern.push(user);
        }
    }
    modern
}

#[tokio::test]
async fn a_user_is_on_one_side_on_every_proxy_and_raising_the_share_drops_none() {
    let database = Database::new().await;
    let fleet = two(&database).await;
    let expected = |share: u32| -> Vec<i64> {
        let below = |user: &i64| bucket_of("dashboard", &user.to_string()) < share * 10_000;
        USERS.filter(below).collect()
    };
    let mut before = Vec::new();
    for percent in [0, 20, 50, 80] {
        set_share(&database, &percent.to_string()).await;
        for (ficus, tenant) in fleet.iter().zip([1, 2]) {
            let modern = modern_users(ficus, tenant).await;
            assert_eq!(modern, expected(percent), "{percent} % of tenant {tenant}");
        }
        let now = expected(percent);
        assert!(before.iter().all(|user| now.contains(user)), "{percent} %");
        before = now;
    }
    // Of one tenant some are in and some are not: it is not split by tenant.
    set_share(&database, "50").await;
    let modern = modern_users(&fleet[1], 1).await;
    assert_eq!(modern, expected(50));
    assert!(!modern.is_empty() && modern.len() < USERS.count());
    // A tenant's own word stands above it, for all its users; those of the other stay.
    run(
        database.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'legacy')",
    )
    .await;
    let first = modern[0];
    eventually("tenant 1 is legacy", || async {
        (ask(&fleet[0], &[bearer(token(1, first))]).await == "legacy").then_some(())
    })
    .await;
    assert_eq!(modern_users(&fleet[0], 1).await, Vec::<i64>::new());
    assert_eq!(modern_users(&fleet[0], 2).await, expected(50));
}

#[tokio::test]
async fn whoever_proves_no_user_is_on_legacy_at_any_share() {
    let database = Database::new().await;
    let fleet = two(&database).await;
    let ficus = &fleet[0];
    let forged = Signer::Other.token(Some("a"), r#""tenant":1,"sub":"1""#);
    let nobody = [
        ("nothing at all", vec![]),
        ("a tenant", vec![("x-tenant-id", "1".to_owned())]),
        (
            "a user without a proof",
            vec![
                ("x-tenant-id", "1".to_owned()),
                ("x-user-id", "1".to_owned()),
            ],
        ),
        (
            "a token without a user",
            vec![bearer(claims(r#""tenant":1"#))],
        ),
        ("a token that does not hold", vec![bearer(forged)]),
    ];
    for (what, fields) in &nobody {
        let side = ask_at(ficus, "/dashboard/nobody", fields).await;
        assert_eq!(side, "legacy", "{what}");
    }
    let reasons = eventually("each has its line", || async {
        let lines = ficus.access_log();
        let lines = lines.iter().filter(|it| it["path"] == "/dashboard/nobody");
        let reasons: Vec<_> = lines.map(|it| it["reason"].clone()).collect();
        (reasons.len() == nobody.len()).then_some(reasons)
    })
    .await;
    assert!(reasons.iter().all(|it| it == "no-split-key"), "{reasons:?}");
    // Of a tenant that nobody has told us of, a user is in no share either.
    assert_eq!(ask(ficus, &[bearer(token(999, 1))]).await, "legacy");
    assert_eq!(ask(ficus, &[bearer(token(1, 1))]).await, "modern");
}
