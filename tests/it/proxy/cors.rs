//! What browsers are told of who may read an answer.
//!
//! Its own file, because a browser shows nobody what a missing field cost: only the wire does.

use super::in_front_of;
use super::wire::{Message, Wire, ask, get, recorder};
use crate::support::process::{Ficus, eventually};

const RULES: &str = r#"
[[route]]
path = "/api/{*rest}"
methods = ["GET", "PUT"]
side = "legacy"
cors = { origins = ["https://app.example.com", "https://*.example.org"], headers = ["authorization"], expose = ["etag"], credentials = true, max_age = "1h" }
[[route]]
path = "/open"
side = "legacy"
cors = { origins = ["*"] }
"#;

/// An upstream that says of CORS what no route of ours would.
const LOOSE: &str = "HTTP/1.1 200 OK\r\naccess-control-allow-origin: https://evil.test\r\naccess-control-allow-credentials: true\r\naccess-control-expose-headers: set-cookie\r\nvary: Accept-Encoding\r\ncontent-length: 4\r\n\r\nfine";

fn preflight(path: &str, origin: &str, method: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nhost: a\r\norigin: {origin}\r\naccess-control-request-method: {method}\r\naccess-control-request-headers: authorization\r\n\r\n"
    )
}

/// Everything that is said of CORS, in the order of the names.
fn said(answer: &Message) -> Vec<(String, String)> {
    let names = answer.head.fields.iter();
    let mut said: Vec<_> = names
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| name.starts_with("access-control-"))
        .collect();
    said.sort();
    said
}

async fn start() -> (Ficus, super::wire::Asked) {
    let (legacy, asked) = recorder(LOOSE).await;
    (in_front_of(legacy, RULES).await, asked)
}

#[tokio::test]
async fn a_preflight_is_answered_here_and_the_request_follows_on_the_same_connection() {
    let (ficus, mut asked) = start().await;
    let mut browser = Wire::connect(ficus.proxy).await;
    let origin = "https://app.example.com";
    let answer = browser.ask(preflight("/api/7", origin, "PUT")).await;
    assert_eq!(answer.head.status(), 204);
    let expected = [
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-headers", "authorization"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-origin", origin),
        ("access-control-max-age", "3600"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(said(&answer), expected);
    assert_eq!(
        answer.head.all("vary").join(", "),
        "origin, access-control-request-method, access-control-request-headers"
    );
    assert!(answer.head.get("x-request-id").is_some());
    assert_eq!(asked.waiting(), 0, "no upstream was asked");
    let put =
        format!("PUT /api/7 HTTP/1.1\r\nhost: a\r\norigin: {origin}\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(browser.ask(put).await.text(), "fine");
    assert_eq!(asked.next().await.head.first, "PUT /api/7 HTTP/1.1");
    let reasons = eventually("two lines", || async {
        let lines = ficus.access_log();
        let reasons: Vec<_> = lines.iter().map(|l| l["reason"].clone()).collect();
        (reasons.len() == 2).then_some(reasons)
    });
    assert_eq!(reasons.await, ["preflight", "route"]);
}

#[tokio::test]
async fn a_preflight_of_another_origin_is_refused_and_counted() {
    let (ficus, asked) = start().await;
    let mut browser = Wire::connect(ficus.proxy).await;
    for origin in [
        "https://evil.test",
        "null",
        "https://app.example.com.evil.test",
    ] {
        let answer = browser.ask(preflight("/api/7", origin, "PUT")).await;
        assert_eq!((answer.head.status(), said(&answer)), (403, Vec::new()));
        assert_eq!(
            answer.json()["type"],
            "urn:ficus:problem:origin-not-allowed"
        );
    }
    assert_eq!(asked.waiting(), 0);
    let metrics = ficus.metrics().await;
    let counted = r#"ficus_requests_refused_total{reason="origin-not-allowed"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("ficus_preflights_total 0\n"), "{metrics}");
    for path in ["/api/7", "/open"] {
        let allowed = preflight(path, "https://app.example.com", "GET");
        assert_eq!(browser.ask(allowed).await.head.status(), 204);
    }
    let metrics = ficus.metrics().await;
    assert!(metrics.contains("ficus_preflights_total 2\n"), "{metrics}");
}

#[tokio::test]
async fn an_answer_says_what_the_route_says_and_not_what_the_upstream_said() {
    let (ficus, _asked) = start().await;
    let origin = |origin: &str| get("/api/7", &format!("origin: {origin}\r\n"));
    let ours = ask(ficus.proxy, origin("https://a.example.org")).await;
    let expected = [
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-origin", "https://a.example.org"),
        ("access-control-expose-headers", "etag"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(said(&ours), expected);
    assert_eq!(ours.head.all("vary").join(", "), "Accept-Encoding, origin");

    // The request goes through: CORS keeps answers from pages, and nothing from an application.
    for other in [origin("https://evil.test"), get("/api/7", "")] {
        let answer = ask(ficus.proxy, other).await;
        assert_eq!((answer.text(), said(&answer)), ("fine", Vec::new()));
        assert_eq!(
            answer.head.all("vary").join(", "),
            "Accept-Encoding, origin"
        );
    }
    let open = ask(ficus.proxy, get("/open", "origin: https://any.test\r\n")).await;
    let star = [("access-control-allow-origin".to_owned(), "*".to_owned())];
    assert_eq!(said(&open), star);
    assert_eq!(open.head.all("vary"), ["Accept-Encoding"]);
}

#[tokio::test]
async fn a_refusal_may_be_read_by_the_pages_that_may_read_the_route() {
    let rules = format!(
        "[upstream.dead]\nurl = \"http://{}\"\n{}",
        super::dead_port(),
        RULES.replace("\"legacy\"\ncors", "\"legacy\"\nbody_bytes = 1\ncors")
    );
    let (legacy, _asked) = recorder(LOOSE).await;
    let ficus = in_front_of(legacy, &rules).await;
    let put = "PUT /api/7 HTTP/1.1\r\nhost: a\r\norigin: https://app.example.com\r\ncontent-length: 2\r\n\r\nhi";
    let answer = ask(ficus.proxy, put).await;
    assert_eq!(answer.head.status(), 413);
    assert_eq!(
        answer.head.get("access-control-allow-origin"),
        Some("https://app.example.com")
    );
}

#[tokio::test]
async fn what_no_rule_names_is_the_upstreams_matter() {
    let (ficus, mut asked) = start().await;
    // Another path, another method, and no preflight at all.
    for (request, first) in [
        (
            preflight("/else", "https://app.example.com", "PUT"),
            "OPTIONS /else HTTP/1.1",
        ),
        (
            preflight("/api/7", "https://app.example.com", "DELETE"),
            "OPTIONS /api/7 HTTP/1.1",
        ),
        (
            "OPTIONS /open HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
            "OPTIONS /open HTTP/1.1",
        ),
    ] {
        let answer = ask(ficus.proxy, request).await;
        assert_eq!(answer.head.status(), 200);
        assert_eq!(asked.next().await.head.first, first);
    }
    let elsewhere = ask(ficus.proxy, get("/else", "origin: https://a.test\r\n")).await;
    assert_eq!(
        elsewhere.head.get("access-control-allow-origin"),
        Some("https://evil.test")
    );
}
