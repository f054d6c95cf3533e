//! What a route asks of its requests beside where they go, and routes that lead to one upstream.
//!
//! Its own file, because an API gateway is made of these alone, without a tenant or a flag.

use super::wire::{FINE, Wire, ask, get, recorder};
use super::{in_front_of, listening};
use crate::support::Database;
use crate::support::process::{Setup, eventually};

#[tokio::test]
async fn a_route_leads_to_an_upstream_by_its_name() {
    let (legacy, _) = recorder(FINE).await;
    let (payments, mut asked) = recorder("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npaid").await;
    let ficus = in_front_of(
        legacy,
        &format!(
            "[upstream.payments]\nurl = \"http://{payments}\"\n\
             [[route]]\npath = \"/pay/{{*rest}}\"\nupstream = \"payments\"\n\
             [[route]]\npath = \"/old\"\nupstream = \"legacy\"\n"
        ),
    )
    .await;
    let paid = ask(ficus.proxy, get("/pay/1", "")).await;
    assert_eq!(paid.text(), "paid");
    assert_eq!(paid.head.get("x-ficus-served-by"), Some("modern"));
    let got = asked.next().await.head;
    assert_eq!(got.first, "GET /pay/1 HTTP/1.1");
    assert_eq!(got.get("x-ficus-capability"), Some("none"));
    let old = ask(ficus.proxy, get("/old", "")).await;
    assert_eq!(
        (old.text(), old.head.get("x-ficus-served-by")),
        ("fine", Some("legacy"))
    );

    let lines = eventually("two lines", || async {
        let lines = ficus.access_log();
        (lines.len() == 2).then_some(lines)
    })
    .await;
    let pay = lines.iter().find(|line| line["path"] == "/pay/1");
    let pay = pay.expect("a line");
    for (name, value) in [
        ("capability", "none"),
        ("side", "modern"),
        ("reason", "route"),
        ("upstream", "payments"),
    ] {
        assert_eq!(pay[name], value, "{name}");
    }
    let metrics = ficus.metrics().await;
    let counted = r#"ficus_requests_total{capability="none",side="modern",status="200"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_dead_upstream_of_a_route_is_counted_by_its_own_name() {
    let (legacy, _) = recorder(FINE).await;
    let dead = super::dead_port();
    let ficus = in_front_of(
        legacy,
        &format!(
            "[upstream.payments]\nurl = \"http://{dead}\"\n\
             [[route]]\npath = \"/pay\"\nupstream = \"payments\"\n"
        ),
    )
    .await;
    assert_eq!(ask(ficus.proxy, get("/pay", "")).await.head.status(), 502);
    let metrics = ficus.metrics().await;
    let failure = r#"ficus_upstream_failures_total{upstream="payments",kind="connect"}"#;
    assert!(metrics.contains(failure), "{metrics}");
    assert!(!metrics.contains(&format!("{failure} 0")), "{metrics}");
}

#[tokio::test]
async fn a_route_has_a_body_limit_of_its_own_smaller_or_larger() {
    let (legacy, asked) = recorder(FINE).await;
    let ficus = in_front_of(
        legacy,
        "[proxy.limits]\nbody_bytes = \"1KiB\"\n\
         [[route]]\npath = \"/small\"\nside = \"legacy\"\nbody_bytes = 16\n\
         [[route]]\npath = \"/large\"\nside = \"legacy\"\nbody_bytes = \"4KiB\"\n\
         [[route]]\npath = \"/any\"\nside = \"legacy\"\nbody_bytes = 0\n",
    )
    .await;
    for (path, length, status) in [
        ("/small", 16, 200),
        ("/small", 17, 413),
        ("/else", 1024, 200),
        ("/else", 1025, 413),
        ("/large", 4096, 200),
        ("/large", 4097, 413),
        ("/any", 100_000, 200),
    ] {
        let body = "a".repeat(length);
        for framed in [
            format!("content-length: {length}\r\n\r\n{body}"),
            format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
        ] {
            let mut client = Wire::connect(ficus.proxy).await;
            let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{framed}");
            let answer = client.ask(request).await;
            assert_eq!(answer.head.status(), status, "{path} {length}");
        }
    }
    assert!(asked.waiting() >= 8, "both framings of four came through");
}

#[tokio::test]
async fn explain_tells_what_a_route_asks() {
    let database = Database::new().await;
    let (legacy, _) = recorder(FINE).await;
    let config = format!(
        "[upstream.legacy]\nurl = \"http://{legacy}\"\n[upstream.payments]\nurl = \"http://{legacy}\"\n\
         [[route]]\npath = \"/pay/{{*rest}}\"\nupstream = \"payments\"\nbody_bytes = \"1KiB\"\n\
         rate_limit = {{ limit = \"1000/hour\", tiers = {{ pro = \"5000/hour\" }} }}\n\
         cors = {{ origins = [\"https://*.example.com\"], credentials = true }}\n"
    );
    let ficus = listening(Setup::new(database.url(), &config)).await;
    let said = tokio::process::Command::new(env!("CARGO_BIN_EXE_ficus"))
        .args(["explain", "GET", "/pay/1", "--output", "json", "--local"])
        .arg(ficus.socket())
        .output()
        .await
        .expect("it runs");
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(
        (&said["side"], &said["upstream"], &said["reason"]),
        (&"modern".into(), &"payments".into(), &"route".into())
    );
    let steps: Vec<&str> = said["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| step["outcome"].as_str().expect("an outcome"))
        .collect();
    assert_eq!(
        steps,
        [
            "GET /pay/1 always goes to upstream payments",
            "the body may have 1024 bytes",
            "pages of https://*.example.com may read the answer, with credentials",
            "at most 1000/hour by tenant; tier pro: 5000/hour",
            "no resolver names a tenant",
        ]
    );
}
