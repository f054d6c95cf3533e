//! The statements: a bucket goes in, and what the modern side reports of itself.
//!
//! Its own file, because here the counts meet SQL.

use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::{CELLS, Told};
use crate::rollout::transaction::within;

/// One statement for the whole bucket. The same bucket twice, after an answer that was lost, is one: the second finds
/// its report and adds nothing.
const SHIP: &str = "
    with told as (
        insert into ficus.report (process, instance, number, at, lost)
        values ($1, $13, $2, date_bin('10 seconds', clock_timestamp() - $3 * interval '1 millisecond', 'epoch'), $4)
        on conflict on constraint report_pkey do nothing
        returning at
    )
    insert into ficus.bucket (process, number, at, capability, side, tenant_id, requests, errors, connect_failures, misses, latency)
    select $1, $2, told.at, c.capability, c.side, c.tenant_id, c.requests, c.errors, c.connect_failures, c.misses, c.latency::bigint[]
    from told cross join unnest($5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[])
        as c (capability, side, tenant_id, requests, errors, connect_failures, misses, latency)";

/// Who counted.
#[derive(Clone, Copy, Debug)]
pub struct Shipper {
    /// Another one at each start.
    pub process: Uuid,
    pub instance: Uuid,
}

/// Sends one bucket that began `age` ago. `lost`: buckets that were given up before it.
pub async fn ship(
    pool: &PgPool,
    from: Shipper,
    told: &Told,
    age: Duration,
    lost: u32,
) -> Result<(), sqlx::Error> {
    let count = told.cells.len();
    let (mut capabilities, mut sides) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut numbers: [Vec<i64>; 5] = std::array::from_fn(|_| Vec::with_capacity(count));
    let mut latencies = Vec::with_capacity(count);
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    for (key, cell) in &told.cells {
        capabilities.push(key.capability.name());
        sides.push(key.side.as_str());
        let row = [
            key.tenant,
            whole(cell.requests),
            whole(cell.errors),
            whole(cell.connect_failures),
            whole(cell.misses),
        ];
        for (column, value) in numbers.iter_mut().zip(row) {
            column.push(value);
        }
        latencies.push(array(&cell.latency));
    }
    let [tenants, requests, errors, connect_failures, misses] = numbers;
    sqlx::query(SHIP)
        .bind(from.process)
        .bind(told.number)
        .bind(age.as_millis() as f64)
        .bind(i32::try_from(lost).unwrap_or(i32::MAX))
        .bind(capabilities)
        .bind(sides)
        .bind(tenants)
        .bind(requests)
        .bind(errors)
        .bind(connect_failures)
        .bind(misses)
        .bind(latencies)
        .bind(from.instance)
        .execute(pool)
        .await
        .map(|_| ())
}

/// As PostgreSQL writes an array: unnest would take a list of lists apart.
fn array(latency: &[u64; CELLS]) -> String {
    let mut text = String::with_capacity(2 * CELLS + 8);
    for (place, count) in latency.iter().enumerate() {
        let before = if place == 0 { '{' } else { ',' };
        text.push(before);
        let _ = write!(text, "{count}");
    }
    text.push('}');
    text
}

/// What the modern side says of its own work since it last said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    pub capability: String,
    /// None: nobody's in particular.
    #[serde(default)]
    pub tenant: Option<i64>,
    /// Such as `send`, `duplicate` or `quota-drift`: a-z, then up to 62 of a-z, 0-9 and "-".
    pub kind: String,
    #[serde(default)]
    pub good: u32,
    #[serde(default)]
    pub bad: u32,
}

/// Tells the guard of outcomes, all or none. In SQL it is `select ficus.report_outcome(…)`.
pub async fn report_outcomes(
    pool: &PgPool,
    reported: &[Reported],
) -> Result<(), crate::rollout::Error> {
    let of = |field: fn(&Reported) -> i64| reported.iter().map(field).collect::<Vec<i64>>();
    let texts = |field: fn(&Reported) -> &String| {
        reported.iter().map(field).cloned().collect::<Vec<String>>()
    };
    let tell = sqlx::query(
        "select ficus.report_outcome(r.capability, r.tenant, r.kind, r.good, r.bad)
         from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[]) as r (capability, tenant, kind, good, bad)",
    )
    .bind(texts(|r| &r.capability))
    .bind(of(|r| r.tenant.unwrap_or(0)))
    .bind(texts(|r| &r.kind))
    .bind(of(|r| i64::from(r.good)))
    .bind(of(|r| i64::from(r.bad)));
    within(tell.execute(pool)).await.map(|_| ())
}
