//! The worker on the real queue: everything leaves once, whatever dies meanwhile.
//!
//! Its own file, because the oracle is not the database: it is a provider that remembers what reached it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ficus::engine::lanes;
use ficus::engine::message::MessageId;
use ficus::engine::provider::{Intent, Outcome, Provider};
use ficus::engine::queue::{Due, PostgresQueue};
use ficus::engine::retry::Class;
use ficus::engine::worker::{Hints, Options, Worker};
use ficus::ids::TenantId;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{TENANT, accept, count, lease_is_over};
use crate::support::Database;
use crate::support::process::eventually;

/// Takes every message and remembers it, or says what it was told to say.
#[derive(Default)]
struct Ledger {
    taken: Mutex<BTreeMap<MessageId, usize>>,
    /// What the next calls say, each once.
    says: Mutex<Vec<Class>>,
    /// Calls on their way, of one tenant.
    busy: AtomicUsize,
    /// The tenant whose server never answers.
    silent: Option<TenantId>,
    /// The tenant whose server cannot be reached.
    away: Mutex<Option<TenantId>>,
    /// Calls for it that failed; and the most at once, since somebody looked.
    failed: AtomicUsize,
    at_once: AtomicUsize,
}

impl Ledger {
    fn taken(&self) -> BTreeMap<MessageId, usize> {
        self.taken.lock().expect("nobody panics").clone()
    }

    fn say(&self, class: Class) {
        self.says.lock().expect("nobody panics").push(class);
    }
}

impl Provider for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    async fn send(&self, due: &Due, intent: Intent) -> Outcome {
        if *self.away.lock().expect("nobody panics") == Some(due.tenant) {
            let now = self.busy.fetch_add(1, Ordering::Relaxed) + 1;
            self.at_once.fetch_max(now, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.busy.fetch_sub(1, Ordering::Relaxed);
            self.failed.fetch_add(1, Ordering::Relaxed);
            return Outcome {
                server: Some("ledger".to_owned()),
                ..Outcome::not_sent("away")
            };
        }
        if intent.record("ledger".to_owned()).await.is_err() {
            return Outcome::not_sent("withheld");
        }
        if self.silent == Some(due.tenant) {
            self.busy.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        let said = self.says.lock().expect("nobody panics").pop();
        let class = said.unwrap_or(Class::Accepted);
        if class == Class::Accepted {
            let mut taken = self.taken.lock().expect("nobody panics");
            *taken.entry(due.id).or_default() += 1;
        }
        // A worker that dies here has handed the message over, and not said so.
        tokio::task::yield_now().await;
        Outcome {
            class,
            code: "250".to_owned(),
            reference: None,
            server: Some("ledger".to_owned()),
        }
    }
}

struct Running {
    hints: Hints,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(pool: &PgPool, ledger: &Arc<Ledger>) -> Self {
        let options = Options {
            poll: Duration::from_millis(50),
            lanes: lanes::Bounds {
                tenant_under_way: 50,
                under_way: 400,
                buffer: 100,
            },
            ..Options::default()
        };
        let queue = PostgresQueue::new(pool.clone(), "test".to_owned(), options.lease);
        let (worker, hints) = Worker::new(Arc::new(queue), Arc::clone(ledger), options);
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker.run(stop.clone()));
        Self { hints, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("it ends");
    }
}

const DUE: &str = "select (select count(*) from ficus.due) + (select count(*) from ficus.later)";

async fn is_zero(pool: &PgPool, sql: &'static str) -> Option<()> {
    (count(pool, sql).await == 0).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_leaves_once_and_ends_accepted() {
    let database = Database::new().await;
    let pool = database.pool();
    let ledger = Arc::new(Ledger::default());
    let running = Running::start(pool, &ledger);
    let mut accepted = Vec::new();
    for tenant in 1..=20 {
        accepted.extend(accept(pool, TenantId(tenant), 100).await);
        running.hints.due(TenantId(tenant));
    }

    eventually("nothing is due", || is_zero(pool, DUE)).await;

    running.stop().await;
    let taken = ledger.taken();
    assert_eq!(taken.len(), 2_000);
    assert!(accepted.iter().all(|id| taken.get(id) == Some(&1)));
    let ended = "select count(*) from ficus.attempt_end as e join ficus.attempt as a using (id, number) where e.state = 'accepted'";
    assert_eq!(count(pool, ended).await, 2_000);
    let free = "select count(*) from ficus.shard where engine_id is not null";
    assert_eq!(count(pool, free).await, 0, "a stop lets go of the shards");
}

/// The process dies wherever it stands, again and again; another takes over.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_loses_nothing_doubles_nothing_and_leaves_in_doubt_what_was_under_way() {
    let database = Database::new().await;
    let pool = database.pool();
    let ledger = Arc::new(Ledger::default());
    let mut accepted = Vec::new();
    for tenant in 1..=10 {
        accepted.extend(accept(pool, TenantId(tenant), 500).await);
    }

    let mut at_least = 0;
    for _ in 0..10 {
        at_least += 300;
        let running = Running::start(pool, &ledger);
        eventually("some have left", || async {
            (ledger.taken().len() >= at_least.min(5_000)).then_some(())
        })
        .await;
        running.task.abort();
        let _ = running.task.await;
        lease_is_over(pool).await;
    }
    let last = Running::start(pool, &ledger);
    eventually("nothing is due", || is_zero(pool, DUE)).await;
    last.stop().await;

    let taken = ledger.taken();
    assert!(
        taken.values().all(|times| *times == 1),
        "doubled: {:?}",
        taken.iter().filter(|it| *it.1 > 1).collect::<Vec<_>>()
    );
    let uncertain: Vec<uuid::Uuid> =
        sqlx::query_scalar("select id from ficus.attempt_end where state = 'uncertain'")
            .fetch_all(pool)
            .await
            .unwrap();
    let lost = accepted
        .iter()
        .filter(|id| !taken.contains_key(id) && !uncertain.contains(&id.0))
        .count();
    assert_eq!(lost, 0);
    assert!(
        uncertain.len() <= 10 * 400,
        "{} in doubt, of at most 400 under way at each of 10 deaths",
        uncertain.len()
    );
    let ends = "select count(*) from ficus.attempt_end";
    assert_eq!(count(pool, ends).await, 5_000, "each has one end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_not_taken_is_tried_again_and_a_refused_one_is_not() {
    let database = Database::new().await;
    let pool = database.pool();
    let ledger = Arc::new(Ledger::default());
    ledger.say(Class::Transient(None));
    let id = accept(pool, TENANT, 1).await[0];
    let running = Running::start(pool, &ledger);
    eventually("it has left", || async {
        ledger.taken().contains_key(&id).then_some(())
    })
    .await;
    eventually("nothing is due", || is_zero(pool, DUE)).await;

    ledger.say(Class::Permanent);
    accept(pool, TENANT, 1).await;
    running.hints.due(TENANT);
    eventually("it has failed", || async {
        let failed = "select count(*) from ficus.attempt_end where state = 'failed'";
        (count(pool, failed).await == 1).then_some(())
    })
    .await;
    running.stop().await;

    let states: Vec<(i16, String)> =
        sqlx::query_as("select number, state from ficus.attempt_end where id = $1 order by number")
            .bind(id.0)
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(
        states,
        [(1, "deferred".to_owned()), (2, "accepted".to_owned())]
    );
    assert_eq!(ledger.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_server_says_nothing_keeps_nobody_else_waiting() {
    let database = Database::new().await;
    let pool = database.pool();
    let ledger = Arc::new(Ledger {
        silent: Some(TenantId(1)),
        ..Ledger::default()
    });
    accept(pool, TenantId(1), 1_000).await;
    let running = Running::start(pool, &ledger);
    eventually("all of its places are taken", || async {
        (ledger.busy.load(Ordering::Relaxed) == 50).then_some(())
    })
    .await;

    let id = accept(pool, TenantId(2), 1).await[0];
    running.hints.due(TenantId(2));
    eventually("the other's has left", || async {
        ledger.taken().contains_key(&id).then_some(())
    })
    .await;
    running.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_server_is_away_is_tried_with_one_message_at_a_time_and_slows_nobody() {
    let database = Database::new().await;
    let pool = database.pool();
    let (away, other) = (TenantId(1), TenantId(2));
    let ledger = Arc::new(Ledger {
        away: Mutex::new(Some(away)),
        ..Ledger::default()
    });
    accept(pool, away, 1_000).await;
    let running = Running::start(pool, &ledger);
    // As many as there are places were on their way when the first one failed.
    let failed = |count| {
        let ledger = Arc::clone(&ledger);
        async move {
            eventually("so many have failed", || async {
                (ledger.failed.load(Ordering::Relaxed) >= count).then_some(())
            })
            .await;
        }
    };
    failed(50).await;
    ledger.at_once.store(0, Ordering::Relaxed);

    accept(pool, other, 200).await;
    running.hints.due(other);
    eventually("the other's have left", || async {
        (ledger.taken().len() == 200).then_some(())
    })
    .await;
    failed(51).await;
    assert_eq!(ledger.failed.load(Ordering::Relaxed), 51, "one probe");
    assert_eq!(ledger.at_once.load(Ordering::Relaxed), 1);

    *ledger.away.lock().expect("nobody panics") = None;
    eventually("nothing is due", || is_zero(pool, DUE)).await;
    running.stop().await;
    assert_eq!(ledger.taken().len(), 1_200);
    let used = "select count(*) from ficus.attempt where number > 1";
    assert_eq!(count(pool, used).await, 0, "nothing of the ladder was used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_tenants_messages_wait_and_leave_when_they_are_let_go() {
    let database = Database::new().await;
    let pool = database.pool();
    sqlx::query("insert into ficus.hold values (7, 0, 'rolled back')")
        .execute(pool)
        .await
        .unwrap();
    let ledger = Arc::new(Ledger::default());
    let held = accept(pool, TENANT, 1).await[0];
    let free = accept(pool, TenantId(8), 1).await[0];
    let running = Running::start(pool, &ledger);
    eventually("the free one has left", || async {
        ledger.taken().contains_key(&free).then_some(())
    })
    .await;
    assert!(!ledger.taken().contains_key(&held));
    assert_eq!(
        count(
            pool,
            "select count(*) from ficus.attempt where tenant_id = 7"
        )
        .await,
        0
    );

    sqlx::query("delete from ficus.hold")
        .execute(pool)
        .await
        .unwrap();
    eventually("it has left", || async {
        ledger.taken().contains_key(&held).then_some(())
    })
    .await;
    running.stop().await;
}
