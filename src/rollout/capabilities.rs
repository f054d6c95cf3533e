//! Capabilities: read, and registered from the configuration.
//!
//! Its own file, because it owns `ficus.capability`: what may be flipped at all.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};

use super::transaction::{Write, within};
use super::{Change, Error, Terms};
use crate::flags::Effect;
use crate::ids::Revision;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Capability {
    pub name: String,
    pub effect: String,
    #[sqlx(try_from = "i64")]
    pub revision: Revision,
    pub changed_at: DateTime<Utc>,
}

/// All of them: there are 64 at most.
pub async fn capabilities(pool: &PgPool) -> Result<Vec<Capability>, Error> {
    let query = sqlx::query_as(
        "select name, effect, revision, changed_at from ficus.capability order by name",
    );
    within(query.fetch_all(pool)).await
}

pub async fn capability(pool: &PgPool, name: &str) -> Result<Capability, Error> {
    let query = sqlx::query_as(
        "select name, effect, revision, changed_at from ficus.capability where name = $1",
    )
    .bind(name);
    within(query.fetch_optional(pool))
        .await?
        .ok_or_else(|| Error::UnknownCapability(name.to_owned()))
}

/// Fails unless the capability exists.
pub(super) async fn require(db: impl PgExecutor<'_>, name: &str) -> Result<(), Error> {
    let known = sqlx::query("select from ficus.capability where name = $1").bind(name);
    match within(known.fetch_optional(db)).await? {
        Some(_) => Ok(()),
        None => Err(Error::UnknownCapability(name.to_owned())),
    }
}

/// Inserts the capabilities that the configuration names and the database lacks, and sets the effect of those that
/// have another. Never deletes: a process with an older configuration must not take a capability away.
pub async fn register_capabilities(
    pool: &PgPool,
    terms: &Terms,
    wanted: &[(String, Effect)],
) -> Result<Change, Error> {
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let effects: Vec<&str> = wanted.iter().map(|(_, effect)| effect.as_str()).collect();
    let mut write = Write::begin(pool, terms).await?;
    let register = sqlx::query(
        "insert into ficus.capability (name, effect)
         select w.name, w.effect from unnest($1::text[], $2::text[]) as w (name, effect)
         left join ficus.capability as c on c.name = w.name
         where c.effect is distinct from w.effect
         order by w.name
         on conflict on constraint capability_pkey do update set effect = excluded.effect",
    )
    .bind(names)
    .bind(effects);
    let changed = write.execute(register).await?;
    write.finish(changed).await
}
