//! Proxies as a fleet: what they enforce, keep and report while flags change, PostgreSQL goes away and processes die.
//!
//! This file holds what its tests share; each file beside it breaks one thing on purpose.

mod acknowledgement;
mod break_glass;
mod cold_start;
mod flags;
mod freeze;
mod history;
mod outage;
mod reload;
mod serve_embedded;
mod split;
mod split_users;
mod stopping;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sqlx::PgPool;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::process::{Ficus, Setup, client, eventually, named_upstream, two_sides};

/// A database that is never there.
const NOWHERE: &str = "postgres://ficus@localhost/ficus?host=/nonexistent";

/// Tenants 2 (bluebird) on modern, 3 (corner) and 4 (dawn) on legacy.
async fn seed(pool: &PgPool) {
    run(
        pool,
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (2, 'bluebird'), (3, 'corner'), (4, 'dawn');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')",
    )
    .await;
}

async fn run(pool: &PgPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.expect("run");
}

async fn set(pool: &PgPool, tenant: i64, state: &str) {
    let sql = "insert into ficus.flag (tenant_id, capability, state) values ($1, 'dashboard', $2)
        on conflict on constraint flag_pkey do update set state = excluded.state";
    let set = sqlx::query(sql).bind(tenant).bind(state);
    set.execute(pool).await.expect("set");
}

/// Two upstreams that answer their own names, and the configuration in front of them.
async fn sides() -> String {
    two_sides(
        named_upstream("legacy").await,
        named_upstream("modern").await,
    )
}

async fn two_proxies(url: &str, config: &str) -> [Ficus; 2] {
    [
        Setup::new(url, config).name("a").start().await,
        Setup::new(url, config).name("b").start().await,
    ]
}

/// Who answers `/dashboard` for a tenant.
async fn served(ficus: &Ficus, tenant: &str) -> String {
    served_at(ficus, "/dashboard", tenant).await
}

async fn served_at(ficus: &Ficus, path: &str, tenant: &str) -> String {
    let request = client().get(ficus.url(path)).header("x-tenant-id", tenant);
    let answer = request.send().await.expect("an answer");
    let said = answer.headers()["x-ficus-served-by"]
        .to_str()
        .expect("text")
        .to_owned();
    assert_eq!(
        answer.text().await.expect("a body"),
        said,
        "the header tells the truth"
    );
    said
}

/// Waits until `side` answers for the tenant.
async fn until_served(ficus: &Ficus, tenant: &str, side: &str) {
    eventually(&format!("tenant {tenant} is {side}"), || async {
        (served(ficus, tenant).await == side).then_some(())
    })
    .await;
}

/// One sample of `/metrics`, named with its labels.
async fn metric(ficus: &Ficus, name: &str) -> f64 {
    let answer = client().get(ficus.admin_url("/metrics")).send().await;
    let text = answer.expect("an answer").text().await.expect("text");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {name} in\n{text}"))
        .parse()
        .expect("a number")
}

async fn until_metric(ficus: &Ficus, name: &str, is_right: impl Fn(f64) -> bool) {
    eventually(name, || async {
        is_right(metric(ficus, name).await).then_some(())
    })
    .await;
}

/// What a command of ours said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the real command line, as a person would at a terminal.
async fn run_ficus(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_ficus"))
        .args(arguments)
        .args(["--output", "table", "--yes"])
        .envs(variables.iter().copied())
        .env("USER", "nightshift")
        .env_remove("SUDO_USER")
        .output()
        .await
        .expect("ficus runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Clients that ask all the time, and what they saw.
struct Load {
    seen: Arc<Seen>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    right: AtomicU64,
    wrong: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    /// One client for each proxy and each tenant, who expects the side beside the tenant.
    fn start(fleet: &[Ficus], expected: &[(&'static str, &'static str)]) -> Self {
        let seen = Arc::new(Seen::default());
        let mut clients = JoinSet::new();
        for ficus in fleet {
            for (tenant, side) in expected.iter().copied() {
                let (seen, url) = (Arc::clone(&seen), ficus.url("/dashboard"));
                clients.spawn(async move {
                    let client = client();
                    while !seen.stop.load(Ordering::Relaxed) {
                        let request = client.get(&url).header("x-tenant-id", tenant);
                        let answer =
                            async { request.send().await?.error_for_status()?.text().await };
                        let count = match answer.await {
                            Ok(said) if said == side => &seen.right,
                            Ok(_) => &seen.wrong,
                            Err(_) => &seen.failed,
                        };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
        Self { seen, clients }
    }

    /// Waits until so many more requests were answered.
    async fn pass(&self, requests: u64) {
        let until = self.seen.right.load(Ordering::Relaxed) + requests;
        eventually("requests are answered", || async {
            (self.seen.right.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }

    /// Ends the load, of which nothing may have gone wrong.
    async fn end(self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        let [right, wrong, failed] = [&self.seen.right, &self.seen.wrong, &self.seen.failed]
            .map(|count| count.load(Ordering::Relaxed));
        assert!(right > 0, "there was load");
        assert_eq!((wrong, failed), (0, 0), "wrong and failed, of {right}");
    }
}
