//! `on_miss`: what modern says that it does not know, legacy answers, with the request as it came.
//!
//! Its own file, because the body has to arrive whole or not at all.

use std::net::SocketAddr;

use super::super::wire::{Asked, FINE, Wire, get, recorder};
use super::super::{in_front_of, listening, setup};
use super::{asked, post};
use crate::support::process::Ficus;

const MISS: &str =
    "HTTP/1.1 404 Not Found\r\nx-ficus-miss: campaign\r\ncontent-length: 4\r\n\r\ngone";

/// What modern answers, a proxy before both sides, and what each was asked.
async fn before(modern: &'static str, on_miss: &str) -> (Ficus, Asked, Asked) {
    let ((legacy, on_legacy), (modern, on_modern)) = (recorder(FINE).await, recorder(modern).await);
    let config = config(modern, on_miss);
    let ficus = in_front_of(legacy, &config).await;
    (ficus, on_legacy, on_modern)
}

fn config(modern: SocketAddr, on_miss: &str) -> String {
    format!(
        "[upstream.modern]\nurl = \"http://{modern}\"\n\
         [[route]]\npath = \"/{{*rest}}\"\nside = \"modern\"\non_miss = \"{on_miss}\"\n"
    )
}

#[tokio::test]
async fn what_modern_does_not_know_legacy_answers_whatever_the_method() {
    let (ficus, mut on_legacy, mut on_modern) = before(MISS, "legacy").await;
    let chunked = |chunks: &str| {
        format!(
            "POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        )
    };
    let large = "x".repeat(60_000);
    let cases = [
        (get("/a?b=c", ""), String::new()),
        (post("/a", "", "hello"), "hello".to_owned()),
        (post("/a", "", ""), String::new()),
        (post("/a", "", &large), large.clone()),
        (chunked("3\r\none\r\n3\r\ntwo\r\n"), "onetwo".to_owned()),
        (chunked(""), String::new()),
        (
            "DELETE /a HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
            String::new(),
        ),
    ];
    for (request, body) in cases {
        let what = &request[..request.len().min(60)];
        let answer = asked(&ficus, &request).await;
        assert_eq!(answer.text(), "fine", "{what}");
        assert_eq!(
            answer.head.get("x-ficus-served-by"),
            Some("legacy"),
            "{what}"
        );
        let (first, second) = (on_modern.next().await, on_legacy.next().await);
        assert_eq!(first.head.first, second.head.first);
        assert!(
            first.body == body.as_bytes() && second.body == body.as_bytes(),
            "{what}"
        );
    }
    let line = super::log_line(&ficus, 0).await;
    assert_eq!([&line["fallback"], &line["side"]], ["miss", "legacy"]);
}

#[tokio::test]
async fn a_body_too_large_to_be_kept_is_not_sent_in_part() {
    let (ficus, on_legacy, mut on_modern) = before(MISS, "legacy").await;
    let large = "x".repeat(200_000);
    let answer = asked(&ficus, &post("/a", "", &large)).await;
    assert_eq!((answer.head.status(), answer.text()), (404, "gone"));
    assert_eq!(answer.head.get("x-ficus-served-by"), Some("modern"));
    assert_eq!(answer.head.get("x-ficus-miss"), None);
    assert_eq!(on_modern.next().await.body.len(), large.len());
    assert_eq!(on_legacy.waiting(), 0);
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_send_is_told_by_legacy() {
    // Modern answers from the head alone; the body is legacy's to ask for.
    let modern = super::super::wire::origin(|mut wire| async move {
        if wire.head().await.is_ok() {
            wire.send(MISS).await;
            wire.rest().await;
        }
    })
    .await;
    let legacy = super::super::wire::origin(|mut wire| async move {
        let head = wire.head().await.expect("a head");
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = wire.body(&head).await.expect("a body");
        wire.send(super::answer(
            200,
            std::str::from_utf8(&body).expect("text"),
        ))
        .await;
        wire.rest().await;
    })
    .await;
    let ficus = listening(setup(legacy, &config(modern, "legacy"))).await;
    let mut client = Wire::connect(ficus.proxy).await;
    client
        .send("POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        .await;
    assert_eq!(client.head().await.expect("a head").status(), 100);
    assert_eq!(client.ask("hello").await.text(), "hello");
}

#[tokio::test]
async fn only_a_404_that_says_so_on_a_route_that_says_so_is_a_miss() {
    const PLAIN: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone";
    const OTHER: &str = "HTTP/1.1 410 Gone\r\nx-ficus-miss: 1\r\ncontent-length: 4\r\n\r\ngone";
    for (modern, on_miss) in [(PLAIN, "legacy"), (OTHER, "legacy"), (MISS, "none")] {
        let (ficus, on_legacy, _) = before(modern, on_miss).await;
        let answer = asked(&ficus, &get("/a", "")).await;
        assert_eq!(answer.text(), "gone", "{modern}");
        assert_eq!(answer.head.get("x-ficus-miss"), None, "{modern}");
        assert_eq!(on_legacy.waiting(), 0);
    }
}
