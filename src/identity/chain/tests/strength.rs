//! Which proof counts, when a head holds several.
//!
//! Its own file, because this is the promise that a link or a header moves nobody who is known better.

use super::*;

/// Every kind of proof, each with another tenant: 1 to 5 from the strongest to the weakest.
#[tokio::test]
async fn the_strongest_proof_in_the_head_names_the_tenant_whatever_the_order() {
    let mut resolvers = vec![
        Resolver::LaravelSession(by_session()),
        by_header(),
        by_host(),
        by_path(),
        by_query(),
    ];
    for _ in 0..resolvers.len() {
        resolvers.rotate_left(1);
        for resolvers in [resolvers.clone(), resolvers.iter().rev().cloned().collect()] {
            let chain = chain(&resolvers);
            let mut headers = headers(COOKIE, session_cookie(1));
            headers.append(HEADER, HeaderValue::from_static("2"));
            let mut facts = Facts {
                headers: &headers,
                host: Some("3.example.com"),
                target: "/t/4/orders?tenant=5",
                sni: None,
                peer_trusted: true,
            };
            let found = chain.resolve(&facts).await;
            assert_eq!(found, identity(1, "laravel_session", None));

            let mut without = headers.clone();
            without.remove(COOKIE);
            facts.headers = &without;
            assert_eq!(chain.resolve(&facts).await, identity(2, "header", None));

            without.remove(HEADER);
            let mut facts = Facts {
                headers: &without,
                host: Some("3.example.com"),
                target: "/t/4/orders?tenant=5",
                sni: None,
                peer_trusted: true,
            };
            assert_eq!(chain.resolve(&facts).await, identity(3, "host", None));
            facts.host = None;
            assert_eq!(chain.resolve(&facts).await, identity(4, "path", None));
            facts.target = "/?tenant=5";
            assert_eq!(chain.resolve(&facts).await, identity(5, "query", None));
            facts.target = "/";
            assert_eq!(chain.resolve(&facts).await, nobody(Unresolved::NoProof));
        }
    }
}

#[tokio::test]
async fn among_equals_the_first_entry_names_the_tenant() {
    let other = Resolver::Host {
        pattern: "app.{tenant}.com".to_owned(),
    };
    for (resolvers, tenant) in [
        ([by_host(), other.clone()], "app"),
        ([other, by_host()], "example"),
    ] {
        let facts = Facts {
            headers: &HeaderMap::new(),
            host: Some("app.example.com"),
            target: "/",
            sni: None,
            peer_trusted: false,
        };
        let found = chain(&resolvers).resolve(&facts).await;
        assert_eq!(found.tenant, Some(Named::Slug(tenant.into())));
    }
}

#[tokio::test]
async fn a_query_that_names_two_tenants_names_none_and_says_so() {
    let facts = Facts {
        headers: &HeaderMap::new(),
        host: None,
        target: "/?tenant=1&tenant=2",
        sni: None,
        peer_trusted: true,
    };
    assert_eq!(
        chain(&[by_query()]).resolve(&facts).await,
        nobody(Unresolved::Ambiguous)
    );
}

#[tokio::test]
async fn a_connection_to_one_tenants_host_is_no_way_to_anothers() {
    let chain = chain(&[Resolver::LaravelSession(by_session()), by_host()]);
    let headers = headers(COOKIE, session_cookie(3));
    for (sni, host, misdirected) in [
        (Some("acme.example.com"), Some("other.example.com"), true),
        (Some("acme.example.com"), Some("acme.example.com"), false),
        (None, Some("other.example.com"), false),
        // Only one of them names a tenant.
        (Some("example.com"), Some("other.example.com"), false),
        (Some("acme.example.com"), Some("example.org"), false),
        (Some("acme.example.com"), None, false),
    ] {
        let facts = Facts {
            headers: &headers,
            host,
            target: "/",
            sni,
            peer_trusted: true,
        };
        assert_eq!(
            chain.is_misdirected(&facts),
            misdirected,
            "{sni:?} {host:?}"
        );
    }
}
