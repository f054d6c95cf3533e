//! The rings of what is due, and the days of history: what is over leaves nothing behind, and nothing else goes with it.
//!
//! Its own file, because truncating and dropping are the two operations by which a mistake would lose messages.

use ficus::engine::message::End;
use ficus::engine::queue::{Begin, Ended, Queue};

use super::{TENANT, accept, begin, count, ended, engine};
use crate::support::Database;

/// A long report, a dump, an idle session: rows that are dead stay as long as its snapshot does. Those of the queue do not.
#[tokio::test]
async fn the_queues_dead_rows_go_although_somebody_holds_an_old_snapshot() {
    let database = Database::new().await;
    let pool = database.pool();
    let mut reader = pool.acquire().await.unwrap();
    sqlx::query("begin isolation level repeatable read")
        .execute(&mut *reader)
        .await
        .unwrap();
    sqlx::query("select count(*) from ficus.tenant")
        .execute(&mut *reader)
        .await
        .unwrap();
    accept(pool, TENANT, 1_000).await;
    let (queue, epoch) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 2_000).await.unwrap();
    let attempts: Vec<Begin> = due.iter().map(|it| begin(it, epoch)).collect();
    queue.begin(&attempts).await.unwrap();
    let ends: Vec<Ended> = due
        .iter()
        .map(|it| ended(it, epoch, End::Accepted))
        .collect();
    queue.end(&ends).await.unwrap();
    let size = "select sum(pg_relation_size(inhrelid))::bigint from pg_inherits where inhparent = 'ficus.due'::regclass";
    assert!(count(pool, size).await > 0);

    // All the way round: the ring that was written is written again.
    for _ in 0..8 {
        let turned: bool = sqlx::query_scalar("select ficus.turn_ring()")
            .fetch_one(pool)
            .await
            .unwrap();
        assert!(turned);
    }

    assert_eq!(count(pool, size).await, 0);
}

#[tokio::test]
async fn a_ring_with_a_message_in_it_is_not_written_again() {
    let database = Database::new().await;
    let pool = database.pool();
    let accepted = accept(pool, TENANT, 1).await;
    for turn in 0..8 {
        let turned: bool = sqlx::query_scalar("select ficus.turn_ring()")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(turned, turn < 7, "turn {turn}");
    }
    let (queue, _) = engine(pool, "one").await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    assert_eq!(due[0].id, accepted[0]);
}

/// Also an accepting transaction that has not committed yet.
#[tokio::test]
async fn a_ring_that_is_being_written_is_not_written_anew() {
    let database = Database::new().await;
    let pool = database.pool();
    let mut writer = pool.begin().await.unwrap();
    sqlx::query("insert into ficus.due select current, 7, 7, gen_random_uuid() from ficus.ring")
        .execute(&mut *writer)
        .await
        .unwrap();
    let mut turned = 0;
    for _ in 0..8 {
        turned += i32::from(
            sqlx::query_scalar::<_, bool>("select ficus.turn_ring()")
                .fetch_one(pool)
                .await
                .unwrap(),
        );
    }
    assert_eq!(turned, 7);
    writer.commit().await.unwrap();
    assert_eq!(count(pool, "select count(*) from ficus.due").await, 1);
}

#[tokio::test]
async fn the_days_of_history_are_made_ahead_and_dropped_when_they_are_old() {
    let database = Database::new().await;
    let pool = database.pool();
    accept(pool, TENANT, 1).await;
    let other = "select (select count(*) from ficus.message_other) + (select count(*) from ficus.event_other)";
    assert_eq!(count(pool, other).await, 0, "today has a partition");
    let days = "select count(*) from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
                where c.relnamespace = 'ficus'::regnamespace and c.relkind = 'r' and c.relname ~ '_[0-9]{8}$'";
    let tables =
        "select count(*) from pg_partitioned_table as p join pg_class as c on c.oid = p.partrelid
                  where c.relnamespace = 'ficus'::regnamespace and p.partstrat = 'r'";
    assert_eq!(
        count(pool, days).await,
        9 * count(pool, tables).await,
        "from yesterday on"
    );
    sqlx::query("select ficus.keep_days(7, -9)")
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(count(pool, days).await, 0, "only the default ones are left");
}
