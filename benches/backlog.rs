//! What a large backlog costs the others: how soon one tenant's message reaches its server while another tenant has QUEUED (1000000)
//! waiting for a slow one, how much memory the engine takes with them, and what an old snapshot costs: `cargo bench --bench backlog`.
//!
//! Its own file, because here nothing is to be fast but what is not queued. PROBES (300) messages are handed in one after the other;
//! SECONDS (60) is how long a part of the backlog of many tenants is drained, without a snapshot and with one that somebody holds.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a bench that cannot be set up has nothing to measure, and its figures are its output"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ficus::engine::message::{Channel, MessageId, NewMessage};
use ficus::engine::provider::{Intent, Outcome, Provider};
use ficus::engine::queue::{Due, PostgresQueue};
use ficus::engine::retry::Class;
use ficus::engine::submit::Submitter;
use ficus::engine::worker::{Options, Worker};
use ficus::ids::TenantId;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use support::Server;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const BULK: TenantId = TenantId(1);
const BODY: usize = 560;
/// Of the bulk's server: with its hundred places it takes a hundred a second.
const SLOW: Duration = Duration::from_secs(1);

/// The bulk's server is slow; everybody else's takes at once, and tells.
struct Relay {
    reached: mpsc::Sender<MessageId>,
    taken: AtomicU64,
    is_slow: bool,
}

impl Provider for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    async fn send(&self, due: &Due, intent: Intent) -> Outcome {
        if intent.record("relay".to_owned()).await.is_err() {
            return Outcome::not_sent("withheld");
        }
        if due.tenant == BULK && self.is_slow {
            tokio::time::sleep(SLOW).await;
        }
        // Counted first: who hears of it counts. What finds no room is heard of by the count of the next.
        self.taken.fetch_add(1, Ordering::Relaxed);
        let _ = self.reached.try_send(due.id);
        Outcome::of(Class::Accepted, "250")
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let number = |name, default| support::number(name, default) as u64;
    let server = Server::start().await;
    let options = ficus::db::connect_options(&server.url).expect("our own URL is good");
    let pool = PgPoolOptions::new()
        .max_connections(12)
        .connect_lazy_with(options);
    let stop = CancellationToken::new();
    let submitter = Submitter::start(pool.clone(), &TaskTracker::new(), stop.clone());
    let queued = number("QUEUED", 1_000_000);
    let before = resident();
    fill(&submitter, queued, |_| BULK).await;
    println!(
        "{queued} queued; resident: {before} MiB before, {} MiB after they were accepted",
        resident()
    );
    behind_a_backlog(&pool, &submitter, number("PROBES", 300)).await;
    // Nobody's work is in the way of what follows.
    sqlx::query("truncate ficus.due")
        .execute(&pool)
        .await
        .expect("an empty queue");
    let seconds = Duration::from_secs(number("SECONDS", 60));
    let without = drained(&pool, &submitter, seconds).await;
    let mut holding = pool.begin().await.expect("a transaction");
    sqlx::raw_sql(
        "set transaction isolation level repeatable read; select count(*) from ficus.shard",
    )
    .execute(&mut *holding)
    .await
    .expect("a snapshot");
    let with = drained(&pool, &submitter, seconds).await;
    holding.rollback().await.expect("it was still there");
    let again = drained(&pool, &submitter, seconds).await;
    println!(
        "accepted and sent a second: {without:.0} without a snapshot, {with:.0} while one is held, {again:.0} after it"
    );
    stop.cancel();
}

/// Hands in one message of another tenant after the other.
async fn behind_a_backlog(pool: &PgPool, submitter: &Submitter, probes: u64) {
    let (reached, mut reaching) = mpsc::channel(10_000);
    let relay = Relay {
        reached,
        taken: AtomicU64::new(0),
        is_slow: true,
    };
    let options = Options::default();
    let queue = PostgresQueue::new(pool.clone(), "bench".to_owned(), options.lease);
    let (worker, hints) = Worker::new(Arc::new(queue), Arc::new(relay), options);
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone()));
    // The bulk is under way.
    reaching.recv().await.expect("the worker runs");
    let mut samples = Vec::new();
    for n in 0..probes {
        let tenant = TenantId(2 + i64::try_from(n % 50).expect("small"));
        let message = message(tenant);
        let (id, begun) = (message.id, Instant::now());
        submitter.submit(vec![message]).await.expect("stored");
        hints.due(tenant);
        while reaching.recv().await.expect("the worker runs") != id {}
        samples.push(begun.elapsed());
    }
    support::report(
        "one message behind the backlog, handed in to taken by its server",
        samples,
    );
    println!("resident with the worker running: {} MiB", resident());
    stop.cancel();
    running.await.expect("it ends");
}

/// How many a second come and go.
async fn drained(pool: &PgPool, submitter: &Submitter, time: Duration) -> f64 {
    let (reached, mut reaching) = mpsc::channel(10_000);
    let relay = Arc::new(Relay {
        reached,
        taken: AtomicU64::new(0),
        is_slow: false,
    });
    let options = Options::default();
    let queue = PostgresQueue::new(pool.clone(), "bench".to_owned(), options.lease);
    let (worker, hints) = Worker::new(Arc::new(queue), Arc::clone(&relay), options);
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone()));
    let house = tokio::spawn(turn(pool.clone()));
    let begun = Instant::now();
    let mut accepted = 0;
    while begun.elapsed() < time {
        fill(submitter, 20_000, |n| {
            TenantId(1 + i64::try_from(n % 40).expect("small"))
        })
        .await;
        accepted += 20_000;
        for tenant in 1..=40 {
            hints.due(TenantId(tenant));
        }
        while accepted - relay.taken.load(Ordering::Relaxed) > 40_000 {
            reaching.recv().await.expect("the worker runs");
        }
        while reaching.try_recv().is_ok() {}
    }
    while relay.taken.load(Ordering::Relaxed) < accepted {
        reaching.recv().await.expect("the worker runs");
    }
    let rate = accepted as f64 / begun.elapsed().as_secs_f64();
    stop.cancel();
    house.abort();
    running.await.expect("it ends");
    rate
}

/// As the engine's house does it.
async fn turn(pool: PgPool) {
    loop {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let turned = sqlx::query("select ficus.turn_ring()").execute(&pool).await;
        turned.expect("a ring");
    }
}

async fn fill(submitter: &Submitter, messages: u64, tenant: impl Fn(u64) -> TenantId) {
    let mut tasks = JoinSet::new();
    for n in 0..messages / 500 {
        if tasks.len() == 4 {
            tasks.join_next().await;
        }
        let (submitter, tenant) = (submitter.clone(), tenant(n));
        tasks.spawn(async move {
            let batch = (0..500).map(|_| message(tenant)).collect();
            submitter.submit(batch).await.expect("stored");
        });
    }
    tasks.join_all().await;
}

fn message(tenant: TenantId) -> NewMessage {
    let id = MessageId::new();
    NewMessage {
        id,
        tenant,
        key: *id.0.as_bytes(),
        fingerprint: [0; 16],
        channel: Channel::Email,
        campaign: Some(21),
        recipient: "reader@example.test".to_owned(),
        body: "x".repeat(BODY),
        content: None,
        due_at: None,
    }
}

/// This process's, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|it| it.starts_with("VmRSS:"));
    let kib = line.and_then(|it| it.split_whitespace().nth(1));
    kib.and_then(|it| it.parse::<u64>().ok())
        .expect("a number of KiB")
        / 1024
}
