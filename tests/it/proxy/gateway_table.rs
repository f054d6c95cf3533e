//! Two plans' gateways, as configuration: a table of services, and an edge before an application and its API.
//!
//! Its own file, because these are the files that an operator would write, from the first line to the last.

use super::listening;
use super::wire::{Asked, Message, ask, origin, recorder};
use crate::support::issuer::{KeyServer, Mood, RSA_PEM, Signer, jwks};
use crate::support::process::{Ficus, Setup, eventually};
use crate::support::project;

/// A file as it is committed, pointed at the upstreams of a test.
async fn served(file: &str, upstreams: &[(&str, std::net::SocketAddr)]) -> Ficus {
    let folder = project().join("tests/fixtures/config/valid");
    let mut text = std::fs::read_to_string(folder.join(file)).expect("the fixture");
    for (url, address) in upstreams {
        assert!(text.contains(url), "{url} is in {file}");
        text = text.replace(url, &format!("http://{address}"));
    }
    let text = format!("{text}\n[flags]\ncold_start = \"legacy\"\n");
    listening(Setup::new("postgres://ficus@127.0.0.1:9/ficus", &text).not_ready()).await
}

const LEGACY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nlegacy";

/// What a client that lies about itself sends beside its request.
const SPOOFED: &str =
    "x-user-id: admin\r\nx_user_id: admin\r\nx-user-tier: gold\r\nX-User_Tier: gold\r\n";

/// A request without a body, and with a token unless it is empty.
async fn send(ficus: &Ficus, method: &str, path: &str, token: &str, fields: &str) -> Message {
    let bearer = match token {
        "" => String::new(),
        token => format!("authorization: Bearer {token}\r\n"),
    };
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n{bearer}{fields}\r\n");
    ask(ficus.proxy, request).await
}

/// The first token may come before its key.
async fn until_let_in(ficus: &Ficus, path: &str, token: &str, asked: &mut Asked) {
    eventually("the key is there", || async {
        let status = send(ficus, "GET", path, token, "").await.head.status();
        (status == 200).then_some(())
    })
    .await;
    asked.next().await;
}

/// What an upstream was told: the request line, the user and the tier, and nobody else's word for them.
async fn told(asked: &mut Asked) -> (String, Option<String>, Option<String>) {
    let head = asked.next().await.head;
    assert_eq!(
        (head.get("x_user_id"), head.get("x-user_tier")),
        (None, None)
    );
    let field = |name: &str| head.get(name).map(str::to_owned);
    (head.first.clone(), field("x-user-id"), field("x-user-tier"))
}

fn refusal(answer: &Message) -> (u16, String) {
    let problem = answer.json()["type"].as_str().expect("a type").to_owned();
    (answer.head.status(), problem)
}

#[tokio::test]
async fn the_table_of_services_is_a_configuration() {
    let (legacy, mut to_legacy) = recorder(LEGACY).await;
    let (payments, mut to_payments) =
        recorder("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npaid").await;
    let (trust, mut to_trust) = recorder("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ntrust").await;
    let identity = KeyServer::start(Mood::Serve(jwks(&[Signer::Rsa.jwk("a")]))).await;
    let ficus = served(
        "gateway.toml",
        &[
            ("http://legacy:8000", legacy),
            ("http://payment-service:8000", payments),
            ("http://trust-service:8001", trust),
            ("http://identity:8080", identity.address),
        ],
    )
    .await;
    let claims = |user: &str, audience: &str| {
        format!(
            r#""iss":"https://identity.example.com","aud":"{audience}","sub":"{user}","tier":"pro""#
        )
    };
    let ann = Signer::Rsa.token(Some("a"), &claims("ann", "gateway"));
    until_let_in(&ficus, "/api/v1/payments/first", &ann, &mut to_payments).await;

    // `auth = "required"`: the service sees who it is, and nobody whom ficus does not know.
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let paid = send(&ficus, method, "/api/v1/payments/7/refunds", &ann, SPOOFED).await;
        assert_eq!(paid.text(), "paid");
        assert_eq!(
            paid.head.get("ratelimit-policy"),
            Some("\"default\";q=1000;w=3600")
        );
        let expected = format!("{method} /api/v1/payments/7/refunds HTTP/1.1");
        let user = (Some("ann".to_owned()), Some("pro".to_owned()));
        assert_eq!(told(&mut to_payments).await, (expected, user.0, user.1));
    }
    let unauthenticated = (401, "urn:ficus:problem:unauthenticated".to_owned());
    let nobody = send(&ficus, "POST", "/api/v1/payments/7/refunds", "", SPOOFED).await;
    assert_eq!(refusal(&nobody), unauthenticated);
    assert_eq!(nobody.head.get("www-authenticate"), Some("Bearer"));
    assert_eq!(nobody.head.get("ratelimit"), None, "nobody's limit pays");
    let invalid = (401, "urn:ficus:problem:invalid-token".to_owned());
    let forged = Signer::Other.token(Some("a"), &claims("ann", "gateway"));
    let for_others = Signer::Rsa.token(Some("a"), &claims("ann", "shop"));
    for token in [&forged, &for_others] {
        for path in ["/api/v1/payments/1", "/api/v1/trust/1"] {
            let refused = send(&ficus, "GET", path, token, "").await;
            assert_eq!(refusal(&refused), invalid, "{path}");
        }
    }
    assert_eq!((to_payments.waiting(), to_trust.waiting()), (0, 0));

    // `auth = "optional"`: anybody, and who shows a token is known.
    for (token, user, tier) in [("", None, None), (ann.as_str(), Some("ann"), Some("pro"))] {
        let trusted = send(&ficus, "POST", "/api/v1/trust/scores", token, SPOOFED).await;
        assert_eq!(trusted.text(), "trust");
        assert_eq!(
            trusted.head.get("ratelimit-policy"),
            Some("\"default\";q=5000;w=3600")
        );
        let expected = "POST /api/v1/trust/scores HTTP/1.1".to_owned();
        let (user, tier) = (user.map(str::to_owned), tier.map(str::to_owned));
        assert_eq!(told(&mut to_trust).await, (expected, user, tier));
    }

    // A method or a path that no service claims is the application's that came first, which asks for itself.
    for (method, path) in [
        ("DELETE", "/api/v1/trust/scores"),
        ("GET", "/api/v1/orders/1"),
        ("GET", "/"),
    ] {
        let answer = send(&ficus, method, path, "", SPOOFED).await;
        assert_eq!(
            (answer.text(), answer.head.get("ratelimit-policy")),
            ("legacy", None)
        );
        let expected = format!("{method} {path} HTTP/1.1");
        assert_eq!(told(&mut to_legacy).await, (expected, None, None));
    }
}

/// Laravel, which answers for its public key too.
async fn laravel() -> (std::net::SocketAddr, Asked) {
    let (told, asked) = tokio::sync::mpsc::unbounded_channel();
    let address = origin(move |mut wire| {
        let told = told.clone();
        async move {
            while let Ok(request) = wire.request().await {
                let is_key = request.head.first == "GET /api/auth/public-key HTTP/1.1";
                let answer = match is_key {
                    true => format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{RSA_PEM}",
                        RSA_PEM.len()
                    ),
                    false => LEGACY.to_owned(),
                };
                if !is_key {
                    let _ = told.send(request);
                }
                if wire.try_send(answer).await.is_err() {
                    return;
                }
            }
        }
    });
    (address.await, Asked::of(asked))
}

#[tokio::test]
async fn an_edge_before_an_application_and_its_api_is_a_configuration() {
    let (laravel, mut to_laravel) = laravel().await;
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
    let page = format!("origin: {origin}\r\n{SPOOFED}");
    let of_tier = |tier: &str| Signer::Rsa.token(None, &format!(r#""sub":"7","tier":"{tier}""#));
    let (free, pro) = (of_tier("free"), of_tier("pro"));
    until_let_in(&ficus, "/api/collections/first", &free, &mut to_api).await;
    for (method, path, by) in [
        ("POST", "/api/auth/login", "legacy"),
        ("POST", "/api/auth/register", "legacy"),
        ("GET", "/api/samples/7", "api"),
        ("PATCH", "/api/samples/7/tags", "api"),
        ("GET", "/api/collections/1", "api"),
        ("GET", "/api/billing/invoices", "legacy"),
    ] {
        let is_public = path.starts_with("/api/auth/");
        let token = if is_public { "" } else { &pro };
        let answer = send(&ficus, method, path, token, &page).await;
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
        let user = (!is_public).then(|| ("7".to_owned(), "pro".to_owned()));
        let (user, tier) = user.unzip();
        let expected = format!("{method} {path} HTTP/1.1");
        assert_eq!(told(asked).await, (expected, user, tier));
        if is_public {
            continue;
        }
        // Without a token: refused, in an answer that the page may read.
        let refused = send(&ficus, method, path, "", &page).await;
        let unauthenticated = (401, "urn:ficus:problem:unauthenticated".to_owned());
        assert_eq!(refusal(&refused), unauthenticated, "{path}");
        assert_eq!(
            refused.head.get("access-control-allow-origin"),
            Some(origin)
        );
    }
    // The quota is the tier's.
    for (token, quota) in [(&free, 1000), (&pro, 5000)] {
        let answer = send(&ficus, "GET", "/api/samples/1", token, "").await;
        let expected = format!("\"default\";q={quota};w=3600");
        assert_eq!(answer.head.get("ratelimit-policy"), Some(&*expected));
        to_api.next().await;
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
        let answer = send(&ficus, "POST", "/api/auth/login", "", "").await;
        refused += usize::from(answer.head.status() == 429);
    }
    assert_eq!(refused, 3, "ten a day, one of them above");
}
