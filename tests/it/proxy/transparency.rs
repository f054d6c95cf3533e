//! With an empty route table the proxy is not there: what either side sends, the other side gets.
//!
//! Its own file, because this is the promise on which an operator puts ficus in front of everything on the first day.

use super::wire::{FINE, Wire, ask, get, in_time, origin, recorder};
use super::{in_front_of, listening, setup, transparent};

#[tokio::test]
async fn methods_and_targets_arrive_byte_for_byte() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        for target in [
            "/",
            "//double//slash/",
            "/a%2Fb%2fc%20d?q=%7e~&x=%C3%A9",
            "/a;b=c;d/e",
            "/empty?",
            "/two??marks?",
            "/dots/../and/./dots",
            "/plus+and%2Bplus?a[]=1&a[]=2",
            "/'quotes'(and)*stars*!$&,=:@",
        ] {
            let request = format!(
                "{method} {target} HTTP/1.1\r\nhost: app.example.com\r\ncontent-length: 2\r\n\r\nhi"
            );
            assert_eq!(
                client.ask(&request).await.text(),
                "fine",
                "{method} {target}"
            );
            let got = asked.next().await;
            assert_eq!(got.head.first, format!("{method} {target} HTTP/1.1"));
            assert_eq!(got.body, b"hi");
        }
    }
    assert_eq!(
        client
            .ask("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .text(),
        "fine"
    );
    assert_eq!(asked.next().await.head.first, "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn fields_keep_their_values_their_number_and_their_order() {
    let (legacy, mut asked) = recorder(
        "HTTP/1.1 200 Quite Fine\r\nset-cookie: a=1; path=/\r\nSet-Cookie: b=2\r\nX-Odd: \"q\" ; \t z\r\n\
         set-cookie: a=3\r\nvary: one\r\nvary: two\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let ficus = transparent(legacy).await;
    let answer = ask(
        ficus.proxy,
        get(
            "/",
            "Accept-Language: da\r\ncookie: a=1\r\naccept-language: en;q=0.5\r\nCookie: b=2\r\nx-empty:\r\n\
             X-Many: 1, 2\r\nx-many: 3\r\n",
        ),
    )
    .await;
    assert_eq!(answer.head.status(), 200);
    assert_eq!(answer.head.all("set-cookie"), ["a=1; path=/", "b=2", "a=3"]);
    assert_eq!(answer.head.all("vary"), ["one", "two"]);
    assert_eq!(answer.head.all("x-odd"), ["\"q\" ; \t z"]);
    let got = asked.next().await.head;
    assert_eq!(got.all("accept-language"), ["da", "en;q=0.5"]);
    assert_eq!(got.all("cookie"), ["a=1", "b=2"]);
    assert_eq!(got.all("x-many"), ["1, 2", "3"]);
    assert_eq!(got.all("x-empty"), [""]);
    assert_eq!(got.all("host"), ["app.example.com"]);
}

#[tokio::test]
async fn names_of_fields_leave_in_lower_case_or_as_they_were_spelt() {
    for (settings, request, answer) in [
        ("", "x-mixed-case", "x-powered-by"),
        (
            "[proxy]\nkeep_header_case = true\n",
            "X-Mixed-CASE",
            "X-Powered-BY",
        ),
    ] {
        let (legacy, mut asked) =
            recorder("HTTP/1.1 200 Quite Fine\r\nX-Powered-BY: PHP\r\nContent-Length: 0\r\n\r\n")
                .await;
        let ficus = in_front_of(legacy, settings).await;
        let got = ask(ficus.proxy, get("/", "X-Mixed-CASE: 1\r\n")).await.head;
        assert_eq!(got.first, "HTTP/1.1 200 Quite Fine");
        let has = |fields: &[(String, String)], name| fields.iter().any(|(n, _)| n == name);
        assert!(has(&got.fields, answer), "{got:?}");
        let seen = asked.next().await.head;
        assert!(has(&seen.fields, request), "{seen:?}");
        assert!(has(&seen.fields, "x-ficus-revision"), "{seen:?}");
    }
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let legacy = origin(|mut wire| async move {
        while let Ok(request) = wire.request().await {
            let head = match request.head.first.split(' ').nth(1) {
                Some("/204") => "204 No Content\r\nx-kept: yes",
                Some("/304") => "304 Not Modified\r\netag: \"1\"\r\ncontent-length: 77",
                _ => "200 OK\r\ncontent-length: 1234",
            };
            wire.send(format!("HTTP/1.1 {head}\r\n\r\n")).await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for (method, path, status, length) in [
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("77")),
        ("HEAD", "/", 200, Some("1234")),
        ("HEAD", "/204", 204, None),
    ] {
        client
            .send(format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        // Read as a head alone: were there a body, the next head would not be one.
        let head = client.head().await.expect("a head");
        assert_eq!(head.status(), status, "{method} {path}");
        assert_eq!(head.get("content-length"), length, "{method} {path}");
        assert_eq!(head.get("transfer-encoding"), None, "{method} {path}");
    }
}

#[tokio::test]
async fn bodies_of_both_framings_arrive_in_both_directions() {
    let legacy = origin(|mut wire| async move {
        while let Ok(request) = wire.request().await {
            let text = String::from_utf8(request.body).expect("text");
            let framing = if request.head.get("transfer-encoding").is_some() {
                "chunked"
            } else {
                "length"
            };
            let answer = match request.head.first.contains("/chunked") {
                true => {
                    format!(
                        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{framing}\r\n{:x}\r\n {text}\r\n0\r\n\r\n",
                        framing.len(),
                        text.len() + 1
                    )
                }
                false => {
                    let said = format!("{framing} {text}");
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}", said.len())
                }
            };
            wire.send(answer).await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for path in ["/chunked", "/length"] {
        let sent = format!("POST {path} HTTP/1.1\r\nhost: a\r\n");
        let answer = client
            .ask(format!("{sent}content-length: 5\r\n\r\nhello"))
            .await;
        assert_eq!(answer.text(), "length hello", "{path}");
        let answer = client
            .ask(format!(
                "{sent}transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.text(), "chunked hello", "{path}");
        assert_eq!(
            answer.head.get("transfer-encoding").is_some(),
            path == "/chunked"
        );
    }
}

#[tokio::test]
async fn an_old_client_is_served_and_let_go() {
    let legacy = origin(|mut wire| async move {
        while wire.request().await.is_ok() {
            wire.send(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
            )
            .await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    // No Host, and it ends the answer by the end of the connection.
    client.send("GET /old HTTP/1.0\r\n\r\n").await;
    let head = client.head().await.expect("an answer");
    assert_eq!(head.get("transfer-encoding"), None, "1.0 knows no chunks");
    assert_eq!(client.rest().await.0, b"fine");

    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    let answer = client.ask("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert_eq!(answer.text(), "fine");
    assert_eq!(answer.head.get("connection"), Some("close"));
    assert_eq!(client.rest().await.0, b"", "and it is let go");
    assert_eq!(asked.next().await.head.first, "GET / HTTP/1.1");
    let mut client = Wire::connect(ficus.proxy).await;
    for _ in 0..2 {
        let kept = "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n";
        assert_eq!(client.ask(kept).await.text(), "fine");
    }
}

#[tokio::test]
async fn connections_are_kept_on_both_sides_and_closed_when_asked() {
    let (opened, mut connections) = tokio::sync::mpsc::unbounded_channel();
    let legacy = origin(move |mut wire| {
        opened.send(()).expect("counted");
        async move {
            while wire.request().await.is_ok() {
                wire.send(FINE).await;
            }
        }
    })
    .await;
    let one_thread = setup(legacy, "").variable("FICUS__PROXY__THREADS", "1");
    let ficus = listening(one_thread).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for _ in 0..20 {
        let answer = client.ask(get("/", "")).await;
        assert_eq!(answer.head.get("connection"), Some("keep-alive"));
    }
    let answer = client.ask(get("/", "connection: close\r\n")).await;
    assert_eq!(answer.head.get("connection"), Some("close"));
    assert_eq!(client.rest().await.0, b"");
    in_time(connections.recv()).await.expect("one connection");
    assert!(
        connections.is_empty(),
        "the upstream's connection is used again"
    );
}

#[tokio::test]
async fn the_host_is_passed_on_unless_the_upstream_has_its_own() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let request = "GET / HTTP/1.1\r\nHost: Shop.Example.COM:8443\r\n\r\n";
    ask(ficus.proxy, request).await;
    let got = asked.next().await.head;
    assert_eq!(got.get("host"), Some("Shop.Example.COM:8443"));
    assert_eq!(got.get("x-forwarded-host"), Some("Shop.Example.COM:8443"));

    let own = in_front_of(legacy, "preserve_host = false\n").await;
    ask(own.proxy, request).await;
    let got = asked.next().await.head;
    assert_eq!(got.get("host"), Some(legacy.to_string().as_str()));
    assert_eq!(got.get("x-forwarded-host"), Some("Shop.Example.COM:8443"));
}

#[tokio::test]
async fn trailers_end_at_the_proxy_and_the_connection_lives_on() {
    let legacy = origin(|mut wire| async move {
        while wire.head().await.is_ok() {
            wire.until(b"0\r\n\r\n").await.expect("a body without trailers");
            wire.send(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n4\r\nfine\r\n0\r\nx-sum: 1\r\n\r\n",
            )
            .await;
        }
    })
    .await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for _ in 0..2 {
        let request = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 2\r\n\r\n";
        assert_eq!(client.ask(request).await.text(), "fine");
    }
}
