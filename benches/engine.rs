//! How many messages a second the engine takes in, and how many it takes, sends and accounts for at the same time, quota included; and in
//! the same run what a team would write itself: one table of jobs, claimed with SKIP LOCKED, without keys' conflicts, attempts, events, quota.
//! A durable PostgreSQL of its own, the sandbox as provider: `cargo bench --bench engine`.
//!
//! Its own file, because what is measured is the queue and the disk, with nobody's server. MESSAGES (200000) a case, SECONDS (60)
//! of the sustained one and TENANTS (500) make a trial run small. The figures are to be held against those of the same run.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a bench that cannot be set up has nothing to measure, and its figures are its output"
)]

#[path = "engine/jobs.rs"]
mod jobs;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ficus::config::Config;
use ficus::engine::idempotency::{Fingerprint, Key, Purpose};
use ficus::engine::legacy::Legacy;
use ficus::engine::message::{Accepted, Channel, MessageId, NewMessage};
use ficus::engine::provider::sandbox::Sandbox;
use ficus::engine::queue::PostgresQueue;
use ficus::engine::quota::Quota;
use ficus::engine::submit::Submitter;
use ficus::engine::worker::{Hints, Options, Worker};
use ficus::ids::TenantId;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use support::Server;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// As a rendered message of a campaign's recipient is.
const BODY: usize = 560;
const BATCH: u64 = 500;
/// What waits at most while messages come and go at once.
const BACKLOG: u64 = 40_000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let (messages, tenants) = (number("MESSAGES", 200_000), number("TENANTS", 500));
    let server = Server::start().await;
    let options = ficus::db::connect_options(&server.url).expect("our own URL is good");
    // Two accept, two write attempts and ends, four read, two ask; and ours.
    let pool = &PgPoolOptions::new()
        .max_connections(12)
        .connect_lazy_with(options);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let bench = Bench {
        submitter: Submitter::start(pool.clone(), &tasks, stop.clone()),
        quota: Quota::start(
            legacy(&server, tenants).await,
            Channel::Email,
            &tasks,
            stop.clone(),
        ),
        tenants,
        made: Arc::new(AtomicU64::new(0)),
    };
    println!("| case | messages | a second |");
    println!("|---|---|---|");
    let (accepted, both) = jobs::run(pool, messages, BATCH, BODY).await;
    row(
        "a table of jobs: inserted, 500 a statement",
        messages,
        accepted,
    );
    row(
        "a table of jobs: inserted, claimed and done at once",
        messages,
        both,
    );

    let (time, _) = bench.accept(messages, BATCH, 4).await;
    row(
        "accepted, 500 a request, 4 requests at once",
        messages,
        time,
    );
    let singles = messages / 4;
    let (time, _) = bench.accept(singles, 1, 256).await;
    row("accepted, 1 a request, 256 requests at once", singles, time);

    let waiting = messages + singles;
    let begun = Instant::now();
    let running = Running::start(pool);
    all_gone(pool).await;
    row("sent from the backlog", waiting, begun.elapsed());

    let (seconds, before) = (number("SECONDS", 60), count_ended(pool).await);
    let begun = Instant::now();
    let mut accepted = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let (_, hints) = bench.accept(20_000, BATCH, 2).await;
        hints.into_iter().for_each(|it| running.hints.due(it));
        accepted += 20_000;
        while (accepted + before).saturating_sub(count_ended(pool).await) > BACKLOG {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    all_gone(pool).await;
    row(
        "accepted, sent and accounted for at once",
        accepted,
        begun.elapsed(),
    );
    running.stop().await;
    let wrong: i64 = sqlx::query_scalar(
        "select (select count(*) from ficus.due) + (select count(*) from ficus.attempt_end where state <> 'accepted')",
    )
    .fetch_one(pool)
    .await
    .expect("the rest");
    assert_eq!(wrong, 0, "everything has left, once");
}

fn row(what: &str, messages: u64, time: Duration) {
    println!(
        "| {what} | {messages} | {:.0} |",
        messages as f64 / time.as_secs_f64()
    );
}

struct Bench {
    submitter: Submitter,
    quota: Quota,
    tenants: u64,
    made: Arc<AtomicU64>,
}

impl Bench {
    /// Hands so many in, `batch` a request, `at_once` requests at once. The tenants are those that got some.
    async fn accept(&self, messages: u64, batch: u64, at_once: u64) -> (Duration, Vec<TenantId>) {
        let begun = Instant::now();
        let mut askers = JoinSet::new();
        for asker in 0..at_once {
            let share = messages / at_once / batch;
            let (submitter, quota) = (self.submitter.clone(), self.quota.clone());
            let (made, tenants) = (Arc::clone(&self.made), self.tenants);
            askers.spawn(async move {
                let mut served = Vec::new();
                for n in 0..share {
                    let tenant =
                        TenantId(i64::try_from(1 + (asker * share + n) % tenants).expect("small"));
                    let first = made.fetch_add(batch, Ordering::Relaxed);
                    let messages = (first..first + batch).map(|n| message(tenant, n)).collect();
                    let wanted = u32::try_from(batch).expect("small");
                    let granted = quota.take(tenant, wanted).await.expect("an answer");
                    assert_eq!(granted, wanted, "there is enough");
                    let answers = submitter.submit(messages).await.expect("stored");
                    assert!(answers.iter().all(|it| matches!(it, Accepted::New(_))));
                    served.push(tenant);
                }
                served
            });
        }
        let served = askers.join_all().await.concat();
        (begun.elapsed(), served)
    }
}

fn message(tenant: TenantId, n: u64) -> NewMessage {
    let recipient = format!("reader{n}@example.test");
    let purpose = Purpose {
        tenant,
        campaign: 21,
        recipient: &recipient,
        step: "",
    };
    NewMessage {
        id: MessageId::new(),
        tenant,
        key: Key::of(&purpose).digest(),
        fingerprint: Fingerprint::of(&serde_json::json!({ "n": n })).0,
        channel: Channel::Email,
        campaign: Some(21),
        body: "x".repeat(BODY),
        recipient,
        content: None,
        due_at: None,
    }
}

/// Legacy's table of quotas, in a database of its own, and the statements as they are delivered.
async fn legacy(server: &Server, tenants: u64) -> Legacy {
    let pool = server.database("legacy").await;
    let sql = format!(
        "create table email_s_m_s_limit_rates (id bigint generated always as identity primary key, owner_id bigint not null unique, email integer not null);
         insert into email_s_m_s_limit_rates (owner_id, email) select n, 2000000000 from generate_series(1, {tenants}) as n"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&pool)
        .await
        .expect("the table");
    let config = Config::parse("", std::iter::empty()).expect("the defaults");
    Legacy::new(pool, config.engine.statements)
}

struct Running {
    hints: Hints,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(pool: &PgPool) -> Self {
        let options = Options::default();
        let queue = PostgresQueue::new(pool.clone(), "bench".to_owned(), options.lease);
        let (worker, hints) = Worker::new(Arc::new(queue), Arc::new(Sandbox::default()), options);
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker.run(stop.clone()));
        Self { hints, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("it ends");
    }
}

/// As the server counts rows, a second late.
async fn count_ended(pool: &PgPool) -> u64 {
    let ended: i64 = sqlx::query_scalar("select coalesce(sum(n_tup_ins), 0)::bigint from pg_stat_user_tables where relname like 'attempt\\_end\\_%'")
        .fetch_one(pool)
        .await
        .expect("the count");
    u64::try_from(ended).expect("no fewer than none")
}

async fn all_gone(pool: &PgPool) {
    let gone = "select not exists (select from ficus.due)";
    while !sqlx::query_scalar::<_, bool>(gone)
        .fetch_one(pool)
        .await
        .expect("a look")
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// From the environment, so that a trial run can be small.
fn number(name: &str, default: usize) -> u64 {
    support::number(name, default) as u64
}
