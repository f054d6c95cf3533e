//! A million tenants in a proxy's memory: how long the load takes, what a tenant costs, what a decision costs, and
//! the longest that a request waits while flips come in. `cargo bench --bench snapshot`.
//!
//! Its own file, because it measures one process against a database of its own. TENANTS (1000000), FLIPS (1000) and
//! DECISIONS (20000000) make a trial run small. "Longest" counts what the machine does beside it: the second figure,
//! the same loop while nothing is flipped, is what to compare it with.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that cannot be set up has nothing to measure, and its figures are its output"
)]

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ficus::db;
use ficus::flags::store::{self, Instance};
use ficus::flags::sync::Sync;
use ficus::flags::{Caller, ColdStart, Config, Flags, decide};
use ficus::ids::{Revision, TenantId};
use ficus::secret::Secret;
use ficus::telemetry::Metrics;
use support::{Server, number, report};
use tokio_util::sync::CancellationToken;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let tenants = number("TENANTS", 1_000_000) as i64;
    let server = Server::start().await;
    fill(&server, tenants).await;
    let pool = db::connect_lazily(&server.url, &limits()).expect("a pool");

    // The pool's own memory, and the first page faults, are not the snapshot's.
    store::newest_revision(&pool, Revision(0))
        .await
        .expect("read");
    let before = resident();
    let begun = Instant::now();
    let snapshot = store::load_all(&pool, None).await.expect("loaded").value;
    let took = begun.elapsed();
    assert_eq!(snapshot.tenant_count() as i64, tenants);
    let grown = resident().saturating_sub(before);
    println!(
        "load of {tenants} tenants: {:.2} s, {} bytes of RSS a tenant",
        took.as_secs_f64(),
        grown / tenants as u64
    );
    drop(snapshot);

    let folder = tempfile::tempdir().expect("a scratch folder");
    let flags = flags(folder.path());
    let (stop, syncing) = follow(&flags, pool);
    let mut revisions = flags.watch();
    let newest = newest(&server).await;
    revisions.wait_for(|r| *r >= newest).await.expect("loaded");

    decisions(&flags, tenants);
    println!(
        "longest load() + decide(), nothing flipped: {:?}",
        watch(&flags, tenants, tokio::time::sleep(Duration::from_secs(2))).await
    );
    let mut applied = Vec::new();
    let flipping = async {
        for flip in 0..number("FLIPS", 1000) {
            let flip = flip as i64;
            let state = ["shadow", "legacy"][flip as usize / tenants as usize % 2];
            let begun = Instant::now();
            let update = sqlx::query("update ficus.flag set state = $2 where tenant_id = $1");
            let done = update
                .bind(flip % tenants + 1)
                .bind(state)
                .execute(&server.pool)
                .await;
            assert_eq!(done.expect("flipped").rows_affected(), 1);
            let revision = self::newest(&server).await;
            revisions
                .wait_for(|r| *r >= revision)
                .await
                .expect("applied");
            applied.push(begun.elapsed());
        }
    };
    println!(
        "longest load() + decide(), while flags flip: {:?}",
        watch(&flags, tenants, flipping).await
    );
    report(
        "flip of one tenant, statement to snapshot in force",
        applied,
    );
    stop.cancel();
    syncing.await.expect("stopped");
}

/// Each tenant with a slug and a flag.
async fn fill(server: &Server, tenants: i64) {
    let begun = Instant::now();
    sqlx::query("insert into ficus.capability (name) values ('dashboard')")
        .execute(&server.pool)
        .await
        .expect("a capability");
    for table in [
        "insert into ficus.tenant (id, slug) select n, 'tenant-' || n from generate_series(1, $1) as n",
        "insert into ficus.flag (tenant_id, capability, state)
         select n, 'dashboard', case when n % 2 = 0 then 'modern' else 'legacy' end from generate_series(1, $1) as n",
    ] {
        sqlx::query(table).bind(tenants).execute(&server.pool).await.expect("filled");
    }
    sqlx::raw_sql("analyze")
        .execute(&server.pool)
        .await
        .expect("analyzed");
    println!(
        "filled the database in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
}

fn limits() -> db::Config {
    db::Config {
        url: Secret::default(),
        legacy_url: Secret::default(),
        pool: 3,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(600),
    }
}

fn flags(state: &std::path::Path) -> Flags {
    Flags::open(&config(state), "bench")
        .expect("a state folder")
        .0
}

fn config(state: &std::path::Path) -> Config {
    Config {
        poll: Duration::from_secs(2),
        heartbeat: Duration::from_secs(5),
        notify: true,
        state_dir: state.to_owned(),
        bootstrap: None,
        cold_start: ColdStart::Refuse,
    }
}

/// The proxy's own task, disk snapshot and all.
fn follow(flags: &Flags, pool: sqlx::PgPool) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let sync = Sync {
        flags: flags.clone(),
        config: config(std::path::Path::new("")),
        pool,
        instance: Instance {
            started: std::time::Instant::now(),
            id: uuid::Uuid::new_v4(),
            name: "bench".to_owned(),
            roles: vec!["proxy".to_owned()],
            listen: Vec::new(),
        },
        metrics: Arc::new(Metrics::new()),
    };
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(sync.run(stop)))
}

async fn newest(server: &Server) -> Revision {
    store::newest_revision(&server.pool, Revision(0))
        .await
        .expect("read")
        .0
}

/// What a request asks: one snapshot, its tenant, its side. Ids in an order that no cache foresees.
fn decide_once(flags: &Flags, random: &mut u64, tenants: i64) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let id = TenantId((*random % tenants as u64) as i64 + 1);
    let snapshot = flags.load();
    let Some(snapshot) = snapshot.as_deref() else {
        return;
    };
    let caller = snapshot.tenant(id).map_or(Caller::Stranger, Caller::Tenant);
    black_box(decide(snapshot, "dashboard", caller));
}

fn decisions(flags: &Flags, tenants: i64) {
    let (mut random, n) = (0x9e37_79b9_7f4a_7c15, number("DECISIONS", 20_000_000));
    for _ in 0..n / 10 {
        decide_once(flags, &mut random, tenants);
    }
    let begun = Instant::now();
    for _ in 0..n {
        decide_once(flags, &mut random, tenants);
    }
    println!(
        "decide over {tenants} tenants, random access: {:.1} ns",
        begun.elapsed().as_nanos() as f64 / n.max(1) as f64
    );
}

/// The longest single decision that a thread of its own sees while `meanwhile` runs.
async fn watch(flags: &Flags, tenants: i64, meanwhile: impl Future<Output = ()>) -> Duration {
    let done = Arc::new(AtomicBool::new(false));
    let (flags, ended) = (flags.clone(), Arc::clone(&done));
    let watching = std::thread::spawn(move || {
        let (mut random, mut longest) = (0x2545_f491_4f6c_dd1d, Duration::ZERO);
        while !ended.load(Ordering::Relaxed) {
            let begun = Instant::now();
            decide_once(&flags, &mut random, tenants);
            longest = longest.max(begun.elapsed());
        }
        longest
    });
    meanwhile.await;
    done.store(true, Ordering::Relaxed);
    watching.join().expect("the thread ends")
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .expect("a number");
    kib * 1024
}
