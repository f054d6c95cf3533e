//! What ficus refuses itself, and how it says so.
//!
//! Its own file, because a refusal must reach the client, must reach no upstream, and must leave no connection on
//! which the next request could be read wrongly.

use super::wire::{End, FINE, Message, Wire, ask, get, in_time, origin, recorder};
use super::{dead_port, in_front_of, listening, transparent};
use crate::support::process::Setup;

const SMALL: &str = "[proxy.limits]\nheader_count = 20\nheader_bytes = \"2KiB\"\nuri_bytes = \"100\"\nbody_bytes = \"1KiB\"\n[proxy.timeouts]\ndrain_body = \"300ms\"\n";

/// The problem's name, after a look at what every refusal has.
fn problem(answer: &Message) -> String {
    let document = answer.json();
    assert_eq!(
        answer.head.get("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.head.get("cache-control"), Some("no-store"));
    assert_eq!(document["status"], answer.head.status());
    assert_eq!(
        document["request_id"].as_str(),
        answer.head.get("x-request-id"),
        "one number finds the request"
    );
    let kind = document["type"].as_str().expect("a type");
    kind.trim_start_matches("urn:ficus:problem:").to_owned()
}

#[tokio::test]
async fn a_head_over_the_limits_is_refused_and_reaches_nobody() {
    let (legacy, asked) = recorder(FINE).await;
    let ficus = in_front_of(legacy, SMALL).await;
    let many: String = (0..30).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(3000));
    for (request, status, kind) in [
        (
            get(&format!("/{}", "a".repeat(100)), ""),
            414,
            "uri-too-long",
        ),
        (get("/", &many), 431, "head-too-large"),
        (get("/", &long), 431, "head-too-large"),
    ] {
        let mut client = Wire::connect(ficus.proxy).await;
        let answer = client.ask(&request).await;
        assert_eq!(
            (answer.head.status(), problem(&answer).as_str()),
            (status, kind)
        );
        assert_eq!(client.rest().await.0, b"");
    }
    let most = get(&format!("/{}", "a".repeat(99)), "");
    assert_eq!(ask(ficus.proxy, most).await.text(), "fine");
    assert_eq!(asked.waiting(), 1, "only the last one came through");
}

#[tokio::test]
async fn a_request_that_names_no_host_or_a_bad_one_is_refused() {
    let (legacy, asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    for host in [
        "",
        "host: \r\n",
        "host: a b\r\n",
        "host: a/b\r\n",
        "host: [::1\r\n",
        "host: a..b\r\n",
        "host: a:port\r\n",
    ] {
        let answer = ask(ficus.proxy, format!("GET / HTTP/1.1\r\n{host}\r\n")).await;
        assert_eq!(answer.head.status(), 400, "{host:?}");
    }
    for host in [
        "host: a\r\nhost: b\r\n",
        "host: a\r\nHost: a\r\n",
        "host: user@a\r\n",
    ] {
        let answer = ask(ficus.proxy, format!("GET / HTTP/1.1\r\n{host}\r\n")).await;
        assert_eq!(answer.head.status(), 400, "{host:?}");
    }
    assert_eq!(asked.waiting(), 0);
}

#[tokio::test]
async fn an_absolute_target_names_the_host() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let same = "GET http://app.example.com/a?b HTTP/1.1\r\nhost: app.example.com\r\n\r\n";
    assert_eq!(ask(ficus.proxy, same).await.text(), "fine");
    let got = asked.next().await.head;
    assert_eq!(got.get("host"), Some("app.example.com"));
    assert_eq!(got.first, "GET /a?b HTTP/1.1", "as an origin is asked");
    let other = "GET http://other.example.com/ HTTP/1.1\r\nhost: app.example.com\r\n\r\n";
    assert_eq!(ask(ficus.proxy, other).await.head.status(), 400);
    assert_eq!(asked.waiting(), 0);
}

#[tokio::test]
async fn a_whole_uri_is_routed_by_its_path() {
    let (legacy, asked) = recorder(FINE).await;
    let (modern, mut routed) = recorder(FINE).await;
    let route = format!(
        "[upstream.modern]\nurl = \"http://{modern}\"\n[[route]]\npath = \"/new/{{*rest}}\"\nside = \"modern\"\n"
    );
    let ficus = in_front_of(legacy, &route).await;
    let request = "GET http://app.example.com/new/a?b HTTP/1.1\r\nhost: app.example.com\r\n\r\n";
    assert_eq!(ask(ficus.proxy, request).await.text(), "fine");
    assert_eq!(routed.next().await.head.first, "GET /new/a?b HTTP/1.1");
    assert_eq!(asked.waiting(), 0, "legacy was not asked");
}

#[tokio::test]
async fn what_two_parsers_could_read_differently_is_refused() {
    let (legacy, asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let start = "POST / HTTP/1.1\r\nhost: a\r\n";
    for fields in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: +5\r\n",
        "content-length: -5\r\n",
        "content-length: 0x5\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding : chunked\r\n",
        " leading: blank\r\n",
        "no colon\r\n",
    ] {
        let mut client = Wire::connect(ficus.proxy).await;
        client.send(format!("{start}{fields}\r\nhello")).await;
        let status = client.head().await.expect("an answer").status();
        assert_eq!(status, 400, "{fields:?}");
        client.rest().await;
    }
    assert_eq!(asked.waiting(), 0);
    assert_eq!(
        ask(ficus.proxy, "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n")
            .await
            .head
            .status(),
        405
    );
    // Both framings: no client means that (RFC 9112, 6.1), and nothing that follows is believed to be a request.
    let mut client = Wire::connect(ficus.proxy).await;
    client
        .send(format!(
            "{start}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.head.status(), problem(&answer).as_str()),
        (400, "bad-request")
    );
    assert_eq!(answer.head.get("connection"), Some("close"));
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    assert_eq!(asked.waiting(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_or_while_it_comes() {
    let (left, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let legacy = origin(move |mut wire| {
        let left = left.clone();
        async move {
            if wire.head().await.is_ok() {
                left.send(wire.rest().await.0.len()).expect("told");
            }
        }
    })
    .await;
    let ficus = in_front_of(legacy, SMALL).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.head.status(), problem(&answer).as_str()),
        (413, "body-too-large")
    );
    client.rest().await;
    assert!(ended.is_empty(), "the origin was not asked");

    let mut client = Wire::connect(ficus.proxy).await;
    let chunk = format!("200\r\n{}\r\n", "a".repeat(512));
    client
        .send(format!(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}"
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.head.status(), problem(&answer).as_str()),
        (413, "body-too-large")
    );
    assert_eq!(answer.head.get("connection"), Some("close"));
    client.rest().await;
    let got = in_time(ended.recv()).await.expect("the origin is let go");
    assert!(got < 1600, "{got} bytes came through");
}

#[tokio::test]
async fn a_client_that_sends_all_of_a_refused_body_still_gets_the_answer() {
    let ficus = in_front_of(dead_port(), "[proxy.limits]\nbody_bytes = \"1KiB\"\n").await;
    let piece = vec![b'a'; 1 << 20];
    for framing in ["content-length: 8388608", "transfer-encoding: chunked"] {
        let chunked = framing.starts_with("transfer");
        let mut client = Wire::connect(ficus.proxy).await;
        client
            .send(format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"))
            .await;
        for _ in 0..8 {
            if chunked {
                client.send("100000\r\n").await;
            }
            client.send(&piece).await;
            if chunked {
                client.send("\r\n").await;
            }
        }
        if chunked {
            client.send("0\r\n\r\n").await;
        }
        let answer = client.answer().await;
        // With chunks, the dead upstream is found before the limit is.
        let expected = if chunked { 502 } else { 413 };
        assert_eq!(answer.head.status(), expected, "{framing}");
        assert_eq!(client.rest().await, (Vec::new(), End::Closed), "{framing}");
    }
}

#[tokio::test]
async fn a_refusal_is_a_document_a_page_or_a_head_alone() {
    let ficus = transparent(dead_port()).await;
    let document = ask(ficus.proxy, get("/", "accept: application/json\r\n")).await;
    assert_eq!(problem(&document), "unreachable");

    let browser = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let page = ask(ficus.proxy, get("/", browser)).await;
    assert_eq!(page.head.status(), 502);
    assert_eq!(
        page.head.get("content-type"),
        Some("text/html; charset=utf-8")
    );
    let id = page.head.get("x-request-id").expect("an id");
    assert!(
        page.text().contains(id),
        "the page says what to tell support"
    );
    assert_eq!(page.head.get("x-ficus-served-by"), None, "nobody served it");

    let mut client = Wire::connect(ficus.proxy).await;
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.head().await.expect("a head");
    assert_eq!(head.status(), 502);
    assert_ne!(head.get("content-length"), Some("0"), "as GET would say");
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
}

#[tokio::test]
async fn without_control_state_the_client_is_told_when_to_come_back() {
    let (legacy, asked) = recorder(FINE).await;
    let config = format!("[upstream.legacy]\nurl = \"http://{legacy}\"\n");
    let refusing = Setup::new("postgres://ficus@127.0.0.1:9/ficus", &config).not_ready();
    let ficus = listening(refusing).await;
    let answer = ask(ficus.proxy, get("/", "")).await;
    assert_eq!(
        (answer.head.status(), problem(&answer).as_str()),
        (503, "not-ready")
    );
    assert_eq!(answer.head.get("retry-after"), Some("2"));
    assert_eq!(asked.waiting(), 0);
}

#[tokio::test]
async fn who_goes_on_sending_what_was_refused_is_listened_to_for_a_while_only() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = in_front_of(legacy, SMALL).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n")
        .await;
    assert_eq!(client.head().await.expect("an answer").status(), 413);
    let begun = std::time::Instant::now();
    while client.try_send([b'x'; 1024]).await.is_ok() {
        assert!(begun.elapsed().as_secs() < 20, "it is never let go");
    }
}
