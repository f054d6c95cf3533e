//! How many requests a route takes, counted at the wire.
//!
//! Its own file, because a limit is a promise in numbers: every test counts exactly. The rates are slow, so that no test
//! earns a request more by taking its time.

use std::collections::BTreeMap;

use super::wire::{FINE, Message, Wire, ask, get, recorder};
use super::{in_front_of, listening};
use crate::support::Database;
use crate::support::process::{Ficus, Setup, eventually};

/// A proxy that believes its peer, in front of an upstream that always answers, with these routes.
async fn trusting(routes: &str) -> Ficus {
    let (legacy, _) = recorder(FINE).await;
    let more = format!("[proxy]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{routes}");
    in_front_of(legacy, &more).await
}

fn route(path: &str, limit: &str) -> String {
    format!("[[route]]\npath = \"{path}\"\nside = \"legacy\"\nrate_limit = {limit}\n")
}

/// Asks so often on one connection, and counts the answers by status.
async fn burst(ficus: &Ficus, request: &str, times: usize) -> BTreeMap<u16, usize> {
    let mut client = Wire::connect(ficus.proxy).await;
    let mut counted = BTreeMap::new();
    for _ in 0..times {
        let answer = client.ask(request).await;
        *counted.entry(answer.head.status()).or_default() += 1;
    }
    counted
}

fn from(address: &str) -> String {
    get("/a", &format!("x-forwarded-for: {address}\r\n"))
}

fn number(answer: &Message, name: &str) -> u64 {
    let value = answer.head.get(name).expect(name);
    value.parse().expect("a number")
}

#[tokio::test]
async fn a_burst_of_one_address_gets_exactly_its_limit() {
    let ficus = trusting(&route("/a", "{ limit = \"20/day\", by = \"ip\" }")).await;
    let one = burst(&ficus, &from("192.0.2.1"), 50).await;
    assert_eq!(one, BTreeMap::from([(200, 20), (429, 30)]));
    let other = burst(&ficus, &from("192.0.2.2"), 20).await;
    assert_eq!(
        other,
        BTreeMap::from([(200, 20)]),
        "another's limit is his own"
    );
    // What stands left of the address that the balancer saw is the client's own invention.
    let spoofed = burst(&ficus, &from("203.0.113.9, 192.0.2.1"), 5).await;
    assert_eq!(spoofed, BTreeMap::from([(429, 5)]));
    let mut allowed = 0;
    for n in 0..30 {
        let answer = ask(ficus.proxy, from(&format!("2001:db8:0:7:{n}::1"))).await;
        allowed += usize::from(answer.head.status() == 200);
    }
    assert_eq!(allowed, 20, "a network of IPv6 is one client");
    let metrics = ficus.metrics().await;
    let counted = r#"ficus_requests_refused_total{reason="rate-limited"} 45"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn many_connections_at_once_get_no_more_than_one() {
    let ficus = trusting(&route("/a", "{ limit = \"100/day\", by = \"ip\" }")).await;
    let request = from("192.0.2.1");
    let bursts = (0..8).map(|_| burst(&ficus, &request, 25));
    let counted = futures_util::future::join_all(bursts).await;
    let allowed: usize = counted.iter().filter_map(|c| c.get(&200)).sum();
    assert_eq!(allowed, 100);
}

#[tokio::test]
async fn every_answer_says_what_is_left_and_a_refusal_when_to_come_back() {
    let ficus = trusting(&route(
        "/a",
        "{ limit = \"2/hour\", by = \"ip\", name = \"payments\" }",
    ))
    .await;
    let mut client = Wire::connect(ficus.proxy).await;
    for left in ["\"payments\";r=1;t=1800", "\"payments\";r=0;t=1800"] {
        let answer = client.ask(from("192.0.2.1")).await;
        assert_eq!(answer.head.status(), 200);
        assert_eq!(
            answer.head.get("ratelimit-policy"),
            Some("\"payments\";q=2;w=3600")
        );
        // A second may have gone by since the first.
        let told = answer.head.get("ratelimit").expect("what is left");
        assert!(
            told == left || told == left.replace("1800", "1799"),
            "{told}"
        );
        assert_eq!(answer.head.get("retry-after"), None);
    }
    let refused = client.ask(from("192.0.2.1")).await;
    assert_eq!(refused.head.status(), 429);
    assert_eq!(refused.json()["type"], "urn:ficus:problem:rate-limited");
    assert_eq!(refused.json()["status"], 429);
    assert!((1790..=1800).contains(&number(&refused, "retry-after")));
    let told = refused.head.get("ratelimit").expect("what is left");
    assert!(told.starts_with("\"payments\";r=0;t="), "{told}");
    // Who did nothing wrong keeps the connection.
    assert_eq!(client.ask(get("/else", "")).await.text(), "fine");
    let line = eventually("its line", || async {
        let lines = ficus.access_log();
        lines.into_iter().find(|line| line["status"] == 429)
    })
    .await;
    assert_eq!(
        (&line["reason"], &line["error"]),
        (&"rate-limited".into(), &"rate-limited".into())
    );
}

#[tokio::test]
async fn a_burst_may_be_smaller_than_the_limit_and_routes_of_a_name_share_it() {
    let shared = "{ limit = \"100/day\", burst = 3, by = \"ip\", name = \"both\" }";
    let ficus = trusting(&(route("/a", shared) + &route("/b", shared))).await;
    let request = from("192.0.2.1");
    assert_eq!(burst(&ficus, &request, 2).await, BTreeMap::from([(200, 2)]));
    let b = request.replace("/a", "/b");
    assert_eq!(
        burst(&ficus, &b, 2).await,
        BTreeMap::from([(200, 1), (429, 1)])
    );
    assert_eq!(burst(&ficus, &request, 1).await, BTreeMap::from([(429, 1)]));
}

#[tokio::test]
async fn a_tenant_is_counted_as_one_from_wherever_it_comes_and_strangers_by_address() {
    let database = Database::new().await;
    sqlx::raw_sql("insert into ficus.tenant (id, slug) values (2, 'bluebird'), (3, 'corner')")
        .execute(database.pool())
        .await
        .expect("seeded");
    let (legacy, mut asked) = recorder(FINE).await;
    let config = format!(
        "[proxy]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[upstream.legacy]\nurl = \"http://{legacy}\"\n\
         [[tenant]]\nresolver = \"header\"\nname = \"x-tenant-id\"\n{}",
        route("/a", "\"5/day\"")
    );
    let ficus = listening(Setup::new(database.url(), &config)).await;
    let mut counted = BTreeMap::<(u16, &str), usize>::new();
    for n in 0..8 {
        for tenant in ["2", "3", "99"] {
            let fields = format!("x-tenant-id: {tenant}\r\nx-forwarded-for: 192.0.2.{n}\r\n");
            let answer = ask(ficus.proxy, get("/a", &fields)).await;
            *counted.entry((answer.head.status(), tenant)).or_default() += 1;
        }
    }
    // By id and by slug it is the same tenant; the stranger came from eight addresses.
    let slug = ask(ficus.proxy, get("/a", "x-tenant-id: bluebird\r\n")).await;
    assert_eq!(slug.head.status(), 429);
    let expected = [
        ((200, "2"), 5),
        ((200, "3"), 5),
        ((200, "99"), 8),
        ((429, "2"), 3),
        ((429, "3"), 3),
    ];
    assert_eq!(counted, BTreeMap::from(expected));
    assert_eq!(asked.next().await.head.get("x-ficus-tenant"), Some("2"));
}

#[tokio::test]
async fn a_preflight_counts_where_addresses_are_counted_and_nowhere_else() {
    let cors = "cors = { origins = [\"*\"] }\n";
    let ficus = trusting(
        &(route("/a", "{ limit = \"3/day\", by = \"ip\" }")
            + cors
            + &route("/b", "\"3/day\"")
            + cors),
    )
    .await;
    let preflight = |path: &str| {
        format!(
            "OPTIONS {path} HTTP/1.1\r\nhost: a\r\norigin: https://a.test\r\naccess-control-request-method: GET\r\n\r\n"
        )
    };
    let by_address = burst(&ficus, &preflight("/a"), 5).await;
    assert_eq!(by_address, BTreeMap::from([(204, 3), (429, 2)]));
    assert_eq!(
        burst(&ficus, &get("/a", ""), 1).await,
        BTreeMap::from([(429, 1)])
    );
    let by_tenant = burst(&ficus, &preflight("/b"), 5).await;
    assert_eq!(by_tenant, BTreeMap::from([(204, 5)]));
    let refused = ask(ficus.proxy, get("/a", "origin: https://a.test\r\n")).await;
    assert_eq!(refused.head.get("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn a_reload_gives_nobody_a_fresh_limit_and_a_changed_limit_holds_at_once() {
    let routes = route("/a", "{ limit = \"5/day\", by = \"ip\" }");
    let ficus = trusting(&routes).await;
    let request = from("192.0.2.1");
    assert_eq!(
        burst(&ficus, &request, 6).await,
        BTreeMap::from([(200, 5), (429, 1)])
    );
    let config = std::fs::read_to_string(&ficus.config).expect("the configuration");
    let reloads = async |expected: u64, text: String| {
        std::fs::write(&ficus.config, text).expect("rewritten");
        let line = format!("ficus_config_reloads_total {expected}\n");
        eventually("it is in force", || async {
            ficus.metrics().await.contains(&line).then_some(())
        })
        .await;
    };
    reloads(1, format!("{config}\n{}", route("/b", "\"1/day\""))).await;
    assert_eq!(burst(&ficus, &request, 2).await, BTreeMap::from([(429, 2)]));
    reloads(2, config.replace("5/day", "6/day")).await;
    assert_eq!(
        burst(&ficus, &request, 7).await,
        BTreeMap::from([(200, 6), (429, 1)])
    );
}
