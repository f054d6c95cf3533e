//! Settling what is uncertain, by two people at once, by policy, and beside an engine that tells of the old end again.
//!
//! Its own file, because a message is settled once, and sent again only where somebody said so.

use ficus::engine::message::{End, MessageId};
use ficus::engine::operations::{self, Settled, SettlingPolicy, State, Verdict};
use ficus::engine::queue::{Place, Queue};
use ficus::ids::TenantId;
use sqlx::{PgConnection, PgPool};
use tokio::task::JoinHandle;

use super::super::{TENANT, accept, begin, count, ended};
use super::{BY, ended_as, somebody_waits, state};
use crate::support::Database;

async fn settle(connection: &mut PgConnection, id: MessageId, verdict: Verdict) -> Settled {
    let done = operations::settle(connection, id.0, verdict, BY).await;
    done.unwrap().expect("there is such a message")
}

fn settle_beside(pool: &PgPool, id: MessageId, verdict: Verdict) -> JoinHandle<Settled> {
    let pool = pool.clone();
    tokio::spawn(async move {
        let mut connection = pool.acquire().await.unwrap();
        settle(&mut connection, id, verdict).await
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_settle_at_once_one_does_and_the_other_is_told_what_it_became() {
    let database = Database::new().await;
    let pool = database.pool();
    let (queue, _, due) = ended_as(pool, End::Uncertain).await;
    let mut first = pool.begin().await.unwrap();
    let won = settle(&mut first, due.id, Verdict::Sent).await;

    let other = settle_beside(pool, due.id, Verdict::Resend);
    somebody_waits(pool).await;
    first.commit().await.unwrap();

    let lost = other.await.unwrap();
    assert_eq!((won.changed, won.state), (true, State::Accepted));
    assert_eq!((lost.changed, lost.state), (false, State::Accepted));
    assert_eq!(lost.settled_as.as_deref(), Some("sent"));
    assert_eq!(lost.settled_by.as_deref(), Some("kim"));
    assert!(queue.load(TENANT, None, 10).await.unwrap().is_empty());
    let traces = "select count(*) from ficus.message_operation where operation = 'settle'";
    assert_eq!(count(pool, traces).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_after_a_settling_that_was_taken_back_settles() {
    let database = Database::new().await;
    let pool = database.pool();
    let (.., due) = ended_as(pool, End::Uncertain).await;
    let mut first = pool.begin().await.unwrap();
    settle(&mut first, due.id, Verdict::Sent).await;

    let other = settle_beside(pool, due.id, Verdict::Failed);
    somebody_waits(pool).await;
    first.rollback().await.unwrap();

    let won = other.await.unwrap();
    assert_eq!((won.changed, won.state), (true, State::Failed));
}

/// The connection was lost at the commit of the uncertain end: its engine tells of it again, after the settling.
#[tokio::test]
async fn what_is_settled_to_be_sent_again_leaves_once_although_its_old_end_is_told_again() {
    let database = Database::new().await;
    let pool = database.pool();
    let (queue, epoch, due) = ended_as(pool, End::Uncertain).await;
    let mut connection = pool.acquire().await.unwrap();

    let done = settle(&mut connection, due.id, Verdict::Resend).await;
    assert_eq!((done.changed, done.state), (true, State::Due));
    for place in [due.place, Place::Later] {
        let mut told = ended(&due, epoch, End::Uncertain);
        told.place = place;
        queue.end(&[told]).await.unwrap();
    }

    let again = queue.load(TENANT, None, 10).await.unwrap();
    assert_eq!(
        (again.len(), again[0].begun, again[0].in_doubt),
        (1, 1, false)
    );
    assert_eq!(
        queue.begin(&[begin(&again[0], epoch)]).await.unwrap().len(),
        1
    );
    queue
        .end(&[ended(&again[0], epoch, End::Accepted)])
        .await
        .unwrap();
    assert_eq!(state(pool, due.id).await, State::Accepted);
    let late = settle(&mut connection, due.id, Verdict::Failed).await;
    assert_eq!(
        (late.changed, late.settled_as),
        (false, None),
        "its last attempt never was uncertain"
    );
}

#[tokio::test]
async fn the_policy_settles_what_has_been_uncertain_for_long_and_nothing_else() {
    for (policy, became, waiting) in [
        ("at_most_once", State::Unknown, 0),
        ("at_least_once", State::Due, 1),
    ] {
        let database = Database::new().await;
        let pool = database.pool();
        let (_, _, old) = ended_as(pool, End::Uncertain).await;
        sqlx::query("update ficus.attempt_end set at = now() - interval '25 hours'")
            .execute(pool)
            .await
            .unwrap();
        let young = {
            let id = accept(pool, TenantId(8), 1).await[0];
            sqlx::query("insert into ficus.attempt_end (id, number, tenant_id, state, code) values ($1, 1, 8, 'uncertain', 'interrupted')")
                .bind(id.0)
                .execute(pool)
                .await
                .unwrap();
            id
        };
        for expected in [1, 0] {
            let settled: i32 =
                sqlx::query_scalar("select ficus.settle_uncertain($1, interval '24 hours', 1000)")
                    .bind(policy)
                    .fetch_one(pool)
                    .await
                    .unwrap();
            assert_eq!(settled, expected, "{policy}");
        }
        assert_eq!(state(pool, old.id).await, became);
        assert_eq!(state(pool, young).await, State::Uncertain);
        assert_eq!(
            count(pool, "select count(*) from ficus.later").await,
            waiting
        );
        let traces = "select count(*) from ficus.message_operation where source = 'policy'";
        assert_eq!(count(pool, traces).await, 1);
    }
}

#[tokio::test]
async fn a_tenants_own_policy_settles_its_messages_and_nobody_elses() {
    let database = Database::new().await;
    let pool = database.pool();
    let mut messages = Vec::new();
    for tenant in [TenantId(7), TenantId(8)] {
        let id = accept(pool, tenant, 1).await[0];
        sqlx::query("insert into ficus.attempt_end (id, number, tenant_id, state, code, at) values ($1, 1, $2, 'uncertain', 'interrupted', now() - interval '25 hours')")
            .bind(id.0)
            .bind(tenant.0)
            .execute(pool)
            .await
            .unwrap();
        messages.push(id);
    }
    let mut connection = pool.acquire().await.unwrap();
    let own = Some(SettlingPolicy::AtLeastOnce);
    for expected in [true, false] {
        let set = operations::set_policy(&mut connection, TenantId(8), own, BY).await;
        assert_eq!(set.unwrap(), expected);
    }
    let settled: i32 = sqlx::query_scalar(
        "select ficus.settle_uncertain('at_most_once', interval '24 hours', 1000)",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(settled, 2);
    let reason = "select o.after from ficus.message_operation as o where o.message_id = $1";
    for (id, became) in messages.iter().zip(["unknown", "resend"]) {
        let after: String = sqlx::query_scalar(reason)
            .bind(id.0)
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(after, became);
    }
    operations::set_policy(&mut connection, TenantId(8), None, BY)
        .await
        .unwrap();
    assert!(operations::policies(pool, 10).await.unwrap().is_empty());
}
