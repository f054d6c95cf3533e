//! A freeze, from the command to the write that gets 503: who is stopped, who goes on, what is waited for, and its end.

use std::sync::Arc;
use std::time::Duration;

use ficus::embedded::StopMode;
use tokio::sync::Semaphore;

use super::*;
use crate::support::process::upstream;
use crate::support::{Cluster, Database};

/// Freezes by the command line, in the database itself.
async fn freeze(url: &str, arguments: &[&str]) -> Said {
    let all = [arguments, &["--direct", "--reason", "a test"]].concat();
    run_ficus(&all, &[("DATABASE_URL", url)]).await
}

/// The status of a request of a tenant; of a frozen one the answer is looked at as well.
async fn ask(
    ficus: &Ficus,
    method: &str,
    path: &str,
    tenant: &str,
    fields: &[(&str, &str)],
) -> u16 {
    let is_head = method == "HEAD";
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = client().request(method, ficus.url(path));
    request = request.header("x-tenant-id", tenant);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    if status == 503 {
        let seconds: u64 = answer.headers()["retry-after"]
            .to_str()
            .expect("text")
            .parse()
            .expect("seconds");
        assert!((1..=900).contains(&seconds), "{seconds}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        if !is_head {
            let problem: serde_json::Value = answer.json().await.expect("a document");
            assert_eq!(problem["code"], "frozen");
        }
    }
    status
}

async fn post(ficus: &Ficus, tenant: &str) -> u16 {
    ask(ficus, "POST", "/dashboard", tenant, &[]).await
}

#[tokio::test]
async fn a_frozen_tenant_gets_503_on_writes_and_reads_on() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let fleet = two_proxies(database.url(), &sides().await).await;

    let said = freeze(
        database.url(),
        &["freeze", "--tenant", "bluebird", "--for", "15m"],
    )
    .await;

    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("confirmed on 2/2 proxies"),
        "{}",
        said.out
    );
    assert!(said.out.contains("drained"), "{}", said.out);
    for ficus in &fleet {
        assert_eq!(post(ficus, "2").await, 503);
        // Where no route leads, too: legacy is written to all the same.
        assert_eq!(ask(ficus, "DELETE", "/elsewhere", "2", &[]).await, 503);
        let spelt = [("x-http-method-override", "PUT")];
        assert_eq!(ask(ficus, "GET", "/dashboard", "2", &spelt).await, 503);
        assert_eq!(
            ask(ficus, "GET", "/dashboard?_method=DELETE", "2", &[]).await,
            503
        );
        assert_eq!(ask(ficus, "GET", "/dashboard", "2", &[]).await, 200);
        assert_eq!(post(ficus, "3").await, 200);
        assert_eq!(metric(ficus, "ficus_freezes").await, 1.0);
    }

    let said = freeze(database.url(), &["unfreeze", "--tenant", "2"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for ficus in &fleet {
        assert_eq!(post(ficus, "2").await, 200);
    }
}

#[tokio::test]
async fn a_frozen_capability_stops_what_its_routes_declare() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let config = sides().await
        + r#"
        [[route]]
        path = "/send/{id}"
        capability = "dashboard"
        effect = "send"
        [[route]]
        path = "/search"
        capability = "dashboard"
        effect = "read"
        "#;
    let ficus = Setup::new(database.url(), &config).start().await;

    let said = freeze(
        database.url(),
        &["freeze", "--capability", "dashboard", "--for", "15m"],
    )
    .await;

    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(ask(&ficus, "GET", "/send/7", "3", &[]).await, 503);
    assert_eq!(
        ask(&ficus, "HEAD", "/send/7", "3", &[]).await,
        503,
        "as GET, without the body"
    );
    assert_eq!(ask(&ficus, "POST", "/search", "3", &[]).await, 200);
    assert_eq!(ask(&ficus, "POST", "/elsewhere", "3", &[]).await, 200);
    assert_eq!(
        ask(&ficus, "POST", "/dashboard", "nobody-we-know", &[]).await,
        503
    );

    let said = freeze(database.url(), &["freeze", "--all", "--for", "15m"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(ask(&ficus, "POST", "/elsewhere", "3", &[]).await, 503);
    assert_eq!(ask(&ficus, "GET", "/elsewhere", "3", &[]).await, 200);
}

#[tokio::test]
async fn a_freeze_without_an_end_or_a_reason_or_of_nobody_is_refused() {
    let database = Database::new().await;
    seed(database.pool()).await;
    for (arguments, code) in [
        (&["freeze", "--all"][..], 2),
        (&["freeze", "--for", "15m"], 2),
        (&["freeze", "--all", "--tenant", "2", "--for", "15m"], 2),
        (&["freeze", "--all", "--for", "0s"], 2),
        (&["freeze", "--all", "--for", "25h"], 2),
        (&["freeze", "--all", "--for", "infinity"], 2),
        (&["freeze", "--tenant", "nobody", "--for", "15m"], 1),
        (&["freeze", "--capability", "nothing", "--for", "15m"], 1),
    ] {
        let said = freeze(database.url(), arguments).await;
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
    }
    let left: i64 = sqlx::query_scalar("select count(*) from ficus.freeze")
        .fetch_one(database.pool())
        .await
        .expect("counted");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_freeze_waits_for_writes_under_way_and_lists_those_that_stay() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let (gate, come) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (held, arrived) = (Arc::clone(&gate), Arc::clone(&come));
    let slow = upstream(move |request| {
        let (held, arrived) = (Arc::clone(&held), Arc::clone(&arrived));
        async move {
            if request.method() == "POST" {
                arrived.add_permits(1);
                held.acquire().await.expect("open").forget();
            }
            "done"
        }
    })
    .await;
    let config = two_sides(slow, slow);
    let ficus = Setup::new(database.url(), &config).name("a").start().await;
    let url = ficus.url("/dashboard");
    let write = tokio::spawn(async move {
        let request = client().post(url).header("x-tenant-id", "2");
        request.send().await.expect("an answer").status().as_u16()
    });
    come.acquire().await.expect("it is under way").forget();

    // Of another tenant nothing is under way.
    let said = freeze(database.url(), &["freeze", "--tenant", "3", "--for", "15m"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let arguments = [
        "freeze",
        "--tenant",
        "2",
        "--for",
        "15m",
        "--timeout",
        "500ms",
    ];
    let said = freeze(database.url(), &arguments).await;
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.out.contains("1 write is under way"), "{}", said.out);
    assert!(said.out.contains("POST"), "{}", said.out);
    assert_eq!(
        post(&ficus, "2").await,
        503,
        "no new one is let in meanwhile"
    );

    gate.add_permits(1);
    let arguments = [
        "freeze",
        "--tenant",
        "2",
        "--for",
        "15m",
        "--timeout",
        "20s",
    ];
    let said = freeze(database.url(), &arguments).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("no write is under way"), "{}", said.out);
    assert_eq!(
        write.await.expect("it ends"),
        200,
        "what had begun was answered"
    );
}

#[tokio::test]
async fn a_freeze_holds_and_ends_by_itself_without_the_database_and_over_a_restart() {
    let mut cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    let config = sides().await;
    let mut ficus = Setup::new(cluster.url(), &config).start().await;
    let other = Setup::new(cluster.url(), &config)
        .name("other")
        .start()
        .await;
    let said = freeze(cluster.url(), &["freeze", "--tenant", "2", "--for", "20s"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let begun = std::time::Instant::now();
    cluster.stop(StopMode::Fast).await;
    until_metric(&other, "ficus_database_up", |up| up == 0.0).await;

    // Stopped in order, so that what it knew is on its disk.
    ficus.signal("TERM");
    ficus.wait().await;
    let again = Setup::new(cluster.url(), &config)
        .state(&ficus.state)
        .start()
        .await;

    if begun.elapsed() < Duration::from_secs(18) {
        assert_eq!(post(&again, "2").await, 503);
        assert_eq!(post(&other, "2").await, 503);
    }
    for ficus in [&again, &other] {
        eventually("the freeze ends", || async {
            (post(ficus, "2").await == 200).then_some(())
        })
        .await;
    }
    assert!(
        begun.elapsed() > Duration::from_secs(10),
        "not before its time"
    );
}

#[tokio::test]
async fn under_load_no_write_lands_between_the_freeze_and_its_end() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let landed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&landed);
    let legacy = upstream(move |request| {
        let count = Arc::clone(&count);
        async move {
            if request.method() == "POST" {
                count.fetch_add(1, Ordering::SeqCst);
            }
            "done"
        }
    })
    .await;
    let fleet = two_proxies(database.url(), &two_sides(legacy, legacy)).await;
    let (stop, refused, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut clients = JoinSet::new();
    for ficus in fleet.iter().chain(&fleet) {
        let url = ficus.url("/dashboard");
        let (stop, refused, answered) = (stop.clone(), refused.clone(), answered.clone());
        clients.spawn(async move {
            let client = client();
            while !stop.load(Ordering::Relaxed) {
                let request = client.post(&url).header("x-tenant-id", "2");
                match request.send().await.expect("an answer").status().as_u16() {
                    200 => answered.fetch_add(1, Ordering::SeqCst),
                    503 => refused.fetch_add(1, Ordering::SeqCst),
                    other => panic!("{other}"),
                };
            }
        });
    }
    let reached = |counter: Arc<AtomicU64>, goal: u64| async move {
        eventually("requests are answered", || async {
            (counter.load(Ordering::SeqCst) >= goal).then_some(())
        })
        .await;
    };
    reached(answered.clone(), 50).await;

    let arguments = [
        "freeze",
        "--tenant",
        "2",
        "--for",
        "15m",
        "--timeout",
        "20s",
    ];
    let said = freeze(database.url(), &arguments).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let at_the_freeze = landed.load(Ordering::SeqCst);
    reached(refused.clone(), refused.load(Ordering::SeqCst) + 100).await;
    assert_eq!(landed.load(Ordering::SeqCst), at_the_freeze);

    let said = freeze(database.url(), &["unfreeze", "--tenant", "2"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let goal = answered.load(Ordering::SeqCst) + 20;
    reached(answered.clone(), goal).await;
    stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    let sum = answered.load(Ordering::SeqCst);
    assert_eq!(
        landed.load(Ordering::SeqCst),
        sum,
        "what landed was answered"
    );
}
