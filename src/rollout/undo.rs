//! Undo: a new change that restores what an old one replaced.
//!
//! Its own file, because it is the only writer that goes by the audit, and the only one that refuses on what
//! happened in between.
//!
//! Its SQL is made from the table's own columns and key, so a table of control state that is added later is undone
//! by its name in [`RESTORABLE`] and nothing else.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::transaction::{Write, within};
use super::{Change, Error, Terms};
use crate::ids::Revision;

/// Entities whose rows can be put back; each is the name of its table.
const RESTORABLE: [&str; 5] = ["flag", "override", "tenant", "freeze", "split"];

/// What no row is compared by: our own stamps.
const STAMPS: [&str; 2] = ["revision", "changed_at"];

/// How one entity is put back. In each statement $1 is the change's revision.
struct Restore {
    /// Rows that are neither as the change left them nor as undoing it would leave them.
    touched_since: String,
    /// Rows that the change made.
    delete: String,
    /// Rows that the change altered or deleted.
    put_back: String,
}

/// Restores what a change replaced, unless its rows have changed again since. Undone already, it changes nothing.
pub async fn undo(pool: &PgPool, terms: &Terms, revision: Revision) -> Result<Change, Error> {
    let mut write = Write::begin(pool, terms).await?;
    let restores = restoring(&mut write, revision).await?;
    let mut rows = 0;
    for restore in &restores {
        let touched = sqlx::query_scalar::<_, i64>(AssertSqlSafe(restore.touched_since.clone()))
            .bind(revision.0);
        rows += within(touched.fetch_one(write.connection())).await?;
    }
    if rows > 0 {
        return Err(Error::Superseded { revision, rows });
    }
    let mut changed = 0;
    for restore in restores {
        for statement in [restore.delete, restore.put_back] {
            changed += write
                .execute(sqlx::query(AssertSqlSafe(statement)).bind(revision.0))
                .await?;
        }
    }
    write.finish(changed).await
}

/// How to put this change back, or why it cannot be. A tenant comes before its flags, which need it.
async fn restoring(write: &mut Write, revision: Revision) -> Result<Vec<Restore>, Error> {
    let entities = sqlx::query_as::<_, (String, bool)>(
        "select entity, bool_or(before is null) from ficus.change_item where revision = $1 group by entity order by entity desc",
    )
    .bind(revision.0);
    let entities = within(entities.fetch_all(write.connection())).await?;
    if entities.is_empty() {
        return Err(Error::UnknownChange(revision));
    }
    let mut restores = Vec::new();
    for (entity, made_rows) in entities {
        let why = match (entity.as_str(), made_rows) {
            ("tenant", true) => {
                "it made tenants, and with them their flags would go; delete them in SQL"
            }
            ("local-rollback", _) => {
                "it is the record of a local rollback; undo the changes that follow it"
            }
            ("token" | "api-key", _) => {
                "a token or key that is gone cannot be made again; make another, or revoke it"
            }
            ("capability", _) => "capabilities follow the configuration; change it there",
            ("wave", _) => {
                "a wave is taken back by `ficus rollback --wave`, and ended by `ficus wave abort`"
            }
            (entity, _) if RESTORABLE.contains(&entity) => {
                restores.push(restore(write.connection(), entity).await?);
                continue;
            }
            _ => "what it wrote is a record, and no setting",
        };
        return Err(Error::NotUndoable { revision, why });
    }
    Ok(restores)
}

async fn restore(connection: &mut PgConnection, entity: &str) -> Result<Restore, Error> {
    let columns = sqlx::query_as::<_, (String, bool, bool)>(
        "select quote_ident(a.attname), a.attnotnull, a.attnum = any (k.conkey)
         from pg_attribute as a cross join (
             select conkey from pg_constraint where conrelid = format('ficus.%I', $1::text)::regclass and contype in ('p', 'u')
             order by contype limit 1
         ) as k
         where a.attrelid = format('ficus.%I', $1::text)::regclass and a.attnum > 0 and not a.attisdropped
           and a.attgenerated = '' and a.attidentity = '' and not a.attname = any ($2)
         order by a.attnum",
    )
    .bind(entity)
    .bind(STAMPS.map(str::to_owned).to_vec());
    let columns = within(columns.fetch_all(connection)).await?;
    let table = format!("ficus.{entity}");
    // A plain equality where it can be one, so that a change of a million rows is a hash join.
    let same_key: Vec<String> = columns
        .iter()
        .filter(|(_, _, key)| *key)
        .map(|(name, not_null, _)| match not_null {
            true => format!("t.{name} = k.{name}"),
            false => format!("t.{name} is not distinct from k.{name}"),
        })
        .collect();
    let same_key = same_key.join(" and ");
    let keys = names(columns.iter().filter(|(_, _, key)| *key), "");
    let set: Vec<String> = columns
        .iter()
        .filter(|(_, _, key)| !key)
        .map(|(name, ..)| format!("{name} = excluded.{name}"))
        .collect();
    let set = match set.is_empty() {
        true => "do nothing".to_owned(),
        false => format!("do update set {}", set.join(", ")),
    };
    let items = format!(
        "ficus.change_item as i cross join lateral jsonb_populate_record(null::{table}, coalesce(i.after, i.before)) as k
         left join {table} as t on {same_key}"
    );
    // As rows, not as texts: a column that was added since, or another time zone, does not make a row another one.
    let is = |which: &str| {
        format!(
            "case when i.{which} is null then t.revision is null else coalesce(to_jsonb(jsonb_populate_record(t, i.{which})) = to_jsonb(t), false) end"
        )
    };
    let alive = match entity {
        "freeze" => " and w.until > clock_timestamp()",
        _ => "",
    };
    let of = format!("i.revision = $1 and i.entity = '{entity}'");
    Ok(Restore {
        touched_since: format!("select count(*) from {items} where {of} and not {} and not {}", is("after"), is("before")),
        delete: format!(
            "delete from {table} as t using ficus.change_item as i cross join lateral jsonb_populate_record(null::{table}, i.after) as k
             where {of} and i.before is null and {same_key}"
        ),
        put_back: format!(
            "insert into {table} ({}) select {} from {items} cross join lateral jsonb_populate_record(t, i.before) as w
             where {of} and i.before is not null and not {}{alive} on conflict ({keys}) {set}",
            names(columns.iter(), ""),
            names(columns.iter(), "w."),
            is("before")
        ),
    })
}

fn names<'a>(columns: impl Iterator<Item = &'a (String, bool, bool)>, from: &str) -> String {
    let names: Vec<String> = columns.map(|(name, ..)| format!("{from}{name}")).collect();
    names.join(", ")
}
