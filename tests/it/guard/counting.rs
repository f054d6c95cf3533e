//! What is counted, in the database: once, whatever is sent twice, and summed up by day.
//!
//! Its own file: it needs no process.

use std::time::Duration;

use ficus::rollout::guard::{Verdict, newest_verdict, store};
use ficus::rollout::outcomes::{
    Asked, CapabilityId, Cell, Ending, Key, Reported, Shipper, Told, report_outcomes, ship,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::Database;

fn told(number: i64, ending: Ending) -> Told {
    let key = Key {
        capability: CapabilityId::of("dashboard").unwrap(),
        side: Asked::Modern,
        tenant: 7,
    };
    let mut cell = Cell::default();
    cell.count(ending, Duration::from_millis(40));
    Told {
        number,
        cells: [(key, cell)].into(),
    }
}

fn shipper() -> Shipper {
    Shipper {
        process: Uuid::new_v4(),
        instance: Uuid::new_v4(),
    }
}

async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

const AGE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_bucket_that_is_sent_twice_counts_once() {
    let db = Database::new().await;
    let (from, told) = (shipper(), told(5, Ending::Failed));
    for _ in 0..2 {
        ship(db.pool(), from, &told, AGE, 0).await.unwrap();
    }
    let sum = "select sum(errors)::bigint from ficus.bucket where tenant_id = 7 and latency[5] = 1";
    assert_eq!(number(db.pool(), sum).await, 1);
}

#[tokio::test]
async fn a_bucket_without_requests_is_told_as_well() {
    let db = Database::new().await;
    let idle = Told {
        number: 5,
        ..Told::default()
    };
    ship(db.pool(), shipper(), &idle, AGE, 2).await.unwrap();
    assert_eq!(
        number(db.pool(), "select sum(lost)::bigint from ficus.report").await,
        2
    );
}

#[tokio::test]
async fn the_sums_of_the_day_take_each_bucket_once_and_outlive_it() {
    let db = Database::new().await;
    let from = shipper();
    for bucket in 1..=3 {
        let age = AGE + Duration::from_secs(10) * (3 - bucket as u32);
        ship(db.pool(), from, &told(bucket, Ending::Answered), age, 0)
            .await
            .unwrap();
        store::roll_up(db.pool()).await.unwrap();
    }
    store::roll_up(db.pool()).await.unwrap();
    store::forget(db.pool(), Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(
        number(db.pool(), "select sum(requests)::bigint from ficus.traffic").await,
        3
    );
    assert_eq!(
        number(db.pool(), "select count(*) from ficus.bucket").await,
        0
    );
}

#[tokio::test]
async fn what_is_not_in_the_sums_yet_is_not_forgotten() {
    let db = Database::new().await;
    ship(db.pool(), shipper(), &told(1, Ending::Answered), AGE, 0)
        .await
        .unwrap();
    store::forget(db.pool(), Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(
        number(db.pool(), "select count(*) from ficus.bucket").await,
        1
    );
}

#[tokio::test]
async fn outcomes_of_one_bucket_add_up() {
    let db = Database::new().await;
    let sent = |good, bad| Reported {
        capability: "messaging".to_owned(),
        tenant: Some(7),
        kind: "send".to_owned(),
        good,
        bad,
    };
    for (good, bad) in [(10, 1), (5, 0)] {
        report_outcomes(db.pool(), &[sent(good, bad)])
            .await
            .unwrap();
    }
    assert_eq!(
        number(db.pool(), "select sum(good)::bigint from ficus.outcome").await,
        15
    );
    assert_eq!(
        number(db.pool(), "select sum(bad)::bigint from ficus.outcome").await,
        1
    );
}

#[tokio::test]
async fn an_old_verdict_is_no_data_for_nobody_judges() {
    let db = Database::new().await;
    let newest = async || newest_verdict(db.pool(), "dashboard").await.unwrap();
    assert_eq!(newest().await.verdict, Verdict::NoData, "never judged");
    let put = "insert into ficus.verdict (capability, at, verdict, evidence) values ('dashboard', clock_timestamp(), 'pass', '{}')";
    sqlx::query(put).execute(db.pool()).await.unwrap();
    assert_eq!(newest().await.verdict, Verdict::Pass);
    let age = "update ficus.verdict set at = at - interval '2 minutes'";
    sqlx::query(age).execute(db.pool()).await.unwrap();
    assert_eq!(newest().await.verdict, Verdict::NoData);
}
