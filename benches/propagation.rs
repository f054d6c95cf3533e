//! How long a flip takes from its commit until every proxy enforces it, with and without notifications, and how
//! long `ficus rollback --all` takes. Two real proxies under light load: `cargo bench --bench propagation`.
//!
//! Its own file, because it needs processes and not a function in a loop. FLIPS (1000), POLLED_FLIPS (100) and
//! ROLLBACKS (20) make a trial run small.
//!
//! Two clocks: the database's (`ficus.change.at` to the later `ficus.instance.applied_at`), and ours (from the
//! answer to the commit until a request to each proxy has been answered by the new side).

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use support::process::{Ficus, Setup, client, named_upstream, two_sides};
use support::{Server, number, report};
use tokio::process::Command;
use tokio::time::{interval, sleep};

/// Of the light load, on each proxy.
const REQUESTS_PER_SECOND: u64 = 50;
/// The tenant that is flipped, and one that is asked for meanwhile.
const FLIPPED: i64 = 2;
const OTHER: i64 = 3;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let server = Server::start().await;
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id) values (2), (3);
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'legacy'), (3, 'dashboard', 'modern')",
    )
    .execute(&server.pool)
    .await
    .expect("seeded");
    let config = two_sides(
        named_upstream("legacy").await,
        named_upstream("modern").await,
    );

    let fleet = fleet(&server.url, &config, "true").await;
    let load = Load::start(&fleet);
    flips(
        &server.pool,
        &fleet,
        number("FLIPS", 1000),
        "with notifications",
    )
    .await;
    rollbacks(&server, &fleet, number("ROLLBACKS", 20)).await;
    load.end().await;
    drop(fleet);

    let fleet = self::fleet(&server.url, &config, "false").await;
    let load = Load::start(&fleet);
    flips(
        &server.pool,
        &fleet,
        number("POLLED_FLIPS", 100),
        "by the poll alone",
    )
    .await;
    load.end().await;
}

async fn fleet(url: &str, config: &str, notify: &str) -> [Ficus; 2] {
    let start = |name: &str| {
        Setup::new(url, config)
            .name(name)
            .variable("FICUS__FLAGS__NOTIFY", notify)
            .start()
    };
    [start("a").await, start("b").await]
}

async fn flips(pool: &PgPool, fleet: &[Ficus; 2], flips: usize, how: &str) {
    let (mut reported, mut enforced) = (Vec::new(), Vec::new());
    let asking = client_that_keeps_connections();
    for flip in 0..flips {
        let side = ["modern", "legacy"][flip % 2];
        sqlx::query("update ficus.flag set state = $2 where tenant_id = $1")
            .bind(FLIPPED)
            .bind(side)
            .execute(pool)
            .await
            .expect("flipped");
        let committed = Instant::now();
        tokio::join!(
            until_served(&asking, fleet[0].proxy, side),
            until_served(&asking, fleet[1].proxy, side)
        );
        enforced.push(committed.elapsed());
        reported.push(until_reported(pool).await);
    }
    report(
        &format!("{how}, commit to the slower proxy's report (database clock)"),
        reported,
    );
    report(
        &format!("{how}, commit to the slower proxy's first answer by the new side"),
        enforced,
    );
}

async fn until_served(client: &reqwest::Client, proxy: SocketAddr, side: &str) {
    loop {
        let request = client
            .get(format!("http://{proxy}/dashboard"))
            .header("x-tenant-id", FLIPPED);
        let answer = request
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a body");
        if answer == side {
            return;
        }
        sleep(Duration::from_micros(500)).await;
    }
}

/// From the newest change to the later of the two proxies' reports of it.
async fn until_reported(pool: &PgPool) -> Duration {
    loop {
        let seconds: Option<f64> = sqlx::query_scalar(
            "select extract(epoch from max(i.applied_at) - c.at)::float8
             from ficus.clock as k join ficus.change as c on c.revision = k.revision
             join ficus.instance as i on i.applied_revision >= c.revision and i.heartbeat_at > clock_timestamp() - interval '10 s'
             group by c.at having count(*) = 2",
        )
        .fetch_optional(pool)
        .await
        .expect("read");
        if let Some(seconds) = seconds {
            return Duration::from_secs_f64(seconds.max(0.0));
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// The real command, as typed: its whole run, its own "confirmed in", and an answer by legacy right after it.
async fn rollbacks(server: &Server, fleet: &[Ficus; 2], rollbacks: usize) {
    let (mut whole, mut waited) = (Vec::new(), Vec::new());
    let asking = client_that_keeps_connections();
    let set = |state: &'static str| async move {
        let set = sqlx::query("update ficus.flag set state = $1 where tenant_id = 2").bind(state);
        set.execute(&server.pool).await.expect("set");
    };
    set("modern").await;
    for _ in 0..rollbacks {
        sqlx::query("delete from ficus.override")
            .execute(&server.pool)
            .await
            .expect("cleared");
        for ficus in fleet {
            until_served(&asking, ficus.proxy, "modern").await;
        }
        let begun = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_ficus"))
            .args([
                "rollback", "--all", "--yes", "--reason", "bench", "--direct", "--output", "json",
            ])
            .env("DATABASE_URL", &server.url)
            .output()
            .await
            .expect("ficus runs");
        whole.push(begun.elapsed());
        assert!(output.status.success(), "confirmed: {output:?}");
        let written: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let slowest = written["proxies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|p| p["ms"].as_f64())
            .fold(0.0, f64::max);
        waited.push(Duration::from_secs_f64(slowest / 1000.0));
        for ficus in fleet {
            let request = asking
                .get(ficus.url("/dashboard"))
                .header("x-tenant-id", FLIPPED);
            let answer = request
                .send()
                .await
                .expect("an answer")
                .text()
                .await
                .expect("a body");
            assert_eq!(answer, "legacy", "confirmed is in force");
        }
    }
    sqlx::query("delete from ficus.override")
        .execute(&server.pool)
        .await
        .expect("cleared");
    set("legacy").await;
    for ficus in fleet {
        until_served(&asking, ficus.proxy, "legacy").await;
    }
    report(
        "rollback --all, change to the slower proxy's report (database clock)",
        waited,
    );
    report("rollback --all, from the command's start to its end", whole);
}

fn client_that_keeps_connections() -> reqwest::Client {
    // Installs the TLS provider that reqwest asks for.
    drop(client());
    reqwest::Client::builder().build().expect("a client")
}

/// A steady trickle for a tenant that nobody moves: its side must not change, or the measurement is worth nothing.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    tasks: tokio::task::JoinSet<()>,
}

impl Load {
    fn start(fleet: &[Ficus; 2]) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            tasks: tokio::task::JoinSet::new(),
        };
        for ficus in fleet {
            let (stop, answered) = (Arc::clone(&load.stop), Arc::clone(&load.answered));
            let (url, client) = (ficus.url("/dashboard"), client_that_keeps_connections());
            load.tasks.spawn(async move {
                let mut every = interval(Duration::from_millis(1000 / REQUESTS_PER_SECOND));
                while !stop.load(Ordering::Relaxed) {
                    every.tick().await;
                    let request = client.get(&url).header("x-tenant-id", OTHER);
                    let answer = request.send().await.expect("an answer");
                    assert!(answer.status().is_success(), "{}", answer.status());
                    drop(answer.bytes().await.expect("a body"));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A task that failed fails the bench.
        self.tasks.join_all().await;
        println!(
            "beside it: {} requests answered",
            self.answered.load(Ordering::Relaxed)
        );
    }
}
