//! The SQL of waves: their rows, who may belong, who moves, who is taken back.
//!
//! Its own file, because what makes a wave exact stands in these statements: which flags it may touch and which it may not.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, Row};

use super::cohort::{ALGORITHM, Member, Percent};
use super::gate::Outcome;
use super::plan::{Candidate, Spec, Totals, class};
use super::{GateResult, Wave, WaveState};
use crate::ids::{Revision, TenantId};
use crate::rollout::transaction::{Write, within};
use crate::rollout::{Class, Error};

/// A person, and no automaton, has set the flag `f` to legacy, and not as a part of taking a whole wave back.
macro_rules! kept_by_a_person {
    () => {
        "(f.state = 'legacy'
          and exists (select from ficus.change as c where c.revision = f.revision and c.source not in ('wave', 'guard'))
          and not exists (select from ficus.wave_member as x
                          where x.tenant_id = f.tenant_id and x.capability = f.capability and x.taken_back_revision = f.revision))"
    };
}
pub(super) use kept_by_a_person;

/// $1 a name, or null for all; $2 a capability, or null for all.
const WAVES: &str = "
    select w.id, w.name, w.capability, w.place, w.classes, w.steps, extract(epoch from w.bake)::bigint as bake, w.gates, w.auto,
           w.salt, w.state, w.step, w.step_at, w.go_step is not distinct from w.step and w.step > 0 as go, w.size, w.revision, w.changed_at,
           coalesce(n.on_modern, 0) as on_modern, c.actor, c.reason
    from ficus.wave as w
    left join ficus.change as c on c.revision = w.revision
    left join lateral (
        select count(*) as on_modern from ficus.wave_member as m
        join ficus.flag as f on f.tenant_id = m.tenant_id and f.capability = m.capability
        where m.wave_id = w.id and f.state = 'modern'
    ) as n on true
    where ($1::text is null or w.name = $1) and ($2::text is null or w.capability = $2)
    order by w.capability, w.place limit $3";

/// A wave, and what of its row only this folder needs.
pub(super) struct Stored {
    pub id: i32,
    pub salt: String,
    pub wave: Wave,
}

fn read(row: &sqlx::postgres::PgRow) -> Result<Stored, sqlx::Error> {
    let bad = |fault: String| sqlx::Error::Decode(fault.into());
    let steps: Vec<i32> = row.try_get("steps")?;
    let steps = steps.into_iter().filter_map(Percent::from_hundredths);
    let step: i16 = row.try_get("step")?;
    Ok(Stored {
        id: row.try_get("id")?,
        salt: row.try_get("salt")?,
        wave: Wave {
            name: row.try_get("name")?,
            capability: row.try_get("capability")?,
            place: row.try_get("place")?,
            classes: row.try_get("classes")?,
            steps: steps.collect(),
            bake_seconds: row.try_get("bake")?,
            gates: row.try_get("gates")?,
            auto: row.try_get("auto")?,
            state: WaveState::try_from(row.try_get::<String, _>("state")?).map_err(bad)?,
            step: usize::try_from(step).unwrap_or(0),
            step_at: row.try_get("step_at")?,
            go: row.try_get("go")?,
            size: row.try_get("size")?,
            on_modern: row.try_get("on_modern")?,
            revision: Revision(row.try_get("revision")?),
            changed_at: row.try_get("changed_at")?,
            actor: row.try_get("actor")?,
            reason: row.try_get("reason")?,
        },
    })
}

pub(super) async fn list(
    db: impl PgExecutor<'_>,
    capability: Option<&str>,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let query = sqlx::query(WAVES)
        .bind(None::<&str>)
        .bind(capability)
        .bind(limit);
    let rows = within(query.fetch_all(db)).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

pub(super) async fn find(db: impl PgExecutor<'_>, name: &str) -> Result<Stored, Error> {
    let query = sqlx::query(WAVES).bind(name).bind(None::<&str>).bind(1i64);
    match within(query.fetch_optional(db)).await? {
        Some(row) => Ok(read(&row)?),
        None => Err(Error::UnknownWave(name.to_owned())),
    }
}

/// Every tenant as planning sees it, by id, and the capability's traffic of the last seven days.
pub(super) async fn candidates(
    db: impl PgExecutor<'_>,
    capability: &str,
) -> Result<(Vec<Candidate>, Totals), Error> {
    let query = sqlx::query(
        "with recent as (
             select t.tenant_id, coalesce(sum(t.requests) filter (where t.capability = $1), 0)::bigint as requests,
                    coalesce(sum(t.requests) filter (where c.effect = 'send'), 0)::bigint as sends
             from ficus.traffic as t join ficus.capability as c on c.name = t.capability
             where t.day > (clock_timestamp() at time zone 'UTC')::date - 7 group by t.tenant_id
         )
         select t.id, t.slug, t.class, coalesce(r.requests, 0) as requests, coalesce(r.sends, 0) as sends,
                f.state is not distinct from 'modern'
                or exists (select from ficus.wave_member as m join ficus.wave as w on w.id = m.wave_id
                           where m.tenant_id = t.id and m.capability = $1 and w.state <> 'aborted') as taken,
                (select coalesce(sum(x.requests), 0)::bigint from recent as x) as all_requests,
                (select coalesce(sum(x.sends), 0)::bigint from recent as x) as all_sends
         from ficus.tenant as t
         left join ficus.flag as f on f.tenant_id = t.id and f.capability = $1
         left join recent as r on r.tenant_id = t.id
         order by t.id",
    )
    .bind(capability);
    let rows = within(query.fetch_all(db)).await?;
    let mut totals = Totals::default();
    if let Some(first) = rows.first() {
        totals.requests = first.try_get("all_requests")?;
        totals.sends = first.try_get("all_sends")?;
    }
    let candidate = |row: &sqlx::postgres::PgRow| {
        Ok(Candidate {
            id: TenantId(row.try_get("id")?),
            slug: row.try_get("slug")?,
            class: decode(row.try_get("class")?)?,
            taken: row.try_get("taken")?,
            requests: row.try_get("requests")?,
            sends: row.try_get("sends")?,
        })
    };
    let candidates = rows
        .iter()
        .map(candidate)
        .collect::<Result<_, sqlx::Error>>()?;
    Ok((candidates, totals))
}

fn decode(name: String) -> Result<Class, sqlx::Error> {
    class(&name).map_err(|fault| sqlx::Error::Decode(fault.into()))
}

/// The classes of the capability's complete waves before a place: what is left of them joins the next wave.
pub(super) async fn classes_before(
    db: impl PgExecutor<'_>,
    capability: &str,
    place: i32,
) -> Result<BTreeSet<Class>, Error> {
    let query = sqlx::query_scalar(
        "select distinct c.name from ficus.wave as w cross join lateral unnest(w.classes) as c (name)
         where w.capability = $1 and w.place < $2 and w.state = 'complete'",
    )
    .bind(capability)
    .bind(place);
    let names: Vec<String> = within(query.fetch_all(db)).await?;
    Ok(names.into_iter().map(decode).collect::<Result<_, _>>()?)
}

/// Stores a wave as the capability's last.
pub(super) async fn insert(
    write: &mut Write,
    capability: &str,
    salt: &str,
    spec: &Spec,
) -> Result<u64, Error> {
    let classes: Vec<&str> = spec.classes.iter().map(|class| class.as_str()).collect();
    let steps: Vec<i32> = spec.steps.iter().map(|step| step.hundredths()).collect();
    let gates: Vec<String> = spec.gates.iter().map(ToString::to_string).collect();
    let insert = sqlx::query(
        "insert into ficus.wave (name, capability, place, classes, steps, bake, gates, auto, salt)
         select $1, $2, coalesce(max(w.place), 0) + 1, $3, $4, make_interval(secs => $5), $6, $7, $8
         from ficus.wave as w where w.capability = $2",
    )
    .bind(&spec.name)
    .bind(capability)
    .bind(classes)
    .bind(steps)
    .bind(spec.bake.seconds() as f64)
    .bind(gates)
    .bind(spec.auto)
    .bind(salt);
    let changed = write.execute(insert).await?;
    let tenants: Vec<i64> = spec.tenants.iter().map(|tenant| tenant.0).collect();
    if !tenants.is_empty() {
        let name = sqlx::query(
            "insert into ficus.wave_named (wave_id, tenant_id)
             select w.id, t.id from ficus.wave as w cross join unnest($2::bigint[]) as t (id) where w.name = $1",
        )
        .bind(&spec.name)
        .bind(tenants);
        write.execute(name).await?;
    }
    Ok(changed)
}

/// Those whom a wave would take if it started now: free, and of its classes or named.
pub(super) async fn eligible(
    db: impl PgExecutor<'_>,
    stored: &Stored,
    classes: &BTreeSet<Class>,
) -> Result<Vec<(TenantId, Class)>, Error> {
    let classes: Vec<&str> = classes.iter().map(|class| class.as_str()).collect();
    let query = sqlx::query_as(
        "select t.id, t.class from ficus.tenant as t
         where (t.class = any ($3) or exists (select from ficus.wave_named as n where n.wave_id = $1 and n.tenant_id = t.id))
           and not exists (select from ficus.flag as f where f.tenant_id = t.id and f.capability = $2 and f.state = 'modern')
           and not exists (select from ficus.wave_member as m join ficus.wave as w on w.id = m.wave_id
                           where m.tenant_id = t.id and m.capability = $2 and w.state <> 'aborted')",
    )
    .bind(stored.id)
    .bind(&stored.wave.capability)
    .bind(classes);
    let rows: Vec<(i64, String)> = within(query.fetch_all(db)).await?;
    let read = |(id, class)| Ok((TenantId(id), decode(class)?));
    Ok(rows
        .into_iter()
        .map(read)
        .collect::<Result<_, sqlx::Error>>()?)
}

pub(super) async fn insert_members(
    write: &mut Write,
    stored: &Stored,
    members: &[Member],
) -> Result<(), Error> {
    let small = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let insert = sqlx::query(
        "insert into ficus.wave_member (wave_id, tenant_id, capability, rank, step, hash, algorithm, class)
         select $1, m.tenant_id, $2, m.rank, m.step::smallint, m.hash, $3, m.class
         from unnest($4::bigint[], $5::integer[], $6::integer[], $7::bigint[], $8::text[]) as m (tenant_id, rank, step, hash, class)",
    )
    .bind(stored.id)
    .bind(&stored.wave.capability)
    .bind(ALGORITHM)
    .bind(members.iter().map(|it| it.tenant.0).collect::<Vec<_>>())
    .bind(members.iter().map(|it| small(it.rank)).collect::<Vec<_>>())
    .bind(members.iter().map(|it| small(it.step)).collect::<Vec<_>>())
    .bind(members.iter().map(|it| i64::from(it.hash)).collect::<Vec<_>>())
    .bind(members.iter().map(|it| it.class.as_str()).collect::<Vec<_>>());
    write.execute(insert).await?;
    Ok(())
}

/// Moves the members of one step, but for those that a person has set to legacy.
pub(super) async fn move_step(write: &mut Write, id: i32, step: i16) -> Result<u64, Error> {
    let moves = sqlx::query(concat!(
        "insert into ficus.flag (tenant_id, capability, state)
         select m.tenant_id, m.capability, 'modern' from ficus.wave_member as m
         left join ficus.flag as f on f.tenant_id = m.tenant_id and f.capability = m.capability
         where m.wave_id = $1 and m.step = $2 and f.state is distinct from 'modern' and not coalesce(",
        kept_by_a_person!(),
        ", false)
         on conflict on constraint flag_pkey do update set state = excluded.state"
    ));
    let moved = write.execute(moves.bind(id).bind(step)).await?;
    mark_moved(write, id).await?;
    Ok(moved)
}

/// Moves those again that a rollback of the wave, or the guard, has taken back and nobody has touched since.
pub(super) async fn move_again(write: &mut Write, id: i32, step: i16) -> Result<u64, Error> {
    let moves = sqlx::query(
        "update ficus.flag as f set state = 'modern' from ficus.wave_member as m
         where m.wave_id = $1 and m.step <= $2 and f.tenant_id = m.tenant_id and f.capability = m.capability and f.state = 'legacy'
           and (f.revision = m.taken_back_revision
                or exists (select from ficus.change as c where c.revision = f.revision and c.source = 'guard'))",
    );
    let moved = write.execute(moves.bind(id).bind(step)).await?;
    mark_moved(write, id).await?;
    Ok(moved)
}

/// Remembers with each member the revision of the flag that this transaction wrote.
async fn mark_moved(write: &mut Write, id: i32) -> Result<(), Error> {
    let base = write.base;
    let mark = sqlx::query(
        "update ficus.wave_member as m set moved_revision = f.revision from ficus.flag as f
         where m.wave_id = $1 and f.tenant_id = m.tenant_id and f.capability = m.capability and f.state = 'modern' and f.revision > $2",
    );
    write.execute(mark.bind(id).bind(base.0)).await?;
    Ok(())
}

/// Everyone who stands on modern because of the wave goes to legacy: those whose flag is as the wave wrote it.
pub(super) async fn take_back(write: &mut Write, id: i32) -> Result<u64, Error> {
    let back = sqlx::query(
        "update ficus.flag as f set state = 'legacy' from ficus.wave_member as m
         where m.wave_id = $1 and f.tenant_id = m.tenant_id and f.capability = m.capability
           and f.state = 'modern' and f.revision = m.moved_revision",
    );
    let moved = write.execute(back.bind(id)).await?;
    let base = write.base;
    let mark = sqlx::query(
        "update ficus.wave_member as m set taken_back_revision = f.revision from ficus.flag as f
         where m.wave_id = $1 and f.tenant_id = m.tenant_id and f.capability = m.capability and f.state = 'legacy' and f.revision > $2",
    );
    write.execute(mark.bind(id).bind(base.0)).await?;
    Ok(moved)
}

/// The database's time, and the members of which the guard has said fail in the last quarter of an hour.
pub(super) async fn failing(
    db: impl PgExecutor<'_>,
    stored: &Stored,
) -> Result<(DateTime<Utc>, Vec<i64>), Error> {
    let query = sqlx::query_as(
        "select clock_timestamp(),
                array(select x.tenant_id from ficus.verdict as x
                      join ficus.wave_member as m on m.wave_id = $1 and m.tenant_id = x.tenant_id
                      where x.capability = $2 and x.verdict = 'fail' and x.at > clock_timestamp() - interval '15 minutes'
                      order by x.tenant_id limit 100)",
    )
    .bind(stored.id)
    .bind(&stored.wave.capability);
    within(query.fetch_one(db)).await
}

pub(super) async fn store_gates(
    write: &mut Write,
    stored: &Stored,
    results: &[GateResult],
) -> Result<(), Error> {
    let store = sqlx::query(
        "insert into ficus.gate_result (wave_id, revision, step, gate, outcome, detail)
         select w.id, w.revision, $2, g.gate, g.outcome, g.detail
         from ficus.wave as w cross join unnest($3::text[], $4::text[], $5::text[]) as g (gate, outcome, detail) where w.id = $1",
    )
    .bind(stored.id)
    .bind(i16::try_from(stored.wave.step).unwrap_or(i16::MAX))
    .bind(results.iter().map(|it| it.gate.as_str()).collect::<Vec<_>>())
    .bind(results.iter().map(|it| it.outcome.as_str()).collect::<Vec<_>>())
    .bind(results.iter().map(|it| it.detail.as_str()).collect::<Vec<_>>());
    write.execute(store).await?;
    Ok(())
}

/// The gates of the newest advance.
pub(super) async fn last_gates(db: impl PgExecutor<'_>, id: i32) -> Result<Vec<GateResult>, Error> {
    let query = sqlx::query_as(
        "select g.gate, g.outcome, g.detail from ficus.gate_result as g
         where g.wave_id = $1 and g.revision = (select max(x.revision) from ficus.gate_result as x where x.wave_id = $1)
         order by g.gate",
    )
    .bind(id);
    let rows: Vec<(String, String, String)> = within(query.fetch_all(db)).await?;
    let all = [
        Outcome::Pass,
        Outcome::Wait,
        Outcome::Fail,
        Outcome::NotAvailable,
        Outcome::Skipped,
    ];
    let read = |(gate, outcome, detail): (String, String, String)| {
        let outcome = all.into_iter().find(|it| it.as_str() == outcome)?;
        Some(GateResult {
            gate,
            outcome,
            detail,
        })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
