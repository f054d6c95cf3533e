//! Two plans' gateways, as configuration: a table of services, and an edge before an application and its API.
//!
//! Its own file, because these are the files that an operator would write, from the first line to the last.

use super::listening;
use super::wire::{Asked, ask, recorder};
use crate::support::process::{Ficus, Setup};

/// A file as it is committed, pointed at the upstreams of a test.
async fn served(file: &str, upstreams: &[(&str, std::net::SocketAddr)]) -> Ficus {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config/valid");
    let mut text = std::fs::read_to_string(folder.join(file)).expect("the fixture");
    for (url, address) in upstreams {
        assert!(text.contains(url), "{url} is in {file}");
        text = text.replace(url, &format!("http://{address}"));
    }
    let text = format!("{text}\n[flags]\ncold_start = \"legacy\"\n");
    listening(Setup::new("postgres://ficus@127.0.0.1:9/ficus", &text).not_ready()).await
}

const LEGACY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nlegacy";

async fn first_line(asked: &mut Asked) -> String {
    asked.next().await.head.first
}

#[tokio::test]
async fn the_table_of_services_is_a_configuration() {
    let (legacy, mut to_legacy) = recorder(LEGACY).await;
    let (payments, mut to_payments) =
        recorder("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npaid").await;
    let (trust, mut to_trust) = recorder("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ntrust").await;
    let ficus = served(
        "gateway.toml",
        &[
            ("http://legacy:8000", legacy),
            ("http://payment-service:8000", payments),
            ("http://trust-service:8001", trust),
        ],
    )
    .await;
    let send = async |method: &str, path: &str| {
        ask(
            ficus.proxy,
            format!("{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
        )
        .await
    };
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let paid = send(method, "/api/v1/payments/7/refunds").await;
        assert_eq!(paid.text(), "paid");
        assert_eq!(
            paid.head.get("ratelimit-policy"),
            Some("\"default\";q=1000;w=3600")
        );
        let expected = format!("{method} /api/v1/payments/7/refunds HTTP/1.1");
        assert_eq!(first_line(&mut to_payments).await, expected);
    }
    let trusted = send("POST", "/api/v1/trust/scores").await;
    assert_eq!(trusted.text(), "trust");
    assert_eq!(
        trusted.head.get("ratelimit-policy"),
        Some("\"default\";q=5000;w=3600")
    );
    assert_eq!(
        first_line(&mut to_trust).await,
        "POST /api/v1/trust/scores HTTP/1.1"
    );
    // A method or a path that no service claims is the application's that came first.
    for (method, path) in [
        ("DELETE", "/api/v1/trust/scores"),
        ("GET", "/api/v1/orders/1"),
        ("GET", "/"),
    ] {
        let answer = send(method, path).await;
        assert_eq!(
            (answer.text(), answer.head.get("ratelimit-policy")),
            ("legacy", None)
        );
        assert_eq!(
            first_line(&mut to_legacy).await,
            format!("{method} {path} HTTP/1.1")
        );
    }
}

#[tokio::test]
async fn an_edge_before_an_application_and_its_api_is_a_configuration() {
    let (laravel, mut to_laravel) = recorder(LEGACY).await;
    let (api, mut to_api) = recorder("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\napi").await;
    let ficus = served(
        "edge.toml",
        &[
            ("http://localhost:8000", laravel),
            ("http://localhost:8100", api),
        ],
    )
    .await;
    let origin = "https://sp404.example.com";
    let send = async |method: &str, path: &str| {
        ask(ficus.proxy, format!("{method} {path} HTTP/1.1\r\nhost: a\r\norigin: {origin}\r\ncontent-length: 0\r\n\r\n")).await
    };
    for (method, path, by) in [
        ("POST", "/api/auth/login", "legacy"),
        ("POST", "/api/auth/register", "legacy"),
        ("GET", "/api/samples/7", "api"),
        ("PATCH", "/api/samples/7/tags", "api"),
        ("GET", "/api/collections/1", "api"),
        ("GET", "/api/billing/invoices", "legacy"),
    ] {
        let answer = send(method, path).await;
        assert_eq!(answer.text(), by, "{method} {path}");
        assert_eq!(
            answer.head.get("access-control-allow-origin"),
            Some(origin),
            "{path}"
        );
        let asked = if by == "api" {
            &mut to_api
        } else {
            &mut to_laravel
        };
        assert_eq!(first_line(asked).await, format!("{method} {path} HTTP/1.1"));
    }
    let preflight = format!(
        "OPTIONS /api/samples/7 HTTP/1.1\r\nhost: a\r\norigin: {origin}\r\naccess-control-request-method: DELETE\r\naccess-control-request-headers: authorization, content-type\r\n\r\n"
    );
    let answer = ask(ficus.proxy, preflight).await;
    assert_eq!(answer.head.status(), 204);
    assert_eq!(
        answer.head.get("access-control-allow-methods"),
        Some("DELETE")
    );
    assert_eq!(
        answer.head.get("access-control-allow-headers"),
        Some("authorization, content-type")
    );
    assert_eq!((to_api.waiting(), to_laravel.waiting()), (0, 0));
    // A login is guessed at slowly.
    let mut refused = 0;
    for _ in 0..12 {
        refused += usize::from(send("POST", "/api/auth/login").await.head.status() == 429);
    }
    assert_eq!(refused, 3, "ten a day, one of them above");
}
