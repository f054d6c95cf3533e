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
    /// The flags of one capability, of these tenants.
    Flags(String, Vec<TenantRef>),
    /// One capability, by an override that stands above its flags.
    Capability(String),
    /// Everything, by an override that stands above every flag.
    All,
}

/// Rolls back. Done already, it is a success with `changed: 0`.
pub async fn roll_back(pool: &PgPool, terms: &Terms, scope: &Scope) -> Result<Change, Error> {
    let (capability, wanted) = match scope {
        Scope::All => return set_override(pool, terms, None).await,
        Scope::Capability(name) => return set_override(pool, terms, Some(name)).await,
        Scope::Tenants(wanted) => (None, wanted),
        Scope::Flags(capability, wanted) => (Some(capability), wanted),
    };
    let mut write = Write::begin(pool, terms).await?;
    let ids = tenants::resolve_all(write.connection(), wanted).await?;
    let update = sqlx::query(
        "update ficus.flag set state = 'legacy' where tenant_id = any ($1) and state <> 'legacy'
           and ($2::text is null or capability = $2)",
    )
    .bind(ids)
    .bind(capability);
    let changed = write.execute(update).await?;
    write.finish(changed).await
}
