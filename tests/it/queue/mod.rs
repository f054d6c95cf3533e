//! The engine's queue on a real PostgreSQL: what is accepted once, who may send it, and what a crash leaves.
//!
//! Its own file, because each promise of docs/ENGINE.md about the queue is a test here.

mod measuring;
mod operations;
mod races;
mod rings;
mod tenancy;
mod worker;

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use ficus::engine::message::{Accepted, Channel, End, MessageId, NewMessage};
use ficus::engine::queue::{Begin, Due, Ended, Place, PostgresQueue, Queue};
use ficus::engine::submit::Submitter;
use ficus::ids::TenantId;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::Database;

const LEASE: Duration = Duration::from_secs(3600);
pub(crate) const TENANT: TenantId = TenantId(7);

pub(crate) fn message(tenant: TenantId, key: &str) -> NewMessage {
    NewMessage {
        id: MessageId::new(),
        tenant,
        key: half(key),
        fingerprint: half("the same"),
        channel: Channel::Email,
        campaign: None,
        recipient: "reader@example.test".to_owned(),
        body: "{}".to_owned(),
        content: None,
        due_at: None,
    }
}

fn half(text: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(text).into();
    *digest.first_chunk().expect("32 bytes")
}

pub(crate) fn submitter(pool: &PgPool) -> Submitter {
    Submitter::start(pool.clone(), &TaskTracker::new(), CancellationToken::new())
}

/// Accepts so many messages of a tenant.
pub(crate) async fn accept(pool: &PgPool, tenant: TenantId, count: usize) -> Vec<MessageId> {
    let messages = (0..count)
        .map(|n| message(tenant, &format!("{} {n}", MessageId::new())))
        .collect();
    let accepted = submitter(pool).submit(messages).await.expect("stored");
    accepted
        .into_iter()
        .map(|it| match it {
            Accepted::New(id) => id,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// An engine that holds every shard, and the epoch of the tenant's.
pub(crate) async fn engine(pool: &PgPool, name: &str) -> (PostgresQueue, i64) {
    let queue = PostgresQueue::new(pool.clone(), name.to_owned(), LEASE);
    let held = queue.take_shards(64).await.expect("the shards");
    let epoch = held.get(&7).copied();
    (queue, epoch.expect("the tenant's shard"))
}

pub(crate) fn begin(due: &Due, epoch: i64) -> Begin {
    Begin {
        id: due.id,
        number: due.begun + 1,
        tenant: due.tenant,
        campaign: due.campaign,
        epoch,
        connection: "sandbox".to_owned(),
    }
}

pub(crate) fn ended(due: &Due, epoch: i64, end: End) -> Ended {
    Ended {
        id: due.id,
        number: due.begun + 1,
        tenant: due.tenant,
        epoch,
        place: due.place,
        end,
        code: "250".to_owned(),
        reference: None,
        again: None,
    }
}

/// As if its process had died an hour ago.
async fn lease_is_over(pool: &PgPool) {
    sqlx::query("update ficus.engine set lease_until = now() - interval '1 hour'")
        .execute(pool)
        .await
        .expect("the lease");
}

pub(crate) async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.expect(sql)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_handed_in_by_sixty_four_at_once_is_one_message_and_one_answer() {
    let database = Database::new().await;
    let submitter = submitter(database.pool());
    let mut askers = JoinSet::new();
    for _ in 0..64 {
        let submitter = submitter.clone();
        askers.spawn(async move {
            let answer = submitter.submit(vec![message(TENANT, "one")]).await;
            answer.expect("an answer")[0]
        });
    }

    let (mut new, mut ids) = (0, Vec::new());
    while let Some(answer) = askers.join_next().await {
        match answer.expect("an asker") {
            Accepted::New(id) => {
                new += 1;
                ids.push(id);
            }
            Accepted::Duplicate(id) => ids.push(id),
            other => panic!("{other:?}"),
        }
    }
    ids.dedup();
    assert_eq!((new, ids.len()), (1, 1), "{ids:?}");
    for table in [
        "select count(*) from ficus.message",
        "select count(*) from ficus.due",
        "select count(*) from ficus.message_key",
    ] {
        assert_eq!(count(database.pool(), table).await, 1, "{table}");
    }
}

#[tokio::test]
async fn a_key_that_stands_for_another_message_is_a_conflict_and_another_tenants_key_is_none() {
    let database = Database::new().await;
    let submitter = submitter(database.pool());
    let mut other = message(TENANT, "one");
    other.fingerprint = half("another");
    let messages = vec![
        message(TENANT, "one"),
        message(TENANT, "one"),
        other,
        message(TenantId(8), "one"),
    ];
    let first = messages[0].id;

    let became = submitter.submit(messages).await.unwrap();

    assert_eq!(
        became[..3],
        [
            Accepted::New(first),
            Accepted::Duplicate(first),
            Accepted::Conflict(first)
        ]
    );
    assert!(matches!(became[3], Accepted::New(_)), "{became:?}");
}

#[tokio::test]
async fn a_suppressed_recipient_is_refused_and_its_key_stays_free() {
    let database = Database::new().await;
    sqlx::query(
        "insert into ficus.suppression values (7, 'email', 'reader@example.test', 'unsubscribed')",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let submitter = submitter(database.pool());

    let became = submitter.submit(vec![message(TENANT, "one")]).await;
    assert_eq!(became.unwrap(), [Accepted::Suppressed]);

    sqlx::query("delete from ficus.suppression")
        .execute(database.pool())
        .await
        .unwrap();
    let became = submitter
        .submit(vec![message(TENANT, "one")])
        .await
        .unwrap();
    assert!(matches!(became[..], [Accepted::New(_)]), "{became:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_stored_fails_its_own_request_and_no_other() {
    let database = Database::new().await;
    let submitter = submitter(database.pool());
    let mut askers = JoinSet::new();
    for n in 0..40 {
        let submitter = submitter.clone();
        askers.spawn(async move {
            let mut it = message(TENANT, &n.to_string());
            if n == 20 {
                it.tenant = TenantId(-1);
            }
            (n, submitter.submit(vec![it]).await.is_ok())
        });
    }
    while let Some(answer) = askers.join_next().await {
        let (n, stored) = answer.unwrap();
        assert_eq!(stored, n != 20, "{n}");
    }
    assert_eq!(
        count(database.pool(), "select count(*) from ficus.message").await,
        39
    );
}

#[tokio::test]
async fn what_is_accepted_is_loaded_oldest_first_begun_once_and_gone_when_it_has_ended() {
    let database = Database::new().await;
    let accepted = accept(database.pool(), TENANT, 5).await;
    let (queue, epoch) = engine(database.pool(), "one").await;

    assert_eq!(queue.tenants(&[7, 8]).await.unwrap(), [TENANT]);
    let first = queue.load(TENANT, None, 2).await.unwrap();
    let rest = queue.load(TENANT, Some(first[1].id), 10).await.unwrap();
    let due: Vec<Due> = first.into_iter().chain(rest).collect();
    assert_eq!(due.iter().map(|it| it.id).collect::<Vec<_>>(), accepted);
    assert!(due.iter().all(|it| it.begun == 0 && !it.in_doubt));

    let attempts: Vec<Begin> = due.iter().map(|it| begin(it, epoch)).collect();
    assert_eq!(queue.begin(&attempts).await.unwrap().len(), 5);
    assert_eq!(queue.begin(&attempts).await.unwrap().len(), 0, "once");

    let ends: Vec<Ended> = due
        .iter()
        .map(|it| ended(it, epoch, End::Accepted))
        .collect();
    assert!(queue.end(&ends).await.unwrap().is_empty());
    assert!(queue.end(&ends).await.unwrap().is_empty(), "repeatable");
    assert_eq!(queue.tenants(&[7]).await.unwrap(), []);
    assert_eq!(
        count(
            database.pool(),
            "select count(*) from ficus.attempt_end where state = 'accepted'"
        )
        .await,
        5
    );
}

#[tokio::test]
async fn a_deferred_message_waits_for_its_time_and_keeps_its_count() {
    let database = Database::new().await;
    accept(database.pool(), TENANT, 1).await;
    let (queue, epoch) = engine(database.pool(), "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    queue.begin(&[begin(&due[0], epoch)]).await.unwrap();
    let mut deferred = ended(&due[0], epoch, End::Deferred);
    deferred.again = Some((Utc::now() + TimeDelta::hours(1), 1));
    queue.end(&[deferred]).await.unwrap();

    assert_eq!(queue.tenants(&[7]).await.unwrap(), []);
    assert!(queue.load(TENANT, None, 10).await.unwrap().is_empty());

    sqlx::query("update ficus.later set due_at = now()")
        .execute(database.pool())
        .await
        .unwrap();
    assert_eq!(queue.tenants(&[7]).await.unwrap(), [TENANT]);
    let again = queue.load(TENANT, None, 10).await.unwrap();
    assert_eq!(
        (
            again[0].place,
            again[0].counted,
            again[0].begun,
            again[0].in_doubt
        ),
        (Place::Later, 1, 1, false)
    );
    assert_eq!(
        queue.begin(&[begin(&again[0], epoch)]).await.unwrap().len(),
        1
    );
    queue
        .end(&[ended(&again[0], epoch, End::Accepted)])
        .await
        .unwrap();
    assert_eq!(
        count(database.pool(), "select count(*) from ficus.later").await,
        0
    );
}

/// A reader that looked between an attempt's begin and its end finds it in doubt, and says so after the end.
#[tokio::test]
async fn an_attempt_has_one_end_and_a_late_doubt_takes_no_retry_away() {
    let database = Database::new().await;
    accept(database.pool(), TENANT, 1).await;
    let (queue, epoch) = engine(database.pool(), "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    queue.begin(&[begin(&due[0], epoch)]).await.unwrap();
    let mut deferred = ended(&due[0], epoch, End::Deferred);
    deferred.again = Some((Utc::now() + TimeDelta::hours(1), 1));
    queue.end(&[deferred]).await.unwrap();

    let mut doubt = ended(&due[0], epoch, End::Uncertain);
    doubt.place = Place::Later;
    queue.end(&[doubt]).await.unwrap();

    let waiting = "select count(*) from ficus.later where attempts = 1";
    assert_eq!(count(database.pool(), waiting).await, 1);
    let states: Vec<String> = sqlx::query_scalar("select state from ficus.attempt_end")
        .fetch_all(database.pool())
        .await
        .unwrap();
    assert_eq!(states, ["deferred"]);
}

#[tokio::test]
async fn who_has_lost_its_shard_begins_nothing_ends_nothing_and_leaves_what_it_began_in_doubt() {
    let database = Database::new().await;
    accept(database.pool(), TENANT, 2).await;
    let (old, epoch) = engine(database.pool(), "old").await;
    let due = old.load(TENANT, None, 10).await.unwrap();
    old.begin(&[begin(&due[0], epoch)]).await.unwrap();
    let (none, free) = (
        PostgresQueue::new(database.pool().clone(), "new".to_owned(), LEASE),
        "while the lease runs nobody else gets a shard",
    );
    assert!(none.take_shards(64).await.unwrap().is_empty(), "{free}");

    lease_is_over(database.pool()).await;
    let (new, newer) = engine(database.pool(), "new").await;
    assert!(newer > epoch);

    // The old one goes on, as a process does that was stopped for a while.
    assert!(
        old.begin(&[begin(&due[1], epoch)])
            .await
            .unwrap()
            .is_empty()
    );
    let refused = old.end(&[ended(&due[0], epoch, End::Accepted)]).await;
    assert_eq!(refused.unwrap().len(), 1);
    let found = new.load(TENANT, None, 10).await.unwrap();
    let doubts: Vec<bool> = found.iter().map(|it| it.in_doubt).collect();
    assert_eq!(doubts, [true, false]);
}

#[tokio::test]
async fn an_engine_that_lets_go_is_succeeded_at_once() {
    let database = Database::new().await;
    let (old, epoch) = engine(database.pool(), "old").await;
    old.release().await.unwrap();
    let (_, newer) = engine(database.pool(), "new").await;
    assert!(newer > epoch);
}

#[tokio::test]
async fn nothing_of_a_held_tenant_or_campaign_begins() {
    let database = Database::new().await;
    accept(database.pool(), TENANT, 2).await;
    let (queue, epoch) = engine(database.pool(), "one").await;
    let mut due = queue.load(TENANT, None, 10).await.unwrap();
    due[1].campaign = Some(21);
    let attempts: Vec<Begin> = due.iter().map(|it| begin(it, epoch)).collect();
    sqlx::query("insert into ficus.hold values (7, 21, 'paused')")
        .execute(database.pool())
        .await
        .unwrap();

    let begun = queue.begin(&attempts).await.unwrap();
    assert_eq!(begun.into_iter().collect::<Vec<_>>(), [due[0].id]);

    sqlx::query("update ficus.hold set campaign_id = 0")
        .execute(database.pool())
        .await
        .unwrap();
    assert!(queue.begin(&attempts).await.unwrap().is_empty());
    sqlx::query("delete from ficus.hold")
        .execute(database.pool())
        .await
        .unwrap();
    assert_eq!(queue.begin(&attempts).await.unwrap().len(), 1);
}
