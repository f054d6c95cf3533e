//! What an origin answers is what its client gets: status lines, fields, bodies of every size and framing.
//!
//! Its own file beside `transparency`, because a proxy has as many ways to change an answer as a request.

use super::wire::{End, FINE, Wire, ask, get, origin, recorder};
use super::{in_front_of, transparent};

/// Answers each request with what stands behind the `?` of its target: a place in `answers`.
async fn scripted(answers: &'static [&'static str]) -> std::net::SocketAddr {
    origin(move |mut wire| async move {
        while let Ok(request) = wire.request().await {
            let target = request.head.first.split(' ').nth(1).expect("a target");
            let place: usize = target[2..].parse().expect("a place");
            let answer = answers[place];
            let ends = answer.starts_with("HTTP/1.0") || !answer.contains("\r\n\r\n");
            if wire.try_send(answer).await.is_err() || ends {
                return;
            }
        }
    })
    .await
}

/// What ficus adds to an answer, and what concerns one connection only. pingora writes the date of its own clock (docs/adr/0070).
fn is_ours(name: &str) -> bool {
    ["x-ficus-served-by", "x-request-id", "connection", "date"].contains(&name)
}

#[tokio::test]
async fn every_status_and_its_words_pass() {
    let legacy = origin(|mut wire| async move {
        while let Ok(request) = wire.request().await {
            let status = request.head.first.split(' ').nth(1).expect("a target")[1..].to_owned();
            let framing = match &*status {
                "204" | "304" => "",
                _ => "content-length: 0\r\n",
            };
            wire.send(format!(
                "HTTP/1.1 {status} Words of {status}\r\n{framing}\r\n"
            ))
            .await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for status in 200..600 {
        client.send(get(&format!("/{status}"), "")).await;
        let head = client.head().await.expect("an answer");
        assert_eq!(head.first, format!("HTTP/1.1 {status} Words of {status}"));
    }
}

#[tokio::test]
async fn an_answers_fields_are_the_origins() {
    const FIELDS: &str = "server: Apache/2.4 (Debian)\r\nlocation: http://app.example.com:81/x?y#z\r\n\
         content-type: text/html; charset=UTF-8\r\ncontent-encoding: gzip\r\ncontent-language: da, en\r\netag: W/\"1\"\r\n\
         last-modified: Fri, 20 Nov 2026 04:00:00 GMT\r\ncache-control: no-store, private\r\npragma: no-cache\r\nexpires: 0\r\n\
         vary: *\r\nage: 3\r\nlink: </a>; rel=preload\r\nlink: </b>; rel=next\r\nwww-authenticate: Basic realm=\"a, b\"\r\n\
         retry-after: 120\r\naccept-ranges: bytes\r\nallow: GET, HEAD\r\nx-powered-by: PHP/8.2\r\ncontent-disposition: attachment; filename*=UTF-8''%e2%82%ac\r\n\
         strict-transport-security: max-age=1\r\ncontent-security-policy: default-src 'self'; script-src 'nonce-a'\r\n\
         access-control-allow-origin: *\r\nset-cookie: a=1; Path=/; HttpOnly\r\nset-cookie: b=2; Domain=example.com; Secure\r\n\
         x-empty:\r\nx_odd: 1\r\nratelimit-remaining: 9\r\nvia: 1.1 cache\r\nwarning: 110 - \"stale\"\r\nalt-svc: h3=\":443\"\r\n";
    let (legacy, _asked) = recorder(Box::leak(
        format!("HTTP/1.1 200 OK\r\n{FIELDS}content-length: 4\r\n\r\nfine").into_boxed_str(),
    ))
    .await;
    let ficus = transparent(legacy).await;
    let answer = ask(ficus.proxy, get("/", "")).await;
    let got: Vec<String> = answer
        .head
        .fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| !is_ours(name))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let sent = format!("{FIELDS}content-length: 4\r\n");
    let mut sent: Vec<String> = sent
        .trim_end()
        .split("\r\n")
        .map(|line| line.replace("x-empty:", "x-empty: "))
        .collect();
    let mut got = got;
    // The order of different names means nothing (RFC 9110, 5.3); that of one name is its neighbours'.
    sent.sort_by_key(|line| line.split(':').next().map(str::to_owned));
    got.sort_by_key(|line| line.split(':').next().map(str::to_owned));
    assert_eq!(got, sent);
    assert_eq!(answer.text(), "fine");
}

#[tokio::test]
async fn an_answer_ends_where_the_origin_ends_it() {
    const ANSWERS: &[&str] = &[
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nfi\r\n2\r\nne\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n02;a=b\r\nfi\r\n2\r\nne\r\n00\r\nx-trailer: 1\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nfine",
        "HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 2-5/9\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 500 Oh\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nfine",
    ];
    let ficus = transparent(scripted(ANSWERS).await).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for (place, sent) in ANSWERS.iter().enumerate() {
        client.send(get(&format!("/?{place}"), "")).await;
        let mut head = client.head().await.expect("an answer");
        let mut hints = 0;
        while head.status() < 200 {
            hints += 1;
            head = client.head().await.expect("the answer after the hints");
        }
        assert_eq!(hints, sent.matches("HTTP/1.1 1").count(), "{sent}");
        let ends_by_closing =
            head.get("content-length").is_none() && head.get("transfer-encoding").is_none();
        let body = match ends_by_closing {
            true => client.rest().await.0,
            false => client.body(&head).await.expect("a body"),
        };
        assert_eq!(body, b"fine", "{sent}");
        // Where the origin's connection ends, the client's need not.
        if head.get("connection") == Some("close") {
            assert!(sent.starts_with("HTTP/1.0"), "{sent}");
            client = Wire::connect(ficus.proxy).await;
        }
    }
}

#[tokio::test]
async fn bodies_of_every_size_and_every_byte_come_back_as_they_went() {
    let legacy = origin(|mut wire| async move {
        while let Ok(request) = wire.request().await {
            let body = request.body;
            let framing = match request.head.first.contains("/chunked") {
                true => "transfer-encoding: chunked".to_owned(),
                false => format!("content-length: {}", body.len()),
            };
            wire.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"))
                .await;
            let body = match request.head.first.contains("/chunked") {
                true => in_chunks(&body),
                false => body,
            };
            wire.send(body).await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for size in [
        0,
        1,
        2,
        255,
        256,
        4095,
        4096,
        4097,
        16_384,
        65_535,
        65_536,
        65_537,
        1 << 20,
    ] {
        let body: Vec<u8> = (0..size).map(|n: u32| (n ^ (n >> 8)) as u8).collect();
        for (target, chunked) in [
            ("/length", false),
            ("/length", true),
            ("/chunked", false),
            ("/chunked", true),
        ] {
            let framing = match chunked {
                true => "transfer-encoding: chunked".to_owned(),
                false => format!("content-length: {size}"),
            };
            let head = format!("PUT {target} HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n");
            client.send(head).await;
            client
                .send(if chunked {
                    in_chunks(&body)
                } else {
                    body.clone()
                })
                .await;
            let answer = client.answer().await;
            assert!(
                answer.body == body,
                "{size} bytes, {target}, chunked: {chunked}"
            );
        }
    }
}

/// Of uneven sizes.
fn in_chunks(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(5_003) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn an_answer_to_head_has_the_fields_of_get_and_no_body() {
    const ANSWERS: &[&str] = &[
        "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"1\"\r\n\r\n",
    ];
    let ficus = transparent(scripted(ANSWERS).await).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for (place, sent) in ANSWERS.iter().enumerate() {
        client
            .send(format!("HEAD /?{place} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        // Were there a body, the next head would not be one.
        let head = client.head().await.expect("an answer");
        assert!(sent.starts_with(&format!("HTTP/1.1 {}", head.status())));
        let length = head.get("content-length");
        assert!(
            length.is_none_or(|length| sent.contains(&format!(": {length}\r\n"))),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn what_a_client_asks_of_representations_is_the_origins_matter() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let fields = "accept: text/html, */*;q=0.1\r\naccept-encoding: br;q=1.0, gzip;q=0.8, *;q=0\r\naccept-language: da\r\n\
                  accept-charset: utf-8\r\nrange: bytes=0-1,5-\r\nif-range: \"1\"\r\nif-match: *\r\nif-none-match: W/\"1\", \"2\"\r\n\
                  if-modified-since: Sat, 21 Nov 2026 04:00:00 GMT\r\nauthorization: Bearer a.b.c\r\ncookie: a=b; c=\"d\"\r\n\
                  content-type: multipart/form-data; boundary=\"x y\"\r\ncontent-encoding: gzip\r\nuser-agent: Mozilla/5.0 (X11; \u{e9})\r\n\
                  referer: https://app.example.com/a?b#c\r\norigin: null\r\ndnt: 1\r\nprefer: return=minimal\r\nmax-forwards: 3\r\n\
                  x-http-method-override: DELETE\r\nx-csrf-token: a+/=\r\nx-requested-with: XMLHttpRequest\r\ncache-control: max-age=0\r\n\
                  via: 1.0 fred\r\nbaggage: a=b\r\npriority: u=1, i\r\nsec-fetch-mode: cors\r\n";
    assert_eq!(ask(ficus.proxy, get("/", fields)).await.text(), "fine");
    let got = asked.next().await.head;
    for line in fields.trim_end().split("\r\n") {
        let (name, value) = line.split_once(": ").expect("a field");
        assert_eq!(got.get(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_large_head_of_an_answer_passes_whole() {
    let cookies: String = (0..60)
        .map(|n| format!("set-cookie: name{n}={}; path=/\r\n", "v".repeat(300)))
        .collect();
    let answer = format!("HTTP/1.1 200 OK\r\n{cookies}content-length: 4\r\n\r\nfine");
    let (legacy, _asked) = recorder(Box::leak(answer.into_boxed_str())).await;
    let ficus = in_front_of(legacy, "").await;
    let mut client = Wire::connect(ficus.proxy).await;
    for _ in 0..2 {
        let answer = client.ask(get("/", "")).await;
        let got = answer.head.all("set-cookie");
        assert_eq!(got.len(), 60);
        assert!(
            got.iter()
                .enumerate()
                .all(|(n, cookie)| cookie.starts_with(&format!("name{n}=")))
        );
        assert_eq!(answer.text(), "fine");
    }
    let last = client.ask(get("/", "connection: close\r\n")).await;
    assert_eq!(last.text(), "fine");
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
}
