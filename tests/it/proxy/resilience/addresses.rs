//! An upstream of several addresses, some of which are dead, unwell, or now this and now that.
//!
//! Its own file, because here the cure is another address, and no client notices anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::wire::{Wire, get, origin};
use super::super::{dead_port, in_front_of};
use super::{answer, asked, counting, post, until_metric};
use crate::support::process::{Ficus, eventually};

/// Legacy at two addresses; `more` stands in its section.
pub async fn with_two(one: SocketAddr, other: SocketAddr, more: &str) -> Ficus {
    let config = format!(
        "[upstream.both]\nurls = [\"http://{one}\", \"http://{other}\"]\n{more}\n\
         [[route]]\npath = \"/{{*rest}}\"\nupstream = \"both\"\n"
    );
    in_front_of(dead_port(), &config).await
}

#[tokio::test]
async fn a_dead_address_costs_no_request_and_is_left_out() {
    let (alive, count) = counting("fine").await;
    let dead = dead_port();
    let ficus = with_two(dead, alive, "outlier = { failures = 3, eject = \"1h\" }").await;
    for _ in 0..20 {
        assert_eq!(asked(&ficus, &get("/a", "")).await.text(), "fine");
        // Nothing was sent to the dead one, so this may be tried again too.
        assert_eq!(asked(&ficus, &post("/a", "", "hi")).await.text(), "fine");
    }
    assert_eq!(count.load(Ordering::SeqCst), 40);
    let metrics = ficus.metrics().await;
    let failures = r#"ficus_upstream_failures_total{upstream="both",kind="connect"} 3"#;
    for line in [
        failures,
        r#"ficus_upstream_ejections_total{upstream="both"} 1"#,
        &format!(r#"ficus_upstream_healthy{{upstream="both",address="{dead}"}} 0"#),
        &format!(r#"ficus_upstream_healthy{{upstream="both",address="{alive}"}} 1"#),
    ] {
        assert!(
            metrics.lines().any(|l| l == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[tokio::test]
async fn whoever_asks_for_the_status_sees_which_addresses_are_out_and_why() {
    let (alive, _) = counting("fine").await;
    let dead = dead_port();
    let more = "outlier = { failures = 3, eject = \"1h\" }\nbreaker = { failures = 90 }";
    let ficus = with_two(dead, alive, more).await;
    for _ in 0..20 {
        asked(&ficus, &get("/a", "")).await;
    }
    let status = |output: &'static str| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_ficus"))
            .args(["status", "--output", output, "--local"])
            .arg(ficus.socket())
            .output();
        String::from_utf8(ran.expect("ficus runs").stdout).expect("text")
    };
    let table = status("table");
    let line = |address: SocketAddr| {
        let address = address.to_string();
        let line = table.lines().find(|line| line.contains(&address));
        line.unwrap_or_else(|| panic!("{address} is not in\n{table}"))
    };
    assert!(line(dead).contains("ejected, "), "{table}");
    assert!(line(alive).contains("ready"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&status("json")).expect("JSON");
    let both = json["upstreams"].as_array().expect("a list");
    let both = both.iter().find(|u| u["name"] == "both").expect("it");
    assert_eq!(both["breaker"], "closed");
    let states = both["addresses"].as_array().expect("a list").iter();
    let mut states: Vec<_> = states.map(|it| it["state"].as_str()).collect();
    states.sort();
    assert_eq!(states, [Some("ejected"), Some("ready")]);
}

#[tokio::test]
async fn an_address_that_was_left_out_comes_back_by_itself() {
    let (one, other) = (counting("one").await, counting("other").await);
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let flaky = origin(move |mut wire| {
        let broken = Arc::clone(&is_broken);
        async move {
            while wire.request().await.is_ok() {
                let status = if broken.load(Ordering::SeqCst) {
                    503
                } else {
                    200
                };
                wire.send(answer(status, "flaky")).await;
            }
        }
    })
    .await;
    drop(other);
    let more = "outlier = { failures = 2, eject = \"200ms\" }";
    let ficus = with_two(one.0, flaky, more).await;
    let line =
        |state| format!(r#"ficus_upstream_healthy{{upstream="both",address="{flaky}"}} {state}"#);
    eventually("it is left out", || async {
        asked(&ficus, &get("/a", "")).await;
        ficus.metrics().await.contains(&line(0)).then_some(())
    })
    .await;
    broken.store(false, Ordering::SeqCst);
    until_metric(&ficus, &line(1)).await;
    eventually("it is asked again", || async {
        let answer = asked(&ficus, &get("/a", "")).await;
        (answer.text() == "flaky" && answer.head.status() == 200).then_some(())
    })
    .await;
}

/// An origin whose checks answer what `is_well` says; the rest is counted and answered.
async fn checked(
    is_well: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let address = origin(move |mut wire: Wire| {
        let (count, is_well) = (Arc::clone(&counted), is_well.clone());
        async move {
            while let Ok(request) = wire.request().await {
                let is_check = request.head.first.starts_with("GET /health ");
                if !is_check {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                let status = if is_check && !is_well() { 500 } else { 200 };
                if wire.try_send(answer(status, "fine")).await.is_err() {
                    return;
                }
            }
        }
    });
    (address.await, count)
}

const CHECKS: &str = "health = { path = \"/health\", interval = \"100ms\", unhealthy_after = 2 }";

#[tokio::test]
async fn an_address_whose_checks_fail_gets_no_request_until_they_succeed() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let (ill, asked_ill) = checked(move || is_well.load(Ordering::SeqCst)).await;
    let (good, asked_good) = checked(|| true).await;
    let ficus = with_two(ill, good, CHECKS).await;
    let line =
        |state| format!(r#"ficus_upstream_healthy{{upstream="both",address="{ill}"}} {state}"#);
    until_metric(&ficus, &line(0)).await;
    let before = asked_ill.load(Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(asked(&ficus, &get("/a", "")).await.text(), "fine");
    }
    assert_eq!(asked_ill.load(Ordering::SeqCst), before);
    assert!(asked_good.load(Ordering::SeqCst) >= 20);
    well.store(true, Ordering::SeqCst);
    until_metric(&ficus, &line(1)).await;
    eventually("it is asked again", || async {
        asked(&ficus, &get("/a", "")).await;
        (asked_ill.load(Ordering::SeqCst) > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_all_checks_fail_all_addresses_are_asked() {
    let ((one, asked_one), (other, asked_other)) =
        (checked(|| false).await, checked(|| false).await);
    let ficus = with_two(one, other, CHECKS).await;
    for address in [one, other] {
        let line = format!(r#"ficus_upstream_healthy{{upstream="both",address="{address}"}} 0"#);
        until_metric(&ficus, &line).await;
    }
    eventually("both are asked", || async {
        assert_eq!(asked(&ficus, &get("/a", "")).await.text(), "fine");
        let both = [&asked_one, &asked_other];
        both.iter()
            .all(|count| count.load(Ordering::SeqCst) > 0)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_that_flaps_faster_than_the_checks_agree_stays() {
    let checks = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&checks);
    // Well, unwell, well, unwell: never twice the same.
    let (flapping, _) =
        checked(move || count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2)).await;
    let (good, _) = checked(|| true).await;
    let ficus = with_two(flapping, good, CHECKS).await;
    eventually("ten checks", || async {
        (checks.load(Ordering::SeqCst) >= 10).then_some(())
    })
    .await;
    let log = ficus.log();
    assert!(!log.contains("unhealthy"), "{log}");
}
