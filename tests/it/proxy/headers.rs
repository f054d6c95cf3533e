//! The wall between who a client is and who it says it is: which fields pass, and which ones ficus sets.
//!
//! Its own file, because an upstream believes these fields, so each way around them is tried.

use std::net::SocketAddr;

use super::wire::{Asked, FINE, Head, Message, Wire, ask, get, recorder};
use super::{in_front_of, listening, transparent};
use crate::support::Database;
use crate::support::process::{Ficus, Setup, named_upstream, two_sides};

const TRUSTING: &str = "[proxy]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Every field that only a trusted peer may set, as a dashed name.
const RESERVED: [&str; 12] = [
    "x-ficus-tenant",
    "x-ficus-capability",
    "x-ficus-revision",
    "x-ficus-debug",
    "x-ficus-anything",
    "x-tenant-id",
    "x-user-id",
    "x-user-tier",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "forwarded",
];

/// The spellings that CGI, PHP and Rack make one variable of.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![
        name.to_owned(),
        name.to_uppercase(),
        name.replace('-', "_"),
        name.replace('-', "_").to_uppercase(),
        name.replacen('-', "_", 1),
    ];
    all.dedup();
    all
}

/// Sends one request and answers the head that the upstream got.
async fn seen(ficus: SocketAddr, asked: &mut Asked, fields: &str) -> Head {
    assert_eq!(ask(ficus, get("/", fields)).await.head.status(), 200);
    asked.next().await.head
}

#[tokio::test]
async fn what_only_a_trusted_peer_may_say_is_taken_from_everyone_else() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    for name in RESERVED {
        for spelling in spellings(name) {
            let got = seen(
                ficus.proxy,
                &mut asked,
                &format!("{spelling}: forged\r\nx-requested-with: kept\r\n{spelling}: forged\r\n"),
            )
            .await;
            let forged = got
                .fields
                .iter()
                .find(|(_, value)| value.contains("forged"));
            assert_eq!(forged, None, "{spelling} got through");
            assert_eq!(got.get("x-requested-with"), Some("kept"));
        }
    }
}

#[tokio::test]
async fn a_trusted_peer_may_say_who_it_is_but_not_what_ficus_decides() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = in_front_of(legacy, TRUSTING).await;
    for name in [
        "x-tenant-id",
        "x-user-id",
        "x-user-tier",
        "forwarded",
        "x-forwarded-port",
    ] {
        let got = seen(ficus.proxy, &mut asked, &format!("{name}: said\r\n")).await;
        assert_eq!(got.get(name), Some("said"), "{name}");
    }
    // PHP makes one variable of both spellings, and a load balancer that takes the first from clients may pass the second.
    for twin in [
        "x_tenant_id",
        "x_user_id",
        "x_forwarded_for",
        "x_request_id",
    ] {
        let got = seen(ficus.proxy, &mut asked, &format!("{twin}: said\r\n")).await;
        assert_eq!(got.get(twin), None, "{twin} got through");
    }
    for name in ["x-ficus-tenant", "x-ficus-capability", "x-ficus-revision"] {
        for spelling in spellings(name) {
            let got = seen(ficus.proxy, &mut asked, &format!("{spelling}: said\r\n")).await;
            let said = got.fields.iter().find(|(_, value)| value == "said");
            assert_eq!(said, None, "{spelling} got through");
        }
    }
}

#[tokio::test]
async fn no_connection_option_takes_away_what_ficus_sets() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let got = seen(
        ficus.proxy,
        &mut asked,
        "connection: x-ficus-tenant, x-ficus-capability, x-ficus-revision, x-request-id, traceparent, x-own\r\n\
         x-own: hop\r\nte: trailers\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\n",
    )
    .await;
    for name in [
        "x-ficus-capability",
        "x-ficus-revision",
        "x-request-id",
        "traceparent",
    ] {
        assert!(got.get(name).is_some(), "{name} is gone");
    }
    for name in ["x-own", "keep-alive", "proxy-connection"] {
        assert_eq!(got.get(name), None, "{name} is for one hop");
    }
    // These are what an upstream tells clients apart by: nominating one of them is no honest mistake.
    for name in ["x-forwarded-for", "host"] {
        let answer = ask(ficus.proxy, get("/", &format!("connection: {name}\r\n"))).await;
        assert_eq!(answer.head.status(), 400, "{name}");
    }
    assert_eq!(asked.waiting(), 0);
}

#[tokio::test]
async fn the_chain_of_clients_is_begun_or_gone_on_with() {
    let (legacy, mut asked) = recorder(FINE).await;
    let forged =
        "x-forwarded-for: 1.1.1.1\r\nx-forwarded-proto: https\r\nx-forwarded-host: forged\r\n";
    let ficus = transparent(legacy).await;
    let got = seen(ficus.proxy, &mut asked, forged).await;
    assert_eq!(got.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(got.get("x-forwarded-proto"), Some("http"));
    assert_eq!(got.get("x-forwarded-host"), Some("app.example.com"));

    let ficus = in_front_of(legacy, TRUSTING).await;
    let said = "x-forwarded-for: 9.9.9.9, 8.8.8.8\r\nx-forwarded-for: 7.7.7.7\r\nx-forwarded-proto: https\r\n\
                x-forwarded-host: shop.example.com\r\n";
    let got = seen(ficus.proxy, &mut asked, said).await;
    assert_eq!(
        got.get("x-forwarded-for"),
        Some("9.9.9.9, 8.8.8.8, 7.7.7.7, 127.0.0.1")
    );
    assert_eq!(got.get("x-forwarded-proto"), Some("https"));
    assert_eq!(got.get("x-forwarded-host"), Some("shop.example.com"));
    let got = seen(ficus.proxy, &mut asked, "x-forwarded-for:\r\n").await;
    assert_eq!(got.get("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_request_id_and_a_trace_are_a_trusted_peers_to_give() {
    let (legacy, mut asked) =
        recorder("HTTP/1.1 200 OK\r\nx-request-id: theirs\r\ncontent-length: 0\r\n\r\n").await;
    let given = format!("x-request-id: given-id-01\r\ntraceparent: {TRACE}\r\ntracestate: a=b\r\n");

    let ficus = in_front_of(legacy, TRUSTING).await;
    let answer = ask(ficus.proxy, get("/", &given)).await.head;
    let got = asked.next().await.head;
    assert_eq!(got.get("x-request-id"), Some("given-id-01"));
    assert_eq!(answer.get("x-request-id"), Some("given-id-01"));
    assert_eq!(got.get("traceparent"), Some(TRACE));
    assert_eq!(got.get("tracestate"), Some("a=b"));
    for bad in [
        "short",
        "with blank in it",
        "semi;colon;id",
        &"a".repeat(65),
    ] {
        let fields = format!("x-request-id: {bad}\r\ntraceparent: 00-nonsense\r\n");
        let got = seen(ficus.proxy, &mut asked, &fields).await;
        assert_fresh(&got, bad);
    }

    let ficus = transparent(legacy).await;
    let answer = ask(ficus.proxy, get("/", &given)).await.head;
    let got = asked.next().await.head;
    assert_fresh(&got, "given-id-01");
    assert_eq!(answer.get("x-request-id"), got.get("x-request-id"));
}

/// The id is ficus' own, and the trace is named after it.
fn assert_fresh(got: &Head, given: &str) {
    let id = got.get("x-request-id").expect("an id");
    assert_ne!(id, given);
    assert_eq!(id.len(), 32, "{id}");
    let trace = got.get("traceparent").expect("a trace");
    assert!(
        trace.starts_with(&format!("00-{id}-")),
        "{trace} is not of {id}"
    );
}

#[tokio::test]
async fn an_upstream_cannot_say_who_it_is() {
    let forging = "HTTP/1.1 200 OK\r\nx-ficus-served-by: modern\r\nX-Ficus-Served-By: both\r\n\
                   x-ficus-decision: forged\r\ncontent-length: 0\r\n\r\n";
    let (legacy, _asked) = recorder(forging).await;
    let ficus = transparent(legacy).await;
    let answer = ask(ficus.proxy, get("/", "")).await;
    assert_eq!(answer.head.get("x-ficus-served-by"), Some("legacy"));
    assert_eq!(answer.head.get("x-ficus-decision"), None);
}

/// Tenant 2 is modern; `x-tenant-id` is believed where `config` trusts the peer.
async fn with_tenants(database: &Database, config: &str) -> Ficus {
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (2, 'bluebird');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')",
    )
    .execute(database.pool())
    .await
    .expect("seeded");
    listening(Setup::new(database.url(), config)).await
}

#[tokio::test]
async fn the_upstream_is_told_once_whose_request_it_is() {
    let database = Database::new().await;
    let (modern, mut asked) = recorder(FINE).await;
    let config = two_sides(named_upstream("legacy").await, modern);
    let ficus = with_tenants(&database, &config).await;
    let fields = "x-tenant-id: bluebird\r\nx-ficus-tenant: 7\r\nx-ficus-capability: x\r\nx-ficus-debug: 1\r\n";
    let answer: Message = ask(ficus.proxy, get("/dashboard/stats", fields)).await;
    assert_eq!(answer.head.get("x-ficus-served-by"), Some("modern"));
    let decision = answer
        .head
        .get("x-ficus-decision")
        .expect("it was asked for");
    assert!(
        decision.starts_with("capability=dashboard reason=flag revision="),
        "{decision}"
    );
    let got = asked.next().await.head;
    assert_eq!(got.get("x-ficus-tenant"), Some("2"));
    assert_eq!(got.get("x-ficus-capability"), Some("dashboard"));
    let revision = got.get("x-ficus-revision").expect("a revision");
    assert!(
        decision.ends_with(&format!("={revision}")),
        "{decision} {revision}"
    );
}

#[tokio::test]
async fn a_client_can_neither_name_its_tenant_nor_ask_why() {
    let database = Database::new().await;
    let (legacy, mut asked) = recorder(FINE).await;
    let config = two_sides(legacy, named_upstream("modern").await);
    let config = config.replace("127.0.0.0/8", "10.0.0.0/8");
    let ficus = with_tenants(&database, &config).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for field in ["x-tenant-id: 2", "x_tenant_id: 2", "X-Tenant-Id: bluebird"] {
        let fields = format!("{field}\r\nx-ficus-debug: 1\r\n");
        let answer = client.ask(get("/dashboard", &fields)).await;
        assert_eq!(answer.head.get("x-ficus-served-by"), Some("legacy"));
        assert_eq!(answer.head.get("x-ficus-decision"), None);
        let got = asked.next().await.head;
        assert_eq!(got.get("x-ficus-tenant"), None, "{field}");
    }
}
