//! An origin that closes or resets at each of eight stages of a request, on a new connection and on a used one.
//!
//! Its own file, because it is one table: what a client gets and how often the origin carried the request out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::wire::{Wire, get, origin};
use super::super::{dead_port, listening, setup};
use super::answer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    BeforeAccept,
    AfterAccept,
    MidHead,
    AfterHead,
    MidBody,
    AfterBody,
    MidAnswerHead,
    MidAnswerBody,
}

const STAGES: [Stage; 8] = [
    Stage::BeforeAccept,
    Stage::AfterAccept,
    Stage::MidHead,
    Stage::AfterHead,
    Stage::MidBody,
    Stage::AfterBody,
    Stage::MidAnswerHead,
    Stage::MidAnswerBody,
];

#[derive(Clone, Copy, Debug)]
struct Case {
    stage: Stage,
    reused: bool,
    by_reset: bool,
    method: &'static str,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for stage in STAGES {
        for reused in [false, true] {
            for by_reset in [false, true] {
                for method in ["GET", "PUT", "POST"] {
                    cases.push(Case {
                        stage,
                        reused,
                        by_reset,
                        method,
                    });
                }
            }
        }
    }
    cases
}

/// Takes a request as far as the stage. Answers whether it was whole, and so may be carried out.
async fn take_until(stage: Stage, wire: &mut Wire) -> bool {
    let taken = match stage {
        Stage::BeforeAccept | Stage::AfterAccept => return false,
        Stage::MidHead => return wire.exactly(5).await.is_err(),
        Stage::AfterHead => return wire.head().await.is_err(),
        Stage::MidBody => {
            let head = wire.head().await.expect("a head");
            if head.get("content-length").is_some() {
                wire.exactly(1).await.expect("half a body");
            }
            return false;
        }
        _ => wire.request().await.is_ok(),
    };
    let begun = match stage {
        Stage::MidAnswerHead => "HTTP/1.1 200 OK\r\ncontent-le",
        Stage::MidAnswerBody => {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        }
        _ => "",
    };
    wire.send(begun).await;
    taken
}

/// Breaks the first request of the case once, and carries out everything after it.
async fn breaking(case: Case) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let executed = Arc::new(AtomicUsize::new(0));
    if case.stage == Stage::BeforeAccept && !case.reused {
        return (dead_port(), executed);
    }
    let (count, connections) = (Arc::clone(&executed), Arc::new(AtomicUsize::new(0)));
    let address = origin(move |mut wire| {
        let (executed, connections) = (Arc::clone(&count), Arc::clone(&connections));
        async move {
            if connections.fetch_add(1, Ordering::SeqCst) == 0 {
                if case.reused {
                    wire.request().await.expect("the first request");
                    wire.send(answer(200, "first")).await;
                }
                if take_until(case.stage, &mut wire).await {
                    executed.fetch_add(1, Ordering::SeqCst);
                }
                if case.by_reset {
                    wire.reset();
                }
                return;
            }
            while wire.request().await.is_ok() {
                executed.fetch_add(1, Ordering::SeqCst);
                wire.send(answer(200, "fine")).await;
            }
        }
    });
    (address.await, executed)
}

#[tokio::test]
async fn wherever_an_origin_breaks_off_nothing_is_doubled_and_what_can_be_asked_again_is() {
    let mut config = String::new();
    let mut origins = Vec::new();
    for (place, case) in cases().into_iter().enumerate() {
        let (address, executed) = breaking(case).await;
        config.push_str(&format!(
            "[upstream.u{place}]\nurl = \"http://{address}\"\n[[route]]\npath = \"/{place}\"\nupstream = \"u{place}\"\n"
        ));
        origins.push((case, executed));
    }
    // One thread, so that a connection that was used is the one that is used next.
    let setup = setup(dead_port(), &config).variable("FICUS__PROXY__THREADS", "1");
    let ficus = listening(setup).await;
    for (place, (case, executed)) in origins.into_iter().enumerate() {
        let target = format!("/{place}");
        if case.reused {
            let first = super::asked(&ficus, &get(&target, "")).await;
            assert_eq!(first.text(), "first", "{case:?}");
        }
        let method = case.method;
        let request = match method {
            "GET" => get(&target, ""),
            _ => format!("{method} {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"),
        };
        let mut client = Wire::connect(ficus.proxy).await;
        client.send(request).await;
        let head = client.head().await.expect("an answer");
        let body = client.body(&head).await;
        let (status, executed) = (head.status(), executed.load(Ordering::SeqCst));
        if case.stage == Stage::MidAnswerBody {
            assert_eq!((status, executed), (200, 1), "{case:?}");
            assert!(body.is_err(), "half an answer looks whole: {case:?}");
            continue;
        }
        // Closed while nobody used it: either it is noticed in time and nothing happened, or it is as below.
        let unnoticed = matches!(case.stage, Stage::BeforeAccept | Stage::AfterAccept);
        match (method, case.reused, status) {
            ("POST", _, 502) => assert!(executed <= 1, "{executed} times: {case:?}"),
            ("POST", true, 200) if unnoticed => assert_eq!(executed, 1, "{case:?}"),
            ("GET" | "PUT", true, 200) => assert!((1..=2).contains(&executed), "{case:?}"),
            ("GET" | "PUT", false, 502) => assert!(executed <= 1, "{executed} times: {case:?}"),
            _ => panic!("{status}, carried out {executed} times: {case:?}"),
        }
    }
}

#[tokio::test]
async fn however_many_pooled_connections_are_dead_a_get_gets_its_answer() {
    // Each connection is good for one request and breaks off at the second, so the pool fills with dead ones.
    let legacy = origin(|mut wire| async move {
        if wire.request().await.is_ok() {
            wire.send(answer(200, "fine")).await;
            let _ = wire.request().await;
        }
    })
    .await;
    let ficus = listening(setup(legacy, "").variable("FICUS__PROXY__THREADS", "1")).await;
    for _ in 0..5 {
        // Several at once, so that several connections are pooled.
        let request = get("/", "");
        let ask = || super::asked(&ficus, &request);
        let answers = tokio::join!(ask(), ask(), ask(), ask());
        for answer in [answers.0, answers.1, answers.2, answers.3] {
            assert_eq!(answer.text(), "fine");
        }
    }
}
