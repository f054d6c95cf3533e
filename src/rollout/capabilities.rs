//! Capabilities: read, and registered from the configuration.
//!
//! Its own file, because it owns `ficus.capability`: what may be flipped at all.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};

use super::transaction::{Write, within};
use super::{Change, Error, Terms};
use crate::flags::{Effect, Sticky};
use crate::ids::Revision;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Capability {
    pub name: String,
    pub effect: String,
    /// What its split keeps together: tenant, user or session. `None`: it moves by its tenants' flags alone.
    pub split_by: Option<String>,
    /// The share of its traffic that modern serves, 0 to 100.
    pub split_percent: Option<f64>,
    #[sqlx(try_from = "i64")]
    pub revision: Revision,
    pub changed_at: DateTime<Utc>,
}

/// All of them: there are 64 at most.
pub async fn capabilities(pool: &PgPool) -> Result<Vec<Capability>, Error> {
    let query = sqlx::query_as(
        "select c.name, c.effect, c.split_by, s.percent::float8 as split_percent, c.revision, c.changed_at
         from ficus.capability as c left join ficus.split as s on s.capability = c.name order by c.name",
    );
    within(query.fetch_all(pool)).await
}

pub async fn capability(pool: &PgPool, name: &str) -> Result<Capability, Error> {
    let query = sqlx::query_as(
        "select c.name, c.effect, c.split_by, s.percent::float8 as split_percent, c.revision, c.changed_at
         from ficus.capability as c left join ficus.split as s on s.capability = c.name where c.name = $1",
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

/// A capability as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub effect: Effect,
    /// `None`: it moves by tenant.
    pub split_by: Option<Sticky>,
}

/// Inserts the capabilities that the configuration names and the database lacks, and corrects those that are otherwise
/// there. Never deletes: a process with an older configuration must not take a capability away.
pub async fn register_capabilities(
    pool: &PgPool,
    terms: &Terms,
    wanted: &[Wanted],
) -> Result<Change, Error> {
    let names: Vec<&str> = wanted.iter().map(|it| it.name.as_str()).collect();
    let effects: Vec<&str> = wanted.iter().map(|it| it.effect.as_str()).collect();
    let splits: Vec<_> = wanted
        .iter()
        .map(|it| it.split_by.map(Sticky::as_str))
        .collect();
    let mut write = Write::begin(pool, terms).await?;
    let register = sqlx::query(
        "insert into ficus.capability (name, effect, split_by)
         select w.name, w.effect, w.split_by from unnest($1::text[], $2::text[], $3::text[]) as w (name, effect, split_by)
         left join ficus.capability as c on c.name = w.name
         where c.effect is distinct from w.effect or c.split_by is distinct from w.split_by
         order by w.name
         on conflict on constraint capability_pkey do update set effect = excluded.effect, split_by = excluded.split_by",
    )
    .bind(names)
    .bind(effects)
    .bind(splits);
    let changed = write.execute(register).await?;
    write.finish(changed).await
}
