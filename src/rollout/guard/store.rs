//! The guard's statements: new counts, what stands about the tenants that fail, verdicts, and the daily sums.
//!
//! Its own file, because it owns `ficus.report`, `bucket`, `outcome`, `verdict` and `traffic` on the reading side.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::memory::Bucket;
use super::series::{Bin, horizon};
use super::verdict::Verdict;
use crate::rollout::outcomes::{Asked, BUCKET, Cell};

/// Days of `ficus.traffic`: four weeks of Mondays, and some.
const TRAFFIC_DAYS: i32 = 35;
/// A report may become visible this much later than it says: it commits after it has taken its time.
const LATE: Duration = Duration::from_secs(20);

/// The running bucket by the database's clock.
pub async fn now(db: &mut PgConnection) -> Result<Bin, sqlx::Error> {
    let seconds: i64 =
        sqlx::query_scalar("select floor(extract(epoch from clock_timestamp()))::bigint")
            .fetch_one(db)
            .await?;
    Ok(seconds / BUCKET.as_secs() as i64)
}

/// The first second of a bucket.
pub fn begin_of(bin: Bin) -> DateTime<Utc> {
    DateTime::from_timestamp(bin * BUCKET.as_secs() as i64, 0).unwrap_or_default()
}

/// A report: whose, and of which bucket.
pub type Report = (Uuid, i64);

/// The reports since `since` that are not among `known`.
pub async fn new_reports(
    db: &mut PgConnection,
    since: DateTime<Utc>,
    known: &HashMap<Report, Bin>,
) -> Result<Vec<(Report, Bin)>, sqlx::Error> {
    let rows: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "select process, number, floor(extract(epoch from at))::bigint from ficus.report where shipped_at > $1",
    )
    .bind(since - LATE)
    .fetch_all(db)
    .await?;
    let bin = |seconds: i64| seconds / BUCKET.as_secs() as i64;
    Ok(rows
        .into_iter()
        .map(|(process, number, at)| ((process, number), bin(at)))
        .filter(|(report, _)| !known.contains_key(report))
        .collect())
}

type BucketRow = (i64, String, String, i64, i64, i64, i64, i64, Vec<i64>);

/// Gives every row of these reports to `take`.
pub async fn buckets(
    db: &mut PgConnection,
    reports: &[(Report, Bin)],
    mut take: impl FnMut(Bucket),
) -> Result<(), sqlx::Error> {
    let processes: Vec<Uuid> = reports.iter().map(|((process, _), _)| *process).collect();
    let numbers: Vec<i64> = reports.iter().map(|((_, number), _)| *number).collect();
    let query = sqlx::query_as(
        "select floor(extract(epoch from b.at))::bigint, b.capability, b.side, b.tenant_id,
                b.requests, b.errors, b.connect_failures, b.misses, b.latency
         from unnest($1::uuid[], $2::bigint[]) as r (process, number)
         join ficus.bucket as b on b.process = r.process and b.number = r.number",
    )
    .bind(processes)
    .bind(numbers);
    let mut rows = query.fetch(db);
    while let Some(row) = rows.try_next().await? {
        take(bucket(row));
    }
    Ok(())
}

fn bucket(row: BucketRow) -> Bucket {
    let (seconds, capability, side, tenant, requests, errors, connect_failures, misses, cells) =
        row;
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let mut cell = Cell {
        requests: count(requests),
        errors: count(errors),
        connect_failures: count(connect_failures),
        misses: count(misses),
        ..Cell::default()
    };
    for (place, n) in cell.latency.iter_mut().zip(cells) {
        *place = count(n);
    }
    Bucket {
        at: seconds / BUCKET.as_secs() as i64,
        capability,
        side: Asked::parse(&side).unwrap_or(Asked::Legacy),
        tenant,
        cell,
    }
}

/// One bucket of what the modern side reported.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRow {
    pub at: Bin,
    pub capability: String,
    pub kind: String,
    pub tenant: i64,
    pub good: u64,
    pub bad: u64,
}

/// What was reported since, each bucket whole.
pub async fn outcomes(
    db: &mut PgConnection,
    since: DateTime<Utc>,
) -> Result<Vec<OutcomeRow>, sqlx::Error> {
    let rows: Vec<(i64, String, String, i64, i64, i64)> = sqlx::query_as(
        "select floor(extract(epoch from at))::bigint, capability, kind, tenant_id, good, bad
         from ficus.outcome where at > $1 - interval '10 seconds'",
    )
    .bind(since - LATE)
    .fetch_all(db)
    .await?;
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(rows
        .into_iter()
        .map(
            |(seconds, capability, kind, tenant, good, bad)| OutcomeRow {
                at: seconds / BUCKET.as_secs() as i64,
                capability,
                kind,
                tenant,
                good: count(good),
                bad: count(bad),
            },
        )
        .collect())
}

/// Proxies that live and have told nothing for 40 s: names, for the alert.
pub async fn silent_proxies(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select i.name from ficus.instance as i
         where 'proxy' = any (i.roles) and i.stopped_at is null
           and i.heartbeat_at > clock_timestamp() - interval '10 seconds'
           and i.started_at < clock_timestamp() - interval '40 seconds'
           and not exists (select from ficus.report as r
                           where r.instance = i.id and r.shipped_at > clock_timestamp() - interval '40 seconds')
         order by i.name",
    )
    .fetch_all(db)
    .await
}

/// Whether any proxy lives.
pub async fn has_proxies(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from ficus.instance where 'proxy' = any (roles) and stopped_at is null
                        and heartbeat_at > clock_timestamp() - interval '10 seconds')",
    )
    .fetch_one(db)
    .await
}

/// A change that begins a new time for the guard: its own rollbacks, and everybody's overrides.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub revision: i64,
    pub at: Bin,
    pub by_guard: bool,
    pub entity: String,
    pub capability: Option<String>,
    pub tenant: Option<i64>,
}

/// The revision before the changes of the last half hour, or longer if the cool-down is.
pub async fn revision_before(
    db: &mut PgConnection,
    cool_down: Duration,
) -> Result<i64, sqlx::Error> {
    let seconds = cool_down.max(BUCKET * horizon() as u32).as_secs_f64();
    sqlx::query_scalar(
        "select coalesce((select min(c.revision) - 1 from ficus.change as c where c.at > clock_timestamp() - $1 * interval '1 second'),
                         (select k.revision from ficus.clock as k))",
    )
    .bind(seconds)
    .fetch_one(db)
    .await
}

type MarkRow = (i64, i64, bool, String, Option<String>, Option<i64>);

/// The newest revision, and the marks after `since`.
pub async fn marks(db: &mut PgConnection, since: i64) -> Result<(i64, Vec<Mark>), sqlx::Error> {
    let newest: i64 = sqlx::query_scalar("select revision from ficus.clock")
        .fetch_one(&mut *db)
        .await?;
    let rows: Vec<MarkRow> = sqlx::query_as(
        "select c.revision, floor(extract(epoch from c.at))::bigint, c.source = 'guard', i.entity, i.capability, i.tenant_id
         from ficus.change as c join ficus.change_item as i on i.revision = c.revision
         where c.revision > $1 and c.revision <= $2 and (c.source = 'guard' or i.entity = 'override')",
    )
    .bind(since)
    .bind(newest)
    .fetch_all(db)
    .await?;
    let marks = rows
        .into_iter()
        .map(
            |(revision, seconds, by_guard, entity, capability, tenant)| Mark {
                revision,
                at: seconds / BUCKET.as_secs() as i64,
                by_guard,
                entity,
                capability,
                tenant,
            },
        )
        .collect();
    Ok((newest, marks))
}

/// Of these tenants those that a flag of their own or a split has on the modern side: with the bucket since which a flag
/// does, and the wave that moved them, unless it was aborted.
pub async fn on_modern(
    db: &mut PgConnection,
    capability: &str,
    tenants: &[i64],
) -> Result<Vec<(i64, Bin, Option<String>)>, sqlx::Error> {
    let rows: Vec<(i64, i64, Option<String>)> = sqlx::query_as(
        "select f.tenant_id, floor(extract(epoch from f.changed_at))::bigint,
                (select w.name from ficus.wave_member as m join ficus.wave as w on w.id = m.wave_id
                 where m.tenant_id = f.tenant_id and m.capability = f.capability and m.moved_revision is not null
                   and w.state in ('running', 'paused', 'held', 'complete')
                 order by m.moved_revision desc limit 1)
         from ficus.flag as f
         where f.capability = $1 and f.tenant_id = any ($2) and f.state = 'modern'
         union all
         select t.id, 0::bigint, null from unnest($2::bigint[]) as t (id) join ficus.split as s on s.capability = $1 and s.percent > 0
         where not exists (select from ficus.flag as f where f.tenant_id = t.id and f.capability = $1)",
    )
    .bind(capability)
    .bind(tenants)
    .fetch_all(db)
    .await?;
    let bin = |seconds: i64| seconds / BUCKET.as_secs() as i64;
    Ok(rows.into_iter().map(|(t, s, w)| (t, bin(s), w)).collect())
}

/// Of these tenants, whom the guard has taken back one by one: how many each wave had moved.
pub async fn taken_back(
    db: &mut PgConnection,
    capability: &str,
    tenants: &[i64],
) -> Result<BTreeMap<String, usize>, sqlx::Error> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select w.name, count(*) from ficus.wave_member as m join ficus.wave as w on w.id = m.wave_id
         where m.capability = $1 and m.tenant_id = any ($2) and m.moved_revision is not null and w.state <> 'aborted'
         group by w.name",
    )
    .bind(capability)
    .bind(tenants)
    .fetch_all(db)
    .await?;
    let counts = rows.into_iter();
    Ok(counts
        .map(|(wave, count)| (wave, usize::try_from(count).unwrap_or(0)))
        .collect())
}

/// The capabilities that are registered, and whether each is forced to legacy.
pub async fn capabilities(db: &mut PgConnection) -> Result<BTreeMap<String, bool>, sqlx::Error> {
    let rows: Vec<(String, bool)> = sqlx::query_as(
        "select c.name, exists (select from ficus.override as o where o.action = 'force-legacy'
                                and (o.capability is null or o.capability = c.name))
         from ficus.capability as c",
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().collect())
}

/// One row of `ficus.verdict`.
pub struct VerdictRow {
    pub capability: String,
    pub tenant: Option<i64>,
    pub verdict: Verdict,
    pub evidence: Value,
}

/// Puts these in the place of the ones before, and forgets tenants' failures of a day ago.
pub async fn put_verdicts(db: &mut PgConnection, rows: &[VerdictRow]) -> Result<(), sqlx::Error> {
    let texts = |of: fn(&VerdictRow) -> String| rows.iter().map(of).collect::<Vec<_>>();
    let tenants: Vec<Option<i64>> = rows.iter().map(|row| row.tenant).collect();
    let evidence: Vec<Value> = rows.iter().map(|row| row.evidence.clone()).collect();
    sqlx::query(
        "insert into ficus.verdict (capability, tenant_id, at, verdict, evidence)
         select v.capability, v.tenant_id, clock_timestamp(), v.verdict, v.evidence
         from unnest($1::text[], $2::bigint[], $3::text[], $4::jsonb[]) as v (capability, tenant_id, verdict, evidence)
         on conflict on constraint verdict_scope_key do update set at = excluded.at, verdict = excluded.verdict, evidence = excluded.evidence",
    )
    .bind(texts(|row| row.capability.clone()))
    .bind(tenants)
    .bind(texts(|row| row.verdict.as_str().to_owned()))
    .bind(evidence)
    .execute(&mut *db)
    .await?;
    sqlx::query("delete from ficus.verdict where tenant_id is not null and at < clock_timestamp() - interval '1 day'")
        .execute(db)
        .await
        .map(|_| ())
}

/// Adds what was counted to the sums of the day, each report once.
pub async fn roll_up(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "with taken as (
             update ficus.report set rolled = true
             where not rolled and at < clock_timestamp() - interval '30 seconds'
             returning process, number
         )
         insert into ficus.traffic as t (day, tenant_id, capability, side, requests, errors)
         select (b.at at time zone 'UTC')::date, b.tenant_id, b.capability, b.side, sum(b.requests), sum(b.errors)
         from taken join ficus.bucket as b on b.process = taken.process and b.number = taken.number
         group by 1, 2, 3, 4
         on conflict on constraint traffic_pkey do update
             set requests = t.requests + excluded.requests, errors = t.errors + excluded.errors",
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets what nobody looks at any more; never a report that is not in the sums yet.
pub async fn forget(pool: &PgPool, keep: Duration) -> Result<(), sqlx::Error> {
    let seconds = keep.as_secs_f64();
    for statement in [
        "delete from ficus.bucket as b using ficus.report as r
         where b.at < clock_timestamp() - $1 * interval '1 second' and r.process = b.process and r.number = b.number and r.rolled",
        "delete from ficus.report where rolled and at < clock_timestamp() - $1 * interval '1 second'",
        "delete from ficus.outcome where at < clock_timestamp() - $1 * interval '1 second'",
    ] {
        sqlx::query(statement).bind(seconds).execute(pool).await?;
    }
    sqlx::query("delete from ficus.traffic where day < current_date - $1")
        .bind(TRAFFIC_DAYS)
        .execute(pool)
        .await
        .map(|_| ())
}

/// Reports that are known, by the bucket that they are of.
pub type Known = HashMap<Report, Bin>;
