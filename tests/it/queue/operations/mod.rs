//! What people do with messages while engines work: nothing is sent twice that nobody asked for, and nothing is lost.
//!
//! Its own file, because each test stops one side in the middle of its transaction and lets the other come.

mod settling;

use chrono::{DateTime, Utc};
use ficus::engine::message::{End, MessageId};
use ficus::engine::operations::{self, Became, By, Retried, State};
use ficus::engine::queue::{Due, Ended, Place, PostgresQueue, Queue};
use sqlx::{PgConnection, PgPool};

use super::{TENANT, accept, begin, count, ended, engine, message, submitter};
use crate::support::Database;
use crate::support::process::eventually;

const BY: By<'static> = By {
    actor: "kim",
    source: "cli",
    reason: "INC-42",
};

/// One message of the tenant whose last attempt ended so.
async fn ended_as(pool: &PgPool, end: End) -> (PostgresQueue, i64, Due) {
    accept(pool, TENANT, 1).await;
    let (queue, epoch) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap().remove(0);
    queue.begin(&[begin(&due, epoch)]).await.unwrap();
    queue.end(&[ended(&due, epoch, end)]).await.unwrap();
    (queue, epoch, due)
}

async fn retry(pool: &PgPool, id: MessageId) -> Retried {
    let mut connection = pool.acquire().await.unwrap();
    let done = operations::retry(&mut connection, &[id.0], BY).await;
    done.unwrap().remove(0)
}

async fn state(pool: &PgPool, id: MessageId) -> State {
    let detail = operations::show(pool, id.0).await.unwrap();
    detail.expect("there is such a message").message.state
}

/// Somebody waits for a lock in this database.
async fn somebody_waits(pool: &PgPool) {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually("somebody waits for the other", || async {
        (count(pool, waiting).await > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_has_ended_for_good_is_due_again_with_its_whole_ladder_and_its_numbers_go_on() {
    for end in [End::Dead, End::Failed, End::Unknown] {
        let database = Database::new().await;
        let pool = database.pool();
        let (queue, epoch, due) = ended_as(pool, end).await;

        let first = retry(pool, due.id).await;
        let second = retry(pool, due.id).await;

        assert_eq!(first.became, Became::Due, "{end:?}");
        assert_eq!(first.state.map(State::as_str), Some(end.as_str()));
        assert_eq!(
            (second.became, second.state),
            (Became::AlreadyDue, Some(State::Due)),
            "twice is the same as once"
        );
        let again = queue.load(TENANT, None, 10).await.unwrap();
        let [again] = &again[..] else {
            panic!("one is due: {again:?}");
        };
        assert_eq!(
            (again.place, again.counted, again.begun, again.in_doubt),
            (Place::Later, 0, 1, false)
        );
        assert_eq!(queue.begin(&[begin(again, epoch)]).await.unwrap().len(), 1);
        queue
            .end(&[ended(again, epoch, End::Accepted)])
            .await
            .unwrap();
        assert_eq!(state(pool, due.id).await, State::Accepted);
        let traces = "select count(*) from ficus.message_operation where operation = 'retry' and actor = 'kim' and source = 'cli' and reason = 'INC-42'";
        assert_eq!(count(pool, traces).await, 1);
    }
}

#[tokio::test]
async fn what_is_on_its_way_has_arrived_or_is_uncertain_is_not_sent_again() {
    for (end, became) in [
        (End::Accepted, Became::Refused),
        (End::Uncertain, Became::Refused),
        (End::Cancelled, Became::Refused),
    ] {
        let database = Database::new().await;
        let (.., due) = ended_as(database.pool(), end).await;
        assert_eq!(retry(database.pool(), due.id).await.became, became);
        assert_eq!(
            count(database.pool(), "select count(*) from ficus.later").await,
            0
        );
    }
    let database = Database::new().await;
    let pool = database.pool();
    let id = accept(pool, TENANT, 1).await[0];
    assert_eq!(retry(pool, id).await.became, Became::AlreadyDue);
    let (queue, epoch) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    queue.begin(&[begin(&due[0], epoch)]).await.unwrap();
    let under_way = retry(pool, id).await;
    assert_eq!(
        (under_way.became, under_way.state),
        (Became::AlreadyDue, Some(State::Sending))
    );
    let nobody = retry(pool, MessageId::new()).await;
    assert_eq!((nobody.became, nobody.state), (Became::Missing, None));
    assert_eq!(count(pool, "select count(*) from ficus.later").await, 0);
}

/// A provider says of a message, before anything was written down, that it can never leave: an end without an attempt.
#[tokio::test]
async fn a_message_that_was_refused_before_it_began_is_sent_once_when_it_is_retried() {
    let database = Database::new().await;
    let pool = database.pool();
    let id = accept(pool, TENANT, 1).await[0];
    let (queue, epoch) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap().remove(0);
    queue.end(&[ended(&due, epoch, End::Failed)]).await.unwrap();

    assert_eq!(retry(pool, id).await.became, Became::Due);
    let again = queue.load(TENANT, None, 10).await.unwrap().remove(0);
    assert_eq!(queue.begin(&[begin(&again, epoch)]).await.unwrap().len(), 1);
    queue
        .end(&[ended(&again, epoch, End::Accepted)])
        .await
        .unwrap();

    assert!(queue.load(TENANT, None, 10).await.unwrap().is_empty());
    assert_eq!(state(pool, id).await, State::Accepted);
}

/// The engine has written the end of the attempt that a first retry led to, and not committed; a second retry comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_for_the_end_that_is_being_written_and_sends_nothing_twice() {
    let database = Database::new().await;
    let pool = database.pool();
    let (queue, epoch, due) = ended_as(pool, End::Dead).await;
    retry(pool, due.id).await;
    let again = queue.load(TENANT, None, 10).await.unwrap().remove(0);
    queue.begin(&[begin(&again, epoch)]).await.unwrap();
    let mut engine = pool.begin().await.unwrap();
    end_in(&mut engine, &ended(&again, epoch, End::Accepted)).await;

    let operator = tokio::spawn({
        let (pool, id) = (pool.clone(), due.id);
        async move { retry(&pool, id).await }
    });
    somebody_waits(pool).await;
    engine.commit().await.unwrap();

    let late = operator.await.unwrap();
    assert_eq!(
        (late.became, late.state),
        (Became::Refused, Some(State::Accepted))
    );
    assert!(queue.load(TENANT, None, 10).await.unwrap().is_empty());
}

/// As the queue's own call, in a transaction that the test ends.
async fn end_in(connection: &mut PgConnection, it: &Ended) {
    sqlx::query(
        "select ficus.end_attempts(s.engine_id, array[$1], array[$2::smallint], array[$3::bigint], array[s.epoch], array[null::smallint],
                                   array[$4], array['250'], array[null], array[null::timestamptz], array[null::smallint])
         from ficus.shard as s where s.id = $3 % 64",
    )
    .bind(it.id.0)
    .bind(it.number)
    .bind(it.tenant.0)
    .bind(it.end.as_str())
    .execute(connection)
    .await
    .unwrap();
}

/// An engine is writing an attempt down while the hold comes: it is one of those that are under way, and the next one is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_waits_for_what_is_beginning_counts_it_and_lets_nothing_more_begin() {
    let database = Database::new().await;
    let pool = database.pool();
    accept(pool, TENANT, 2).await;
    let (queue, epoch) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    let mut engine = pool.begin().await.unwrap();
    sqlx::query(
        "select ficus.begin_attempts(s.engine_id, array[$1], array[1::smallint], array[7::bigint], array[null::bigint], array[s.epoch], array['sandbox'])
         from ficus.shard as s where s.id = 7",
    )
    .bind(due[0].id.0)
    .execute(&mut *engine)
    .await
    .unwrap();

    let operator = tokio::spawn({
        let pool = pool.clone();
        async move {
            let mut connection = pool.acquire().await.unwrap();
            operations::hold(&mut connection, TENANT, None, BY)
                .await
                .unwrap()
        }
    });
    somebody_waits(pool).await;
    engine.commit().await.unwrap();

    assert!(operator.await.unwrap().0);
    let begun = queue.begin(&[begin(&due[1], epoch)]).await.unwrap();
    assert!(begun.is_empty(), "nothing more begins");
    let seen = operations::under_way(pool, TENANT, None).await.unwrap();
    assert_eq!((seen.attempts, seen.whole), (1, true));
    queue
        .end(&[ended(&due[0], epoch, End::Accepted)])
        .await
        .unwrap();
    let seen = operations::under_way(pool, TENANT, None).await.unwrap();
    assert_eq!(seen.attempts, 0);

    let mut connection = pool.acquire().await.unwrap();
    let (changed, hold) = operations::hold(&mut connection, TENANT, None, BY)
        .await
        .unwrap();
    assert!(
        !changed && hold.reason == "INC-42",
        "held already is no error"
    );
    let released = operations::release(&mut connection, TENANT, None, BY).await;
    assert!(released.unwrap());
    assert_eq!(
        queue.begin(&[begin(&due[1], epoch)]).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_campaign_is_held_by_itself_and_only_its_attempts_are_counted() {
    let database = Database::new().await;
    let pool = database.pool();
    let mut both = vec![message(TENANT, "one"), message(TENANT, "other")];
    both[0].campaign = Some(21);
    submitter(pool).submit(both).await.unwrap();
    let (queue, epoch) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    let attempts: Vec<_> = due.iter().map(|it| begin(it, epoch)).collect();
    queue.begin(&attempts).await.unwrap();

    for (campaign, expected) in [(None, 2), (Some(21), 1), (Some(22), 0)] {
        let seen = operations::under_way(pool, TENANT, campaign).await.unwrap();
        assert_eq!(seen.attempts, expected, "{campaign:?}");
    }
}

#[tokio::test]
async fn the_depth_of_the_queue_is_told_by_channel_without_what_waits_for_its_time() {
    let database = Database::new().await;
    let pool = database.pool();
    accept(pool, TENANT, 20).await;
    let mut rest = vec![message(TENANT, "sms"), message(TENANT, "then")];
    rest[0].channel = ficus::engine::message::Channel::Sms;
    rest[1].due_at = DateTime::from_timestamp(Utc::now().timestamp() + 3600, 0);
    submitter(pool).submit(rest).await.unwrap();

    let depth: Vec<(String, i64)> =
        sqlx::query_as("select channel, messages from ficus.queue_depth() order by 1")
            .fetch_all(pool)
            .await
            .unwrap();

    assert_eq!(depth, [("email".to_owned(), 20), ("sms".to_owned(), 1)]);
}

#[tokio::test]
async fn the_trace_is_written_once_and_the_application_writes_it_by_the_functions_alone() {
    let database = Database::new().await;
    let pool = database.pool();
    let (.., due) = ended_as(pool, End::Dead).await;
    let mut app = pool.acquire().await.unwrap();
    sqlx::query("set role ficus_app")
        .execute(&mut *app)
        .await
        .unwrap();
    let done = operations::retry(&mut app, &[due.id.0], BY).await.unwrap();
    assert_eq!(done[0].became, Became::Due);
    for sql in [
        "insert into ficus.hold values (7, 0, 'x')",
        "update ficus.attempt_end set state = 'accepted'",
        "insert into ficus.message_operation (operation, tenant_id, actor, source, reason) values ('hold', 1, 'x', 'x', 'x')",
    ] {
        let refused = sqlx::query(sql).execute(&mut *app).await.unwrap_err();
        assert!(
            refused.to_string().contains("permission denied"),
            "{sql}: {refused}"
        );
    }
    for sql in [
        "update ficus.message_operation set reason = 'y'",
        "delete from ficus.message_operation",
        "truncate ficus.message_operation",
    ] {
        let refused = sqlx::query(sql).execute(pool).await.unwrap_err();
        assert!(
            refused.to_string().contains("append-only"),
            "{sql}: {refused}"
        );
    }
}
