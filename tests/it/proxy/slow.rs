//! Clients that take their time: how long they are waited for, and who is let go.
//!
//! Its own file, because each of them holds a connection that somebody else could use.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::wire::{End, FINE, Head, Wire, ask, get, in_time, origin, recorder};
use super::{in_front_of, transparent};
use crate::support::process::{Ficus, eventually};

/// Sends `bytes` ten times a second until there is an answer; it, and after how long.
async fn trickle(client: &mut Wire, bytes: &str) -> (Head, Duration) {
    let begun = Instant::now();
    loop {
        match timeout(Duration::from_millis(100), client.head()).await {
            Ok(answer) => return (answer.expect("an answer"), begun.elapsed()),
            Err(_) => client.send(bytes).await,
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it is never let go"
        );
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_its_time_and_no_more() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = in_front_of(legacy, "[proxy.timeouts]\nhead = \"600ms\"\n").await;
    let mut kept = Wire::connect(ficus.proxy).await;
    assert_eq!(kept.ask(get("/", "")).await.text(), "fine");
    for mut client in [Wire::connect(ficus.proxy).await, kept] {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n").await;
        // A field now and then: each read would begin a new time, the head as a whole has one.
        let (answer, after) = trickle(&mut client, "x: y\r\n").await;
        assert_eq!(answer.status(), 408);
        assert!(after >= Duration::from_millis(500));
        assert!(ficus.log().contains("slow-head"));
    }
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_let_go_without_a_word() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = in_front_of(legacy, "[proxy.timeouts]\nhead = \"300ms\"\n").await;
    let mut client = Wire::connect(ficus.proxy).await;
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_its_own_time() {
    let (legacy, _asked) = recorder(FINE).await;
    let times = "[proxy.timeouts]\nhead = \"100ms\"\nkeepalive = \"1s\"\n";
    let ficus = in_front_of(legacy, times).await;
    let mut client = Wire::connect(ficus.proxy).await;
    assert_eq!(client.ask(get("/", "")).await.text(), "fine");
    sleep(Duration::from_millis(400)).await;
    assert_eq!(client.ask(get("/", "")).await.text(), "fine");
    let begun = Instant::now();
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    assert!(begun.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn a_body_that_trickles_is_shed_and_one_that_flows_slowly_is_not() {
    let (legacy, mut asked) = recorder(FINE).await;
    let more = "[proxy.timeouts]\nbody_read = \"1s\"\n[proxy.limits]\nmin_rate = \"100\"\n";
    let ficus = in_front_of(legacy, more).await;
    let head =
        |length: usize| format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let mut slow = Wire::connect(ficus.proxy).await;
    slow.send(head(1000)).await;
    let (answer, after) = trickle(&mut slow, "x").await;
    assert_eq!(answer.status(), 408);
    assert!(after >= Duration::from_millis(900));
    assert!(ficus.log().contains("slow-body"));
    // Ten times the rate, for longer than two periods.
    let mut steady = Wire::connect(ficus.proxy).await;
    steady.send(head(3000)).await;
    for _ in 0..30 {
        steady.send([b'x'; 100]).await;
        sleep(Duration::from_millis(90)).await;
    }
    assert_eq!(steady.answer().await.text(), "fine");
    while asked.next().await.body.len() != 3000 {}
}

#[tokio::test]
async fn who_takes_an_answer_a_byte_at_a_time_is_shed() {
    let legacy = origin(|mut wire| async move {
        let _ = wire.request().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
            .await;
        while wire.try_send([b'x'; 65536]).await.is_ok() {}
    })
    .await;
    let more = "[proxy.timeouts]\nwrite = \"1s\"\n[proxy.limits]\nmin_rate = \"1KiB\"\n";
    let ficus = in_front_of(legacy, more).await;
    let mut client = Wire::connect_narrow(ficus.proxy).await;
    client.send(get("/", "")).await;
    client.head().await.expect("a head");
    let begun = Instant::now();
    while !ficus.log().contains("slow-reader") {
        client.exactly(1).await.expect("a byte");
        sleep(Duration::from_millis(50)).await;
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it is never let go"
        );
    }
}

#[tokio::test]
async fn a_crowd_that_takes_nothing_is_shed_before_its_answers_fill_the_memory() {
    let legacy = origin(|mut wire| async move {
        while let Ok(request) = wire.request().await {
            if request.head.first.starts_with("GET /small") {
                wire.send(FINE).await;
                continue;
            }
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 16777216\r\n\r\n";
            if wire.try_send(head).await.is_err()
                || wire.try_send(vec![b'x'; 16 << 20]).await.is_err()
            {
                return;
            }
        }
    })
    .await;
    // Room for some thirty of them, who would have an hour each.
    let more = "[proxy.timeouts]\nwrite = \"1h\"\n[proxy.limits]\nuntaken_bytes = \"24MiB\"\n";
    let ficus = in_front_of(legacy, more).await;
    let mut steady = Wire::connect_narrow(ficus.proxy).await;
    steady.send(get("/", "")).await;
    steady.head().await.expect("a head");
    let mut crowd = Vec::new();
    for _ in 0..100 {
        let mut client = Wire::connect_narrow(ficus.proxy).await;
        client.send(get("/", "")).await;
        crowd.push(client);
    }
    let begun = Instant::now();
    while !ficus.log().contains("slow-reader") || slow_readers(&ficus).await > 36 {
        // Whoever takes something all the time is not among them, however little it is.
        steady.exactly(16 * 1024).await.expect("more of the answer");
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "they are never let go"
        );
    }
    assert_eq!(ask(ficus.proxy, get("/small", "")).await.text(), "fine");
    steady.exactly(64 * 1024).await.expect("more of the answer");
}

/// Clients whose answers wait for them.
async fn slow_readers(ficus: &Ficus) -> u32 {
    let metrics = ficus.metrics().await;
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("ficus_slow_readers "));
    value.expect("the gauge").parse().expect("a number")
}

#[tokio::test]
async fn there_are_no_more_connections_than_there_may_be() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = in_front_of(legacy, "[proxy.limits]\nconnections_per_ip = 3\n").await;
    // The one that found it listening may not be counted out yet.
    let mut crowd = Vec::new();
    eventually("there is room for three", || async {
        ficus
            .metrics()
            .await
            .contains("ficus_connections 0\n")
            .then_some(())
    })
    .await;
    for _ in 0..3 {
        let mut client = Wire::connect(ficus.proxy).await;
        assert_eq!(client.ask(get("/", "")).await.text(), "fine");
        crowd.push(client);
    }
    let mut late = Wire::connect(ficus.proxy).await;
    let answer = late.answer().await;
    assert_eq!(answer.head.status(), 503);
    assert_eq!(late.rest().await.0, b"");
    let metrics = ficus.metrics().await;
    assert!(metrics.contains("ficus_door_refused_total{reason=\"connections-per-ip\"} 1"));
    crowd.pop();
    eventually("there is room again", || async {
        let mut client = Wire::connect(ficus.proxy).await;
        let sent = client.try_send(get("/", "")).await;
        let head = client.head().await;
        (sent.is_ok() && head.is_ok_and(|head| head.status() == 200)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_trusted_load_balancer_stands_for_many() {
    let (legacy, _asked) = recorder(FINE).await;
    let more = "[proxy]\ntrusted_proxies = [\"127.0.0.1\"]\n[proxy.limits]\nconnections_per_ip = 1\nconnections = 5\n";
    let ficus = in_front_of(legacy, more).await;
    eventually("there is room for all", || async {
        ficus
            .metrics()
            .await
            .contains("ficus_connections 0\n")
            .then_some(())
    })
    .await;
    let mut crowd = Vec::new();
    for _ in 0..5 {
        let mut client = Wire::connect(ficus.proxy).await;
        assert_eq!(client.ask(get("/", "")).await.text(), "fine");
        crowd.push(client);
    }
    assert_eq!(
        Wire::connect(ficus.proxy)
            .await
            .answer()
            .await
            .head
            .status(),
        503
    );
}

#[tokio::test]
async fn a_crowd_of_slow_heads_takes_nobodys_place() {
    let (legacy, _asked) = recorder(FINE).await;
    let ficus = transparent(legacy).await;
    let mut crowd = Vec::new();
    for _ in 0..500 {
        let mut client = Wire::connect(ficus.proxy).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\nx: ").await;
        crowd.push(client);
    }
    for _ in 0..20 {
        assert_eq!(in_time(ask(ficus.proxy, get("/", ""))).await.text(), "fine");
    }
}
