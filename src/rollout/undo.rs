//! Undo: a new change that restores what an old one replaced.
//!
//! Its own file, because it is the only writer that goes by the audit, and the only one that refuses on what
//! happened in between.

use sqlx::PgPool;

use super::transaction::{Write, within};
use super::{Change, Error, Terms};
use crate::ids::Revision;

/// How one entity is put back. In each statement $1 is the change's revision.
struct Restore {
    /// Rows that are neither as the change left them nor as undoing it would leave them.
    touched_since: &'static str,
    /// Rows that the change made, where the entity's rows may go.
    delete: Option<&'static str>,
    /// Rows that the change altered or deleted.
    put_back: &'static str,
}

const FLAG: Restore = Restore {
    touched_since: "
        select count(*) from ficus.change_item as i
        left join ficus.flag as f on f.tenant_id = i.tenant_id and f.capability = i.capability
        where i.revision = $1 and i.entity = 'flag'
          and f.state is distinct from i.after ->> 'state' and f.state is distinct from i.before ->> 'state'",
    delete: Some(
        "delete from ficus.flag as f using ficus.change_item as i
         where i.revision = $1 and i.entity = 'flag' and i.before is null
           and f.tenant_id = i.tenant_id and f.capability = i.capability",
    ),
    put_back: "
        insert into ficus.flag (tenant_id, capability, state)
        select i.tenant_id, i.capability, i.before ->> 'state' from ficus.change_item as i
        left join ficus.flag as f on f.tenant_id = i.tenant_id and f.capability = i.capability
        where i.revision = $1 and i.entity = 'flag' and i.before is not null and f.state is distinct from i.before ->> 'state'
        on conflict on constraint flag_pkey do update set state = excluded.state",
};

const OVERRIDE: Restore = Restore {
    // A row is there or it is not: there is no third state.
    touched_since: "select count(*) from ficus.change where false and revision = $1",
    delete: Some(
        "delete from ficus.override as o using ficus.change_item as i
         where i.revision = $1 and i.entity = 'override' and i.before is null
           and o.capability is not distinct from i.capability and o.action = i.after ->> 'action'",
    ),
    put_back: "
        insert into ficus.override (capability, action)
        select i.capability, i.before ->> 'action' from ficus.change_item as i
        where i.revision = $1 and i.entity = 'override' and i.before is not null
          and not exists (select from ficus.override as o
                          where o.capability is not distinct from i.capability and o.action = i.before ->> 'action')",
};

const TENANT: Restore = Restore {
    touched_since: "
        select count(*) from ficus.change_item as i left join ficus.tenant as t on t.id = i.tenant_id
        where i.revision = $1 and i.entity = 'tenant'
          and to_jsonb(t) - array['revision', 'changed_at'] is distinct from i.after
          and to_jsonb(t) - array['revision', 'changed_at'] is distinct from i.before",
    delete: None,
    put_back: "
        insert into ficus.tenant (id, slug, name, class, class_pinned)
        select was.id, was.slug, was.name, was.class, was.class_pinned
        from ficus.change_item as i cross join lateral jsonb_populate_record(null::ficus.tenant, i.before) as was
        left join ficus.tenant as t on t.id = i.tenant_id
        where i.revision = $1 and i.entity = 'tenant' and to_jsonb(t) - array['revision', 'changed_at'] is distinct from i.before
        on conflict on constraint tenant_pkey do update
            set slug = excluded.slug, name = excluded.name, class = excluded.class, class_pinned = excluded.class_pinned",
};

const FREEZE: Restore = Restore {
    touched_since: "
        select count(*) from ficus.change_item as i
        left join ficus.freeze as f on f.tenant_id is not distinct from i.tenant_id and f.capability is not distinct from i.capability
        where i.revision = $1 and i.entity = 'freeze'
          and f.until is distinct from (i.after ->> 'until')::timestamptz and f.until is distinct from (i.before ->> 'until')::timestamptz",
    delete: Some(
        "delete from ficus.freeze as f using ficus.change_item as i
         where i.revision = $1 and i.entity = 'freeze' and i.before is null
           and f.tenant_id is not distinct from i.tenant_id and f.capability is not distinct from i.capability",
    ),
    // One whose time has passed meanwhile is over.
    put_back: "
        insert into ficus.freeze (tenant_id, capability, until)
        select i.tenant_id, i.capability, (i.before ->> 'until')::timestamptz from ficus.change_item as i
        where i.revision = $1 and i.entity = 'freeze' and (i.before ->> 'until')::timestamptz > clock_timestamp()
        on conflict on constraint freeze_scope_key do update set until = excluded.until",
};

const SPLIT: Restore = Restore {
    touched_since: "
        select count(*) from ficus.change_item as i left join ficus.split as s on s.capability = i.capability
        where i.revision = $1 and i.entity = 'split'
          and s.percent is distinct from (i.after ->> 'percent')::numeric and s.percent is distinct from (i.before ->> 'percent')::numeric",
    delete: Some(
        "delete from ficus.split as s using ficus.change_item as i
         where i.revision = $1 and i.entity = 'split' and i.before is null and s.capability = i.capability",
    ),
    put_back: "
        insert into ficus.split (capability, percent)
        select i.capability, (i.before ->> 'percent')::numeric from ficus.change_item as i
        where i.revision = $1 and i.entity = 'split' and i.before is not null
        on conflict on constraint split_pkey do update set percent = excluded.percent",
};

/// Restores what a change replaced, unless its rows have changed again since. Undone already, it changes nothing.
pub async fn undo(pool: &PgPool, terms: &Terms, revision: Revision) -> Result<Change, Error> {
    let mut write = Write::begin(pool, terms).await?;
    let restore = restoring(&mut write, revision).await?;
    let touched = sqlx::query_scalar(restore.touched_since).bind(revision.0);
    let rows: i64 = within(touched.fetch_one(write.connection())).await?;
    if rows > 0 {
        return Err(Error::Superseded { revision, rows });
    }
    let mut changed = 0;
    if let Some(delete) = restore.delete {
        changed += write.execute(sqlx::query(delete).bind(revision.0)).await?;
    }
    changed += write
        .execute(sqlx::query(restore.put_back).bind(revision.0))
        .await?;
    write.finish(changed).await
}

/// How to put this change back, or why it cannot be.
async fn restoring(write: &mut Write, revision: Revision) -> Result<&'static Restore, Error> {
    let entities = sqlx::query_as::<_, (String, bool)>(
        "select entity, bool_or(before is null) from ficus.change_item where revision = $1 group by entity",
    )
    .bind(revision.0);
    let entities = within(entities.fetch_all(write.connection())).await?;
    let refuse = |why| Err(Error::NotUndoable { revision, why });
    let [(entity, made_rows)] = entities.as_slice() else {
        return match entities.len() {
            0 => Err(Error::UnknownChange(revision)),
            _ => refuse("it wrote more than one table; undo by hand what must be undone"),
        };
    };
    match (entity.as_str(), made_rows) {
        ("flag", _) => Ok(&FLAG),
        ("override", _) => Ok(&OVERRIDE),
        ("freeze", _) => Ok(&FREEZE),
        ("split", _) => Ok(&SPLIT),
        ("tenant", false) => Ok(&TENANT),
        ("tenant", true) => {
            refuse("it made tenants, and with them their flags would go; delete them in SQL")
        }
        ("local-rollback", _) => {
            refuse("it is the record of a local rollback; undo the changes that follow it")
        }
        ("wave", _) => refuse(
            "a wave is taken back by `ficus rollback --wave`, and ended by `ficus wave abort`",
        ),
        _ => refuse("capabilities follow the configuration; change it there"),
    }
}
