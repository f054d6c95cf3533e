//! Freezes: who may not write until when, and what is still under way of what is frozen.
//!
//! Its own file, because it owns `ficus.freeze`, and because "frozen" is said only when no proxy has such a write any more.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::types::Json;
use tokio::time::{Instant, sleep};

use super::instances::DEAD_AFTER_MS;
use super::transaction::{Write, within};
use super::{Author, Change, Error, Source, Terms, capabilities, tenants};
use crate::flags::FreezeScope;
use crate::flags::writes::{Report, UnderWay};
use crate::ids::{Revision, TenantRef};

/// As the schema's check says.
pub const LONGEST_FREEZE: Duration = Duration::from_secs(24 * 3600);
/// Between two looks at what the proxies report.
const LOOK: Duration = Duration::from_millis(20);
/// A freeze that has ended stands in the table for so long, for those who ask why.
const KEPT: &str = "1 minute";

/// What to freeze. Exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FreezeTarget {
    Tenant(TenantRef),
    Capability(String),
    All,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Freeze {
    /// With `capability` null as well: everything.
    pub tenant: Option<i64>,
    pub capability: Option<String>,
    pub until: DateTime<Utc>,
    /// By the database's clock; 0: it has ended.
    pub seconds_left: f64,
    #[sqlx(try_from = "i64")]
    pub revision: Revision,
    pub since: DateTime<Utc>,
    pub reason: Option<String>,
    pub actor: Option<String>,
}

/// What is still under way of a scope, on every live proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Drain {
    /// Every live proxy has the freeze and none has such a write under way.
    pub drained: bool,
    pub writes: u64,
    /// The oldest of each proxy, twenty at most of each.
    pub listed: Vec<OnProxy>,
    /// How long the wait took.
    pub elapsed_ms: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OnProxy {
    pub proxy: String,
    #[serde(flatten)]
    pub write: UnderWay,
}

/// Those in force, and those that ended a moment ago.
pub async fn freezes(pool: &PgPool) -> Result<Vec<Freeze>, Error> {
    let query = sqlx::query_as(
        "select f.tenant_id as tenant, f.capability, f.until, f.revision, f.changed_at as since, c.reason, c.actor,
                greatest(0, extract(epoch from f.until - clock_timestamp()))::float8 as seconds_left
         from ficus.freeze as f left join ficus.change as c on c.revision = f.revision
         order by f.tenant_id nulls first, f.capability nulls first limit $1",
    )
    .bind(super::page(u32::MAX));
    within(query.fetch_all(pool)).await
}

/// Freezes for so long from now on. One of the same scope that is there gets the new end.
pub async fn freeze(
    pool: &PgPool,
    terms: &Terms,
    target: &FreezeTarget,
    span: Duration,
) -> Result<(Change, FreezeScope), Error> {
    if span.is_zero() || span > LONGEST_FREEZE {
        return Err(Error::Invalid(
            "a freeze lasts more than nothing and 24h at most".to_owned(),
        ));
    }
    let mut write = Write::begin(pool, terms).await?;
    let scope = resolve(&mut write, target).await?;
    let (tenant, capability) = columns(&scope);
    let set = sqlx::query(
        "insert into ficus.freeze (tenant_id, capability, until)
         values ($1, $2, clock_timestamp() + make_interval(secs => $3))
         on conflict on constraint freeze_scope_key do update set until = excluded.until",
    )
    .bind(tenant)
    .bind(capability)
    .bind(span.as_secs_f64());
    let changed = write.execute(set).await?;
    Ok((write.finish(changed).await?, scope))
}

/// Ends a freeze before its time. There is none: a success with `changed: 0`.
pub async fn unfreeze(
    pool: &PgPool,
    terms: &Terms,
    target: &FreezeTarget,
) -> Result<Change, Error> {
    let mut write = Write::begin(pool, terms).await?;
    let scope = resolve(&mut write, target).await?;
    let (tenant, capability) = columns(&scope);
    let end = sqlx::query(
        "delete from ficus.freeze where tenant_id is not distinct from $1 and capability is not distinct from $2",
    )
    .bind(tenant)
    .bind(capability);
    let changed = write.execute(end).await?;
    write.finish(changed).await
}

/// Deletes the freezes that have ended: proxies have ended them by themselves. Answers how many.
pub async fn clear_ended(pool: &PgPool) -> Result<u64, Error> {
    let ended = sqlx::query_scalar::<_, bool>(
        "select exists (select from ficus.freeze where until < clock_timestamp() - $1::text::interval)",
    )
    .bind(KEPT);
    if !within(ended.fetch_one(pool)).await? {
        return Ok(0);
    }
    let reason = "the freeze has ended";
    let terms = Terms::of(Author::new("ficus serve", Source::Config, reason));
    let mut write = Write::begin(pool, &terms).await?;
    let clear = sqlx::query(
        "delete from ficus.freeze where until < clock_timestamp() - $1::text::interval",
    )
    .bind(KEPT);
    let changed = write.execute(clear).await?;
    write.finish(changed).await.map(|change| change.changed)
}

/// Waits until no live proxy has a write of the scope under way, at most `patience`. Never fails: the freeze stands.
pub async fn drain(
    pool: &PgPool,
    revision: Revision,
    scope: &FreezeScope,
    patience: Duration,
) -> Drain {
    let start = Instant::now();
    loop {
        let mut seen = look(pool, revision, scope).await.unwrap_or(Drain {
            drained: false,
            writes: 0,
            listed: Vec::new(),
            elapsed_ms: 0.0,
        });
        let left = patience.saturating_sub(start.elapsed());
        if seen.drained || left.is_zero() {
            seen.elapsed_ms = start.elapsed().as_secs_f64() * 1000.0;
            return seen;
        }
        sleep(LOOK.min(left)).await;
    }
}

async fn look(pool: &PgPool, revision: Revision, scope: &FreezeScope) -> Result<Drain, Error> {
    let query = sqlx::query_as::<_, (String, Option<Json<Report>>)>(
        "select name, writes from ficus.instance
         where 'proxy' = any (roles) and stopped_at is null
           and extract(epoch from clock_timestamp() - heartbeat_at) * 1000 < $1
         order by name, id",
    )
    .bind(DEAD_AFTER_MS);
    let proxies = within(query.fetch_all(pool)).await?;
    let mut drain = Drain {
        drained: true,
        writes: 0,
        listed: Vec::new(),
        elapsed_ms: 0.0,
    };
    for (proxy, report) in proxies {
        // One that has not counted since it has the freeze knows nothing of it.
        let Some(Json(report)) = report.filter(|it| it.revision >= revision) else {
            drain.drained = false;
            continue;
        };
        let Some(covered) = report.frozen.into_iter().find(|it| it.scope == *scope) else {
            // Where there are too many to tell of, this one may be among them.
            drain.drained &= !report.more;
            continue;
        };
        drain.drained = false;
        drain.writes += covered.writes;
        let listed = covered.listed.into_iter();
        drain.listed.extend(listed.map(|write| OnProxy {
            proxy: proxy.clone(),
            write,
        }));
    }
    Ok(drain)
}

async fn resolve(write: &mut Write, target: &FreezeTarget) -> Result<FreezeScope, Error> {
    Ok(match target {
        FreezeTarget::All => FreezeScope::All,
        FreezeTarget::Capability(name) => {
            capabilities::require(write.connection(), name).await?;
            FreezeScope::Capability(name.clone())
        }
        FreezeTarget::Tenant(tenant) => {
            FreezeScope::Tenant(tenants::resolve(write.connection(), tenant).await?)
        }
    })
}

fn columns(scope: &FreezeScope) -> (Option<i64>, Option<&str>) {
    match scope {
        FreezeScope::All => (None, None),
        FreezeScope::Capability(name) => (None, Some(name)),
        FreezeScope::Tenant(id) => (Some(id.0), None),
    }
}
