//! Requests to the letter: what is not one is refused at the door, counted, logged with measure, and reaches nobody.
//!
//! Its own file, because these are bytes that no client library would send.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::wire::{End, FINE, Wire, ask, get, in_time, origin, recorder};
use super::{listening, setup, transparent};

const START: &str = "POST /a HTTP/1.1\r\nhost: a\r\n";

#[tokio::test]
async fn each_flaw_of_a_head_has_its_status_its_counter_and_its_line() {
    let (legacy, asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    for (request, status, reason) in [
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", 400, "bare-lf"),
        ("GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n", 400, "bare-lf"),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
            400,
            "control-byte",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
            400,
            "control-byte",
        ),
        (
            "\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "empty-lines",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n",
            400,
            "folded-field",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nx : b\r\n\r\n",
            400,
            "field-name",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\n: b\r\n\r\n",
            400,
            "field-name",
        ),
        ("GET /\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n", 400, "target"),
        ("G{T / HTTP/1.1\r\nhost: a\r\n\r\n", 400, "method"),
        ("GET /\r\nhost: a\r\n\r\n", 400, "request-line"),
        ("GET / HTTP/3.0\r\nhost: a\r\n\r\n", 505, "version"),
        ("TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", 405, "method-refused"),
        (
            "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n",
            405,
            "method-refused",
        ),
        ("GET / HTTP/1.1\r\n\r\n", 400, "no-host"),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
            400,
            "two-hosts",
        ),
        ("GET / HTTP/1.1\r\nhost: a:b\r\n\r\n", 400, "host"),
        (
            "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "host-differs",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1,1\r\n\r\nx",
            400,
            "content-length",
        ),
        (
            "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "transfer-encoding",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "transfer-coding-unknown",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
            400,
            "two-framings",
        ),
        (
            "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03",
            400,
            "control-byte",
        ),
    ] {
        let mut client = Wire::connect(ficus.proxy).await;
        // Whatever follows belongs to nobody.
        client
            .send(format!(
                "{request}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.head.status(), status, "{request:?}");
        assert_eq!(answer.head.get("connection"), Some("close"));
        assert_eq!(
            answer.head.get("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(answer.json()["status"], status);
        assert_eq!(
            answer.json()["request_id"].as_str(),
            answer.head.get("x-request-id")
        );
        assert_eq!(
            client.rest().await,
            (Vec::new(), End::Closed),
            "{request:?}"
        );
        let metrics = ficus.metrics().await;
        let counter = format!("ficus_door_refused_total{{reason=\"{reason}\"}} ");
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&counter))
            .expect(reason);
        assert!(!line.ends_with(" 0"), "{line} after {request:?}");
        assert!(
            ficus.log().contains(&format!("reason=\"{reason}\"")),
            "{reason} is logged"
        );
    }
    assert_eq!(asked.waiting(), 0);
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_read_as_one_that_comes_whole() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for target in ["/first", "/second"] {
        for byte in get(target, "x: y\r\n").bytes() {
            client.send([byte]).await;
        }
        assert_eq!(client.answer().await.text(), "fine");
        assert!(asked.next().await.head.first.contains(target));
    }
    for byte in "GET / HTTP/1.1\r\nhost: a\r\nx: \x01".bytes() {
        client.send([byte]).await;
    }
    assert_eq!(client.answer().await.head.status(), 400);
}

#[tokio::test]
async fn limits_hold_before_the_head_is_whole() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    for (endless, status) in [
        ("GET /".to_owned() + &"a".repeat(9000), 414),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nx: ".to_owned() + &"a".repeat(40_000),
            431,
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\n".to_owned() + &"x: y\r\n".repeat(101),
            431,
        ),
    ] {
        let mut client = Wire::connect(ficus.proxy).await;
        client.send(endless).await;
        assert_eq!(client.answer().await.head.status(), status);
    }
}

#[tokio::test]
async fn a_flood_of_bad_requests_is_counted_whole_and_logged_in_part() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let started = std::time::Instant::now();
    for _ in 0..300 {
        let mut client = Wire::connect(ficus.proxy).await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.answer().await.head.status(), 400);
    }
    let counter = "ficus_door_refused_total{reason=\"no-host\"} 300";
    assert!(ficus.metrics().await.contains(counter));
    let log = ficus.log();
    let lines = log.lines().filter(|line| line.contains("no-host")).count();
    // Five a second, and a second more where it begins in the middle of one.
    let most = (started.elapsed().as_secs() as usize + 2) * 5;
    assert!((1..=most).contains(&lines), "{lines} lines, at most {most}");
}

#[tokio::test]
async fn chunks_that_two_parsers_could_read_differently_are_refused() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let chunked = format!("{START}transfer-encoding: chunked\r\n\r\n");
    for (body, reason) in [
        ("2\nhi\r\n0\r\n\r\n", "chunk"),
        ("2\r\nhi\n0\r\n\r\n", "chunk"),
        ("2 \r\nhi\r\n0\r\n\r\n", "chunk"),
        ("0x2\r\nhi\r\n0\r\n\r\n", "chunk"),
        ("2\r\nhiX\r\n0\r\n\r\n", "chunk"),
        ("2;a\nb\r\nhi\r\n0\r\n\r\n", "chunk"),
        ("2\r\nhi\r\n0\r\nx: y\n\r\n", "trailer"),
        ("2\r\nhi\r\n0\r\n x: y\r\n\r\n", "trailer"),
    ] {
        // With the head, and after it, when pingora has begun to forward.
        for split in [false, true] {
            let mut client = Wire::connect(ficus.proxy).await;
            match split {
                false => client.send(format!("{chunked}{body}")).await,
                true => {
                    client.send(&chunked).await;
                    tokio::task::yield_now().await;
                    client.send(body).await;
                }
            }
            let answer = client.answer().await;
            assert_eq!(answer.head.status(), 400, "{body:?} {split}");
            assert_eq!(
                client.rest().await,
                (Vec::new(), End::Closed),
                "{body:?} {split}"
            );
        }
        assert!(ficus.log().contains(&format!("reason=\"{reason}\"")));
    }
}

#[tokio::test]
async fn trailers_and_extensions_are_read_and_go_no_further() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let mut client = Wire::connect(ficus.proxy).await;
    for _ in 0..2 {
        let body = "2;name=value\r\nhi\r\n0;last\r\nx-trailer: 1\r\nhost: evil\r\n\r\n";
        let answer = client.ask(format!("{START}transfer-encoding: chunked\r\n\r\n{body}"));
        assert_eq!(answer.await.text(), "fine");
        let got = asked.next().await;
        assert_eq!(got.body, b"hi");
        assert_eq!(
            (got.head.get("x-trailer"), got.head.get("host")),
            (None, Some("a"))
        );
    }
}

#[tokio::test]
async fn a_pipelined_request_is_not_read_and_the_first_is_answered() {
    let (legacy, mut asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    for first in [
        get("/first", ""),
        format!("{START}content-length: 2\r\n\r\nhi"),
        format!("{START}transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    ] {
        let mut client = Wire::connect(ficus.proxy).await;
        client.send(format!("{first}{}", get("/second", ""))).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.text(), answer.head.get("connection")),
            ("fine", Some("close"))
        );
        assert_eq!(
            client.rest().await,
            (Vec::new(), End::Closed),
            "no reset overtakes the answer"
        );
        asked.next().await;
    }
    assert_eq!(asked.waiting(), 0);
}

#[tokio::test]
async fn a_request_that_comes_while_the_one_before_is_answered_closes_the_connection_after_it() {
    let go = Arc::new(Semaphore::new(0));
    let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let wait = Arc::clone(&go);
    let legacy = origin(move |mut wire| {
        let (told, wait) = (told.clone(), Arc::clone(&wait));
        async move {
            while let Ok(request) = wire.request().await {
                told.send(()).expect("told");
                if request.head.first.contains("/first") {
                    let _ = wait.acquire().await;
                }
                wire.send(FINE).await;
            }
        }
    });
    let one_thread = setup(legacy.await, "").variable("FICUS__PROXY__THREADS", "1");
    let ficus = listening(one_thread).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client.send(get("/first", "")).await;
    in_time(asked.recv()).await.expect("asked");
    client.send(get("/second", "")).await;
    // The one thread that answers this has seen the second request by then.
    assert_eq!(ask(ficus.proxy, get("/other", "")).await.text(), "fine");
    in_time(asked.recv()).await.expect("asked");
    go.add_permits(1);
    assert_eq!(client.answer().await.text(), "fine");
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    assert!(asked.try_recv().is_err(), "the second is not asked");
}
