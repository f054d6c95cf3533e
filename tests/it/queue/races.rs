//! Statements that meet others in the middle: what a reader saw of one moment, and lists of which a part was done before.
//!
//! Its own file, because each of these would send twice, and none shows when statements come one after the other.

use chrono::{TimeDelta, Utc};
use ficus::engine::message::End;
use ficus::engine::queue::{Begin, Ended, Queue};

use super::{TENANT, accept, begin, count, ended, engine};
use crate::support::Database;
use crate::support::process::eventually;

const WAITS: &str = "select count(*) from pg_locks where not granted and relation in (select inhrelid from pg_inherits where inhparent = 'ficus.message'::regclass union select 'ficus.message'::regclass)";

#[tokio::test]
async fn a_reader_sees_what_is_due_and_what_was_tried_of_one_moment() {
    let database = Database::new().await;
    let pool = database.pool();
    accept(pool, TENANT, 1).await;
    let (queue, epoch) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    let mut holding = pool.begin().await.unwrap();
    sqlx::raw_sql("lock table ficus.message in access exclusive mode")
        .execute(&mut *holding)
        .await
        .unwrap();

    // It has read what is due, and waits for the message.
    let (again, ()) = tokio::join!(queue.load(TENANT, None, 10), async {
        eventually("the reader waits", || async {
            (count(pool, WAITS).await > 0).then_some(())
        })
        .await;
        queue.begin(&[begin(&due[0], epoch)]).await.unwrap();
        let end = ended(&due[0], epoch, End::Accepted);
        assert!(queue.end(&[end]).await.unwrap().is_empty());
        holding.rollback().await.unwrap();
    });

    let again = again.unwrap();
    assert_eq!((again[0].id, again[0].begun), (due[0].id, 0));
    let begun = queue.begin(&[begin(&again[0], epoch)]).await.unwrap();
    assert!(begun.is_empty(), "its number is taken");
}

#[tokio::test]
async fn of_a_list_in_which_one_was_begun_before_the_others_begin() {
    let database = Database::new().await;
    let pool = database.pool();
    accept(pool, TENANT, 3).await;
    let (queue, epoch) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    let attempts: Vec<Begin> = due.iter().map(|it| begin(it, epoch)).collect();
    queue.begin(&attempts[1..2]).await.unwrap();

    let begun = queue.begin(&attempts).await.unwrap();

    assert_eq!(begun, [due[0].id, due[2].id].into());
}

#[tokio::test]
async fn of_a_list_in_which_one_had_ended_before_its_first_end_stays_and_each_is_told_once() {
    let database = Database::new().await;
    let pool = database.pool();
    accept(pool, TENANT, 3).await;
    let (queue, epoch) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    let attempts: Vec<Begin> = due.iter().map(|it| begin(it, epoch)).collect();
    queue.begin(&attempts).await.unwrap();
    let later = Utc::now() + TimeDelta::hours(1);
    let first = Ended {
        again: Some((later, 1)),
        ..ended(&due[1], epoch, End::Deferred)
    };
    queue.end(&[first]).await.unwrap();

    // Each is told of twice in one list, too.
    let all: Vec<Ended> = due
        .iter()
        .chain(&due)
        .map(|it| ended(it, epoch, End::Accepted))
        .collect();
    assert!(queue.end(&all).await.unwrap().is_empty());
    assert!(queue.end(&all).await.unwrap().is_empty(), "repeatable");

    let accepted = "select count(*) from ficus.attempt_end where state = 'accepted'";
    assert_eq!(count(pool, accepted).await, 2);
    assert_eq!(count(pool, "select count(*) from ficus.later").await, 1);
    let told = "select sum(messages) from ficus.event where state in ('accepted', 'deferred')";
    assert_eq!(count(pool, told).await, 3);
}
