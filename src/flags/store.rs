//! The SQL of the control state as a proxy reads it: everything at once, or what changed since a revision.
//!
//! Its own file, because each question is one statement: one statement sees one state of the database, so
//! what it answers is exactly the revision that it names.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::{PgPool, Row};

use super::local::{Action, Pinned};
use super::model::{Capability, Class, Delta, Forced, Snapshot, Tenant, TenantFacts};
pub use super::presence::Instance;
use super::{Effect, FreezeScope, Frozen, ServerTime, Split, State, Sticky};
use crate::ids::{Revision, TenantId};

/// What was read, and how many rows made no sense: each keeps what the snapshot before said of it.
pub struct Read<T> {
    pub value: T,
    pub rejected: usize,
    pub stamp: Stamp,
}

/// The moment of a revision's change, by the database's clock. Two histories that share a number, such as before
/// and after a failover that lost the last commits, do not share it. `None`: there has been no change yet.
pub type Stamp = Option<String>;

/// The newest revision, when the change `of` was made, if this database has it, and what its clock shows.
pub async fn newest_revision(
    pool: &PgPool,
    of: Revision,
) -> sqlx::Result<(Revision, Stamp, ServerTime)> {
    let sql = "select clock.revision, (select extract(epoch from at)::text from ficus.change where revision = $1),
            floor(extract(epoch from clock_timestamp()) * 1000)::bigint
        from ficus.clock";
    sqlx::query_as::<_, (i64, Stamp, i64)>(sql)
        .bind(of.0)
        .fetch_one(pool)
        .await
        .map(|(newest, stamp, now)| (Revision(newest), stamp, ServerTime(now)))
}

/// Everything. Streams, so that a million tenants need no second copy in memory. `old` has the last word on rows
/// that make no sense.
pub async fn load_all(pool: &PgPool, old: Option<&Snapshot>) -> sqlx::Result<Read<Snapshot>> {
    let mut tx = pool
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    let (revision, stamp): (i64, Stamp) = sqlx::query_as(
        "select clock.revision, extract(epoch from change.at)::text
         from ficus.clock left join ficus.change on change.revision = clock.revision",
    )
    .fetch_one(&mut *tx)
    .await?;
    let mut rejected = 0;

    let mut capabilities = BTreeMap::new();
    let sql = "select c.name, c.ordinal, c.effect, c.split_by, (s.percent * 100)::integer
        from ficus.capability as c left join ficus.split as s on s.capability = c.name";
    for row in sqlx::query(sql).fetch_all(&mut *tx).await? {
        let name: String = row.get(0);
        let read = capability(row.get(1), row.get(2), split(row.get(3), row.get(4)));
        rejected += usize::from(read.is_none());
        if let Some(capability) = read.or_else(|| known(old, &name, row.get(1))) {
            capabilities.insert(name, capability);
        }
    }
    let mut forced = Forced::default();
    let overrides = sqlx::query_as::<_, (Option<String>, String)>(
        "select capability, action from ficus.override",
    );
    for (name, action) in overrides.fetch_all(&mut *tx).await? {
        rejected += usize::from(!add_override(
            &mut forced,
            &capabilities,
            name.as_deref(),
            &action,
        ));
    }

    let mut frozen = Frozen::default();
    let freezes = sqlx::query_as::<_, (Option<i64>, Option<String>, i64)>(
        "select tenant_id, capability, ceil(extract(epoch from until) * 1000)::bigint from ficus.freeze",
    );
    for (tenant, capability, until) in freezes.fetch_all(&mut *tx).await? {
        frozen.set(
            freeze_scope(tenant, capability.as_deref()),
            ServerTime(until),
        );
    }

    // Flags come folded into their tenant's row: as text, a character a capability would be shorter to write,
    // but two bit planes are what the snapshot keeps, and PostgreSQL sums them as fast as it joins.
    let mut tenants = Vec::new();
    {
        let sql = "select t.id, t.slug, t.class, f.low, f.high, f.unknown
            from ficus.tenant as t
            left join (
                select f.tenant_id,
                    bit_or(case when f.state in ('legacy', 'modern') then 1::bigint << c.ordinal::int else 0 end) as low,
                    bit_or(case when f.state in ('shadow', 'modern') then 1::bigint << c.ordinal::int else 0 end) as high,
                    bit_or(case when f.state in ('legacy', 'shadow', 'modern') then 0 else 1::bigint << c.ordinal::int end) as unknown
                from ficus.flag as f join ficus.capability as c on c.name = f.capability
                where c.ordinal between 0 and 63
                group by f.tenant_id
            ) as f on f.tenant_id = t.id";
        let mut rows = sqlx::query(sql).fetch(&mut *tx);
        while let Some(row) = rows.try_next().await? {
            let id = TenantId(row.get(0));
            let class = Class::parse(row.get(2));
            let plane = |at: usize| row.get::<Option<i64>, _>(at).unwrap_or(0) as u64;
            let unknown = plane(5);
            rejected += usize::from(class.is_none()) + unknown.count_ones() as usize;
            // Only what makes no sense is looked up: a million times is a while.
            let before = (class.is_none() || unknown != 0)
                .then(|| old.and_then(|old| old.tenant(id)))
                .flatten();
            let facts = TenantFacts {
                slug: row.get::<Option<&str>, _>(1).map(Arc::from),
                class: class.or(before.map(|t| t.class)).unwrap_or_default(),
            };
            let mut tenant = Tenant::new(id, facts).with_planes(plane(3), plane(4));
            if let (Some(old), Some(before)) = (old, before) {
                for (name, now) in capabilities
                    .iter()
                    .filter(|(_, c)| unknown >> c.ordinal & 1 == 1)
                {
                    let state = old.capability(name).and_then(|c| before.state(c.ordinal));
                    tenant.set_state(now.ordinal, state);
                }
            }
            tenants.push(tenant);
        }
    }
    tx.rollback().await?;
    Ok(Read {
        value: Snapshot::build(Revision(revision), capabilities, forced, tenants)
            .with_frozen(frozen),
        rejected,
        stamp,
    })
}

/// What changed since `old`. `None`: the change is of a kind that only a whole load shows right.
pub async fn load_since(pool: &PgPool, old: &Snapshot) -> sqlx::Result<Option<Read<Delta>>> {
    let sql = "with touched as (
            select distinct entity, tenant_id, capability from ficus.change_item
            where revision > $1 and entity in ('tenant', 'flag')
        )
        select 'clock' as kind, clock.revision as id, extract(epoch from change.at)::text as name, null::text as word, null::smallint as ordinal, true as present,
            null::text as split_by, null::integer as percent, null::bigint as until
        from ficus.clock left join ficus.change on change.revision = clock.revision
        union all
        select 'capability', null, c.name, c.effect, c.ordinal, true, c.split_by, (s.percent * 100)::integer, null
        from ficus.capability as c left join ficus.split as s on s.capability = c.name
        union all select 'override', null, capability, action, null, true, null, null, null from ficus.override
        union all
        select 'freeze', tenant_id, capability, null, null, true, null, null, ceil(extract(epoch from until) * 1000)::bigint from ficus.freeze
        union all
        select 'tenant', i.tenant_id, t.slug, t.class, null, t.id is not null, null, null, null
        from touched as i left join ficus.tenant as t on t.id = i.tenant_id where i.entity = 'tenant'
        union all
        select 'flag', i.tenant_id, i.capability, f.state, c.ordinal, f.tenant_id is not null, null, null, null
        from touched as i
        left join ficus.flag as f on f.tenant_id = i.tenant_id and f.capability = i.capability
        left join ficus.capability as c on c.name = i.capability
        where i.entity = 'flag'";
    let rows = sqlx::query(sql)
        .bind(old.revision.0)
        .fetch_all(pool)
        .await?;
    let mut delta = Delta::default();
    let mut overrides = Vec::new();
    let (mut rejected, mut stamp) = (0, None);
    for row in &rows {
        let (name, word): (Option<&str>, Option<&str>) = (row.get(2), row.get(3));
        let id = row.get::<Option<i64>, _>(1).unwrap_or_default();
        let present: bool = row.get(5);
        match row.get::<&str, _>(0) {
            "clock" => {
                delta.revision = Revision(id);
                stamp = name.map(str::to_owned);
            }
            "capability" => {
                let (name, ordinal) = (
                    name.unwrap_or_default(),
                    row.get::<Option<i16>, _>(4).unwrap_or(-1),
                );
                let split = split(row.get(6), row.get(7));
                let read = word.and_then(|effect| capability(ordinal, effect, split));
                rejected += usize::from(read.is_none());
                if let Some(capability) = read.or_else(|| known(Some(old), name, ordinal)) {
                    delta.capabilities.insert(name.to_owned(), capability);
                }
            }
            "freeze" => {
                let until = ServerTime(row.get::<Option<i64>, _>(8).unwrap_or_default());
                let scope = freeze_scope(row.get(1), name);
                delta.frozen.set(scope, until);
            }
            "override" => overrides.push((name, word.unwrap_or_default())),
            "tenant" if !present => delta.tenants.push((TenantId(id), None)),
            "tenant" => match word.and_then(Class::parse) {
                Some(class) => delta.tenants.push((
                    TenantId(id),
                    Some(TenantFacts {
                        slug: name.map(Arc::from),
                        class,
                    }),
                )),
                None => rejected += 1,
            },
            _ => {
                // A capability that is gone takes its number with it; the old snapshot still knows it.
                let known = || {
                    name.and_then(|name| old.capability(name))
                        .map(|c| c.ordinal)
                };
                let Some(ordinal) = row
                    .get::<Option<i16>, _>(4)
                    .and_then(|o| u8::try_from(o).ok())
                    .filter(|o| *o < 64)
                    .or_else(known)
                else {
                    continue;
                };
                match (present, word.and_then(State::parse)) {
                    (false, _) => delta.flags.push((TenantId(id), ordinal, None)),
                    (true, Some(state)) => delta.flags.push((TenantId(id), ordinal, Some(state))),
                    (true, None) => rejected += 1,
                }
            }
        }
    }
    // The bits of a number that changed hands are of two capabilities, and no row says which came last.
    let moved = |(name, now): (&String, &Capability)| {
        let mut before = old.capabilities().iter();
        before.any(|(other, was)| (other == name) != (was.ordinal == now.ordinal))
    };
    if delta.capabilities.iter().any(moved) {
        return Ok(None);
    }
    for (name, action) in overrides {
        rejected += usize::from(!add_override(
            &mut delta.forced,
            &delta.capabilities,
            name,
            action,
        ));
    }
    Ok(Some(Read {
        value: delta,
        rejected,
        stamp,
    }))
}

/// What the snapshot before said of a capability whose row makes no sense, as long as it is the same place.
fn known(old: Option<&Snapshot>, name: &str, ordinal: i16) -> Option<Capability> {
    old?.capability(name)
        .filter(|known| i16::from(known.ordinal) == ordinal)
}

/// `split`: the outer `None` is one that makes no sense.
fn capability(ordinal: i16, effect: &str, split: Option<Option<Split>>) -> Option<Capability> {
    let ordinal = u8::try_from(ordinal).ok().filter(|o| *o < 64)?;
    Some(Capability {
        ordinal,
        effect: Effect::parse(effect)?,
        split: split?,
    })
}

/// Of a capability's two columns. Without a share, or where the configuration splits it no more, there is no split.
fn split(by: Option<&str>, hundredths: Option<i32>) -> Option<Option<Split>> {
    let (Some(by), Some(hundredths)) = (by, hundredths) else {
        return Some(None);
    };
    Split::of_hundredths(Sticky::parse(by)?, hundredths).map(Some)
}

fn freeze_scope(tenant: Option<i64>, capability: Option<&str>) -> FreezeScope {
    match (tenant, capability) {
        (Some(id), _) => FreezeScope::Tenant(TenantId(id)),
        (None, Some(name)) => FreezeScope::Capability(name.to_owned()),
        (None, None) => FreezeScope::All,
    }
}

fn add_override(
    forced: &mut Forced,
    capabilities: &BTreeMap<String, Capability>,
    name: Option<&str>,
    action: &str,
) -> bool {
    match (action, name) {
        ("force-legacy", None) => forced.all = true,
        ("force-legacy", Some(name)) => match capabilities.get(name) {
            Some(capability) => forced.capabilities |= 1 << capability.ordinal,
            None => return false,
        },
        _ => return false,
    }
    true
}

/// Tells the database of a local action, once. Answers the revision from which it stands there.
pub async fn replay(pool: &PgPool, action: &Action) -> sqlx::Result<Revision> {
    let mut tx = pool.begin().await?;
    // A writer who holds the clock for long must not keep this proxy from reading.
    let settings =
        "select set_config('ficus.actor', $1, true), set_config('ficus.reason', $2, true),
        set_config('ficus.source', 'local', true), set_config('lock_timeout', '2s', true)";
    sqlx::query(settings)
        .bind(&action.actor)
        .bind(&action.reason)
        .execute(&mut *tx)
        .await?;
    let (tenants, capability) = match &action.scope {
        Pinned::Tenants(ids) => (Some(ids.iter().map(|id| id.0).collect::<Vec<_>>()), None),
        Pinned::Capability(name) => (None, Some(name.as_str())),
        Pinned::All => (None, None),
    };
    let revision = sqlx::query_scalar("select ficus.replay_local_rollback($1, $2, $3, $4, $5, $6)")
        .bind(action.id)
        .bind(action.at)
        .bind(action.base_revision.0)
        .bind(tenants)
        .bind(capability)
        .bind(matches!(action.scope, Pinned::All))
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Revision(revision))
}
