//! The rollback: everything in scope to legacy, in one statement.
//!
//! Its own file, because it is the one operation that must have no guard, no approval and no condition of its own.

use sqlx::PgPool;

use super::transaction::Write;
use super::{Change, Error, Terms, set_override, tenants};
use crate::ids::TenantRef;

/// What to take back. Exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every flag of these tenants.
    Tenants(Vec<TenantRef>),
    /// One capability, by an override that stands above its flags.
    Capability(String),
    /// Everything, by an override that stands above every flag.
    All,
}

/// Rolls back. Done already, it is a success with `changed: 0`.
pub async fn roll_back(pool: &PgPool, terms: &Terms, scope: &Scope) -> Result<Change, Error> {
    let wanted = match scope {
        Scope::All => return set_override(pool, terms, None).await,
        Scope::Capability(name) => return set_override(pool, terms, Some(name)).await,
        Scope::Tenants(wanted) => wanted,
    };
    let mut write = Write::begin(pool, terms).await?;
    let ids = tenants::resolve_all(write.connection(), wanted).await?;
    let update = sqlx::query(
        "update ficus.flag set state = 'legacy' where tenant_id = any ($1) and state <> 'legacy'",
    )
    .bind(&ids);
    let moved = write.execute(update).await?;
    // Whom a split has on modern has no flag to set.
    let pin = sqlx::query_scalar("select ficus.pin_to_legacy($1, null)").bind(&ids);
    let pinned: i64 = pin.fetch_one(write.connection()).await?;
    write.finish(moved + pinned.unsigned_abs()).await
}
