//! A queue as it is usually written: one table of jobs, inserted in batches, claimed with SKIP LOCKED, marked as done.
//!
//! Its own file, because it is what the engine is held against: two who insert and two who work, each in batches of the same size.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::task::JoinSet;

const SCHEMA: &str = "
    create table public.job (
        id bigint generated always as identity primary key, tenant_id bigint not null, key text not null, payload text not null,
        status smallint not null default 0, run_at timestamptz not null default now(), locked_until timestamptz, unique (tenant_id, key)
    );
    create index job_open_idx on public.job (run_at, id) where status = 0";
const INSERT: &str = "
    insert into public.job (tenant_id, key, payload) select * from unnest($1::bigint[], $2::text[], $3::text[])
    on conflict (tenant_id, key) do nothing";
const CLAIM: &str = "
    update public.job as j set status = 1, locked_until = now() + interval '30 seconds' from (
        select o.id from public.job as o where o.status = 0 and o.run_at <= now() order by o.run_at, o.id limit $1 for update skip locked
    ) as c where j.id = c.id returning j.id, j.payload";
const DONE: &str = "update public.job set status = 2, locked_until = null where id = any ($1)";

/// How long so many take to be inserted; and as many more, to be inserted, claimed and done.
pub async fn run(pool: &PgPool, jobs: u64, batch: u64, body: usize) -> (Duration, Duration) {
    sqlx::raw_sql(SCHEMA).execute(pool).await.expect("a table");
    let begun = Instant::now();
    insert(pool, "a", jobs, batch, body).join_all().await;
    let inserted = begun.elapsed();
    sqlx::raw_sql("update public.job set status = 2; analyze public.job")
        .execute(pool)
        .await
        .expect("done");

    let begun = Instant::now();
    let mut tasks = insert(pool, "b", jobs, batch, body);
    for _ in 0..2 {
        let pool = pool.clone();
        tasks.spawn(async move {
            loop {
                let claimed: Vec<(i64, String)> = sqlx::query_as(CLAIM)
                    .bind(i64::try_from(batch).expect("small"))
                    .fetch_all(&pool)
                    .await
                    .expect("a claim");
                let ids: Vec<i64> = claimed.iter().map(|it| it.0).collect();
                let done = sqlx::query(DONE).bind(&ids).execute(&pool).await;
                done.expect("done");
                if ids.is_empty() && done_of(&pool).await == 2 * jobs {
                    return;
                }
            }
        });
    }
    tasks.join_all().await;
    (inserted, begun.elapsed())
}

async fn done_of(pool: &PgPool) -> u64 {
    let done: i64 = sqlx::query_scalar("select count(*) from public.job where status = 2")
        .fetch_one(pool)
        .await
        .expect("a count");
    u64::try_from(done).expect("no fewer than none")
}

fn insert(pool: &PgPool, of: &'static str, jobs: u64, batch: u64, body: usize) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for half in 0..2 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let size = usize::try_from(batch).expect("small");
            let payloads = vec!["x".repeat(body); size];
            for n in (half..jobs / batch).step_by(2) {
                let tenants = vec![i64::try_from(1 + n % 500).expect("small"); size];
                let keys: Vec<String> = (0..batch).map(|k| format!("{of}-{n}-{k}")).collect();
                let done = sqlx::query(INSERT)
                    .bind(tenants)
                    .bind(keys)
                    .bind(&payloads)
                    .execute(&pool)
                    .await;
                done.expect("inserted");
            }
        });
    }
    tasks
}
