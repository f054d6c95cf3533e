//! What a proxy reports of itself, and what `ficus rollback` makes of it.

use super::*;
use crate::support::Database;

async fn roll_back(database: &Database) -> Said {
    let arguments = [
        "rollback",
        "--tenant",
        "2",
        "--reason",
        "INC-42",
        "--direct",
        "--timeout",
        "2s",
    ];
    run_ficus(&arguments, &[("DATABASE_URL", database.url())]).await
}

#[tokio::test]
async fn a_proxy_reports_its_revision_its_life_and_its_end() {
    let database = Database::new().await;
    let pool = database.pool();
    seed(pool).await;
    let mut ficus = Setup::new(database.url(), &sides().await)
        .name("a")
        .start()
        .await;
    set(pool, 3, "modern").await;
    eventually("the revision is reported", || async {
        sqlx::query_scalar::<_, bool>(
            "select applied_revision = revision and applied_at > changed_at
             from ficus.instance, (select max(revision) as revision, max(at) as changed_at from ficus.change) as newest
             where name = 'a' and roles = '{proxy}' and stopped_at is null",
        )
        .fetch_one(pool)
        .await
        .expect("one instance")
        .then_some(())
    })
    .await;
    let heartbeat = "select heartbeat_at::text from ficus.instance";
    let before: String = sqlx::query_scalar(heartbeat)
        .fetch_one(pool)
        .await
        .expect("a heartbeat");
    eventually("the heart beats", || async {
        let now: String = sqlx::query_scalar(heartbeat)
            .fetch_one(pool)
            .await
            .expect("a heartbeat");
        (now > before).then_some(())
    })
    .await;

    ficus.signal("TERM");
    assert_eq!(ficus.wait().await, Some(0));
    let stopped: bool = sqlx::query_scalar("select stopped_at is not null from ficus.instance")
        .fetch_one(pool)
        .await
        .expect("one instance");
    assert!(stopped);
}

#[tokio::test]
async fn a_rollback_is_confirmed_by_every_live_proxy() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let fleet = two_proxies(database.url(), &sides().await).await;
    let said = roll_back(&database).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("confirmed on 2/2 proxies"), "{said:?}");
    for ficus in &fleet {
        assert_eq!(served(ficus, "2").await, "legacy", "confirmed is in force");
    }
}

#[tokio::test]
async fn a_proxy_that_hangs_leaves_a_rollback_unconfirmed_and_is_named() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let [a, b] = two_proxies(database.url(), &sides().await).await;
    b.signal("STOP");
    let said = roll_back(&database).await;
    b.signal("CONT");
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.err.contains("b lags"), "{said:?}");
    assert_eq!(served(&a, "2").await, "legacy", "the other one went back");
    until_served(&b, "2", "legacy").await;
}

#[tokio::test]
async fn a_proxy_that_died_is_named_and_not_waited_for() {
    let database = Database::new().await;
    let pool = database.pool();
    seed(pool).await;
    let [a, mut b] = two_proxies(database.url(), &sides().await).await;
    b.signal("KILL");
    b.wait().await;
    run(
        pool,
        "update ficus.instance set heartbeat_at = heartbeat_at - interval '11 s' where name = 'b'",
    )
    .await;
    let said = roll_back(&database).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("confirmed on 1/1 proxies"), "{said:?}");
    assert!(said.err.contains("b is dead"), "{said:?}");
    assert_eq!(served(&a, "2").await, "legacy");
}
