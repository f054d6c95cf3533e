//! A whole migration on real parts: waves move tenants of a real Laravel under load, and what breaks comes back by itself.
//!
//! Its own file, because it plays what the migration plans describe, from the first wave to the last rollback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Site;
use super::front::{Front, Mood};
use super::visitor::{JSON, Visitor};
use crate::support::Database;

/// The people of tenants 1 to 10.
const DOMAINS: [&str; 10] = [
    "internal", "bluebird", "corner", "marina", "alpine", "metro", "fern", "zoe", "harbour",
    "summit",
];
/// Several buckets of the guard, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two requests of a person.
const PACE: Duration = Duration::from_millis(100);

/// The guard with windows that a test can wait for, and a latency that a busy machine does not reach.
const QUICK: &str = r#"
    [guard]
    cool_down = "10s"
    [defaults.capability.guard]
    window = "10s"
    min_requests = 20
    p95 = "2s"
"#;

/// Who answered each tenant last, and how; how often modern did; and every answer that was no 200, with its side.
#[derive(Default)]
struct Seen {
    last: BTreeMap<usize, (String, u16)>,
    modern: BTreeMap<i64, usize>,
    failed: Vec<(usize, String, u16)>,
}

/// People of all tenants who look at their dashboards without end.
struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    people: JoinSet<()>,
}

impl Load {
    async fn start(site: &Site) -> Self {
        let (seen, stop) = (
            Arc::new(Mutex::new(Seen::default())),
            CancellationToken::new(),
        );
        let mut people = JoinSet::new();
        for (place, domain) in DOMAINS.iter().enumerate() {
            let proxy = [site.first.proxy, site.second.proxy][place % 2];
            let mut visitor = Visitor::log_in(proxy, &format!("owner@{domain}.test")).await;
            let (seen, stop) = (Arc::clone(&seen), stop.clone());
            people.spawn(async move {
                while !stop.is_cancelled() {
                    let answer = visitor.get("/dashboard/stats", JSON).await;
                    let side = answer.served_by().to_owned();
                    {
                        let mut seen = seen.lock().expect("nobody panics with it");
                        if answer.status != 200 {
                            seen.failed.push((place + 1, side.clone(), answer.status));
                        }
                        if side == "modern" {
                            *seen.modern.entry(place as i64 + 1).or_default() += 1;
                        }
                        seen.last.insert(place + 1, (side, answer.status));
                    }
                    sleep(PACE).await;
                }
            });
        }
        Self { seen, stop, people }
    }

    /// Until every tenant's last answer is a 200 from the side that `side` says.
    async fn until(&self, what: &str, side: impl Fn(usize) -> &'static str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wrong: Vec<_> = {
                let seen = self.seen.lock().expect("nobody panics with it");
                (1..=DOMAINS.len())
                    .map(|tenant| (tenant, seen.last.get(&tenant).cloned()))
                    .filter(|(tenant, last)| *last != Some((side(*tenant).to_owned(), 200)))
                    .collect()
            };
            if wrong.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {wrong:?}");
            sleep(PACE).await;
        }
    }

    /// Until each of these has had so many answers of the modern side.
    async fn until_known(&self, tenants: &[i64], answers: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self
                .seen
                .lock()
                .expect("nobody panics with it")
                .modern
                .clone();
            if tenants.iter().all(|it| seen.get(it) >= Some(&answers)) {
                return;
            }
            assert!(Instant::now() < deadline, "not so many answers in time");
            sleep(PACE).await;
        }
    }

    /// What failed so far, and forgets it.
    fn failures(&self) -> Vec<(usize, String, u16)> {
        std::mem::take(&mut self.seen.lock().expect("nobody panics with it").failed)
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.people.join_next().await {
            ended.expect("a person");
        }
    }
}

async fn modern(pool: &PgPool, capability: &str) -> Vec<i64> {
    let sql = "select tenant_id from ficus.flag where capability = $1 and state = 'modern' order by tenant_id";
    let tenants = sqlx::query_scalar(sql)
        .bind(capability)
        .fetch_all(pool)
        .await;
    tenants.expect("the flags")
}

async fn wave(site: &Site, verb: &str, name: &str) -> Value {
    let how = ["--reason", "as planned", "--timeout", "20s"];
    let arguments = [&["wave", verb, name], &how[..]].concat();
    let done = site.ficus(&arguments).await;
    assert_eq!(done["confirmed"], true, "{done}");
    done
}

/// A person has looked, and the next step begins.
async fn go_on(site: &Site, name: &str) -> Value {
    site.ficus(&["wave", "go", name, "--reason", "looked at", "--no-wait"])
        .await;
    wave(site, "advance", name).await
}

async fn know_all(site: &Site) {
    let all: Vec<String> = (1..=DOMAINS.len()).map(|n| n.to_string()).collect();
    site.know(&all.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    site.ficus(&[
        "tenant", "set", "1", "--class", "internal", "--reason", "ours",
    ])
    .await;
}

/// Of the guard's newest change: its reason and its evidence.
async fn told(pool: &PgPool) -> (String, Value) {
    sqlx::query_as("select reason, evidence from ficus.change where source = 'guard' order by revision desc limit 1")
        .fetch_one(pool)
        .await
        .expect("the guard's change")
}

/// Internal accounts, then tenants by volume, one class after the other, each watched before the next.
#[tokio::test]
async fn four_waves_by_volume_move_the_sends_of_every_tenant() {
    let database = Database::new().await;
    let site = Site::start(database.url()).await;
    let all: Vec<String> = (2..=DOMAINS.len()).map(|n| n.to_string()).collect();
    for tenant in &all {
        site.ficus(&[
            "tenant", "set", tenant, "--name", "known", "--reason", "test",
        ])
        .await;
    }
    site.ficus(&[
        "tenant", "set", "1", "--class", "internal", "--reason", "ours",
    ])
    .await;
    site.ask_api(&["tenant", "sync", "--reason", "before the waves"])
        .await;
    let load = Load::start(&site).await;
    let plan = [
        "wave",
        "plan",
        "messaging",
        "--steps",
        "100",
        "--bake",
        "0s",
        "--gate",
        "go",
        "--reason",
        "weeks 9 to 12",
    ];
    let planned = site.ficus(&plan).await;
    let names: Vec<&str> = planned["waves"]
        .as_array()
        .expect("waves")
        .iter()
        .filter_map(|w| w["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "messaging-internal",
            "messaging-low",
            "messaging-medium",
            "messaging-high"
        ]
    );

    let mut moved = Vec::new();
    for name in names {
        let class = name.trim_start_matches("messaging-");
        let of_class: Vec<i64> = sqlx::query_scalar("select id from ficus.tenant where class = $1")
            .bind(class)
            .fetch_all(database.pool())
            .await
            .expect("the tenants");
        assert!(!of_class.is_empty(), "nobody is {class}");
        wave(&site, "start", name).await;
        moved.extend(of_class);
        moved.sort_unstable();
        assert_eq!(
            modern(database.pool(), "messaging").await,
            moved,
            "after {name}"
        );
        let ended = go_on(&site, name).await;
        assert_eq!(ended["wave"]["state"], "complete", "{ended}");
    }
    assert_eq!(moved.len(), DOMAINS.len());

    // A send of each is modern's now, on either proxy.
    for (place, domain) in DOMAINS.iter().enumerate() {
        let tenant = place + 1;
        let proxy = [site.second.proxy, site.first.proxy][place % 2];
        let mut owner = Visitor::log_in(proxy, &format!("owner@{domain}.test")).await;
        let send = format!("/campaign/send-email/campaign-{tenant}1/template-{tenant}1");
        let answer = owner.get(&send, JSON).await;
        assert_eq!(
            (answer.status, answer.served_by()),
            (202, "modern"),
            "{domain}: {}",
            answer.body
        );
    }
    load.until("the dashboards stay", |_| "legacy").await;
    assert_eq!(load.failures(), [], "the waves cost nobody anything");
    load.end().await;
}

/// Internal accounts first, then 5, 20, 50 and 100 percent; on the way the modern side fails one tenant, then slows down,
/// then dies.
#[tokio::test]
async fn shares_of_the_tenants_move_and_come_back_when_the_modern_side_breaks() {
    let database = Database::new().await;
    let mut front = Front::start();
    let site = Site::with(database.url(), Some(front.address), QUICK).await;
    front.leads_to(site.dashboard);
    know_all(&site).await;
    let load = Load::start(&site).await;
    load.until("all begin on legacy", |_| "legacy").await;
    let plan = [
        "wave",
        "plan",
        "dashboard",
        "--steps",
        "5,20,50,100",
        "--bake",
        "0s",
        "--gate",
        "go",
        "--reason",
        "dark launch",
    ];
    site.ficus(&plan).await;
    wave(&site, "start", "dashboard-internal").await;
    load.until(
        "internal",
        |tenant| if tenant == 1 { "modern" } else { "legacy" },
    )
    .await;
    go_on(&site, "dashboard-internal").await;

    // Of nine: 5 % is one, 20 % two, 50 % five.
    wave(&site, "start", "dashboard-low").await;
    let mut before = Vec::new();
    for expected in [1, 2, 5] {
        let moved = modern(database.pool(), "dashboard").await;
        assert_eq!(moved.len(), 1 + expected, "{moved:?}");
        assert!(
            before.iter().all(|it| moved.contains(it)),
            "nobody leaves: {before:?}, {moved:?}"
        );
        before.clone_from(&moved);
        load.until("a step", |tenant| {
            if moved.contains(&(tenant as i64)) {
                "modern"
            } else {
                "legacy"
            }
        })
        .await;
        if expected < 5 {
            go_on(&site, "dashboard-low").await;
        }
    }
    assert_eq!(load.failures(), [], "the waves cost nobody anything");

    // One tenant fails: it alone goes back.
    let moved = modern(database.pool(), "dashboard").await;
    let unlucky = moved[1];
    // As many as make a tenant's own errors a proof: of one that is hardly known the whole side is to blame.
    load.until_known(&moved, 60).await;
    front.be(Mood::FailsFor(Box::leak(
        unlucky.to_string().into_boxed_str(),
    )));
    let stays = |tenant: usize| match tenant as i64 != unlucky && moved.contains(&(tenant as i64)) {
        true => "modern",
        false => "legacy",
    };
    load.until("one tenant's errors", stays).await;
    let (reason, evidence) = told(database.pool()).await;
    assert!(reason.contains(&format!("tenant {unlucky}")), "{reason}");
    assert_eq!(evidence["failing"][0]["tenant"], unlucky, "{evidence}");
    let failed = load.failures();
    assert!(
        failed
            .iter()
            .all(|(tenant, side, _)| (*tenant as i64, side.as_str()) == (unlucky, "modern")),
        "{failed:?}"
    );

    // The modern side is slow for everybody: everybody goes back.
    front.be(Mood::Slow);
    load.until("slowness", |_| "legacy").await;
    let (reason, _) = told(database.pool()).await;
    assert!(reason.contains("p95"), "{reason}");
    let shown = site.ficus(&["wave", "show", "dashboard-low"]).await;
    assert_ne!(shown["state"], "running", "{shown}");
    front.be(Mood::Well);

    // People bring two tenants forth again, and the modern side dies.
    let forced: i64 = sqlx::query_scalar("select count(*) from ficus.override")
        .fetch_one(database.pool())
        .await
        .expect("overrides");
    if forced > 0 {
        site.ficus(&[
            "override",
            "clear",
            "--capability",
            "dashboard",
            "--reason",
            "mended",
        ])
        .await;
    }
    site.flip("1", "dashboard", "modern").await;
    site.flip("2", "dashboard", "modern").await;
    // Whoever was under the override is on modern by its own flag again; a wave that was taken back is not.
    let again = modern(database.pool(), "dashboard").await;
    load.until("again", |tenant| {
        if again.contains(&(tenant as i64)) {
            "modern"
        } else {
            "legacy"
        }
    })
    .await;
    load.failures();
    front.die();
    load.until("death", |_| "legacy").await;
    let audit = site.ficus(&["audit", "verify"]).await;
    assert_eq!(audit["intact"], true, "{audit}");
    load.end().await;
}
