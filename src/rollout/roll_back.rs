//! The rollback: everything in scope to legacy, in one statement.
//!
//! Its own file, because it is the one operation that must have no guard, no approval and no condition of its own.

use sqlx::PgPool;

use super::transaction::Write;
use super::{Change, Error, Source, Terms, overrides, tenants, wave};
use crate::ids::TenantRef;

/// What to take back. Exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every flag of these tenants.
    Tenants(Vec<TenantRef>),
    /// The flags of one capability, of these tenants.
    Flags(String, Vec<TenantRef>),
    /// Everyone who stands on modern because of a wave, which is put on hold.
    Wave(String),
    /// One capability, by an override that stands above its flags.
    Capability(String),
    /// Everything, by an override that stands above every flag.
    All,
}

/// Rolls back. Done already, it is a success with `changed: 0`.
pub async fn roll_back(pool: &PgPool, terms: &Terms, scope: &Scope) -> Result<Change, Error> {
    let (capability, wanted) = match scope {
        Scope::All => return force_legacy(pool, terms, None).await,
        Scope::Capability(name) => return force_legacy(pool, terms, Some(name)).await,
        Scope::Wave(name) => {
            let mut write = Write::begin(pool, terms).await?;
            let changed = wave::take_back(&mut write, name).await?;
            return write.finish(changed).await;
        }
        Scope::Tenants(wanted) => (None, wanted),
        Scope::Flags(capability, wanted) => (Some(capability.as_str()), wanted),
    };
    let mut write = Write::begin(pool, terms).await?;
    let ids = tenants::resolve_all(write.connection(), wanted).await?;
    let update = sqlx::query(
        "update ficus.flag set state = 'legacy' where tenant_id = any ($1) and state <> 'legacy'
           and ($2::text is null or capability = $2)",
    )
    .bind(&ids)
    .bind(capability);
    let moved = write.execute(update).await?;
    // Whom a split has on modern has no flag to set.
    let pinned = match capability {
        None => {
            let pin = sqlx::query_scalar("select ficus.pin_to_legacy($1, null)").bind(&ids);
            let pinned: i64 = pin.fetch_one(write.connection()).await?;
            pinned.unsigned_abs()
        }
        Some(capability) => {
            let pin = sqlx::query(
                "insert into ficus.flag (tenant_id, capability, state)
                 select t.id, s.capability, 'legacy' from unnest($1::bigint[]) as t (id) join ficus.split as s on s.capability = $2 and s.percent > 0
                 where not exists (select from ficus.flag as f where f.tenant_id = t.id and f.capability = s.capability)
                 on conflict on constraint flag_pkey do nothing",
            )
            .bind(&ids)
            .bind(capability);
            write.execute(pin).await?
        }
    };
    let mut changed = moved + pinned;
    // What the guard takes back, no wave goes on from before a person has looked.
    if terms.author.source == Source::Guard {
        changed += wave::hold_those_of(&mut write, capability, &ids).await?;
    }
    write.finish(changed).await
}

async fn force_legacy(
    pool: &PgPool,
    terms: &Terms,
    capability: Option<&str>,
) -> Result<Change, Error> {
    let mut write = Write::begin(pool, terms).await?;
    let mut changed = overrides::force_legacy(&mut write, capability).await?;
    if terms.author.source == Source::Guard {
        changed += wave::hold_all_of(&mut write, capability).await?;
    }
    write.finish(changed).await
}
