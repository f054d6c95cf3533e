//! The state of the migration at a glance: capabilities, overrides, proxies.
//!
//! Its own file, because it reads across the tables that the other files own.

use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::transaction::within;
use super::{Error, Freeze, Instance, Override, freezes, instances, overrides};
use crate::ids::Revision;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Status {
    /// The newest revision in the database.
    pub revision: Revision,
    pub tenants: i64,
    pub capabilities: Vec<CapabilityStatus>,
    pub overrides: Vec<Override>,
    /// Who may not write now.
    pub freezes: Vec<Freeze>,
    pub instances: Vec<Instance>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct CapabilityStatus {
    pub name: String,
    pub effect: String,
    /// Tenants whose flag says so; an override stands above it.
    pub modern: i64,
    pub shadow: i64,
    /// Every other tenant.
    pub legacy: i64,
    /// Forced to legacy, by its own override or by the one of all.
    pub forced_legacy: bool,
    /// What its split keeps together. `None`: it moves by tenant.
    pub split_by: Option<String>,
    /// The share that modern serves of what no flag decides, 0 to 100.
    pub split_percent: Option<f64>,
}

pub async fn status(pool: &PgPool) -> Result<Status, Error> {
    let head =
        sqlx::query_as("select revision, (select count(*) from ficus.tenant) from ficus.clock");
    let (revision, tenants): (i64, i64) = within(head.fetch_one(pool)).await?;
    let capabilities = sqlx::query_as(
        "select c.name, c.effect, c.split_by, s.percent::float8 as split_percent, coalesce(n.modern, 0) as modern, coalesce(n.shadow, 0) as shadow,
                $1 - coalesce(n.modern, 0) - coalesce(n.shadow, 0) as legacy,
                exists (select from ficus.override as o where o.action = 'force-legacy'
                        and (o.capability is null or o.capability = c.name)) as forced_legacy
         from ficus.capability as c left join ficus.split as s on s.capability = c.name left join (
             select capability, count(*) filter (where state = 'modern') as modern, count(*) filter (where state = 'shadow') as shadow
             from ficus.flag where state <> 'legacy' group by capability
         ) as n on n.capability = c.name
         order by c.name",
    )
    .bind(tenants);
    Ok(Status {
        revision: Revision(revision),
        tenants,
        capabilities: within(capabilities.fetch_all(pool)).await?,
        overrides: overrides(pool).await?,
        freezes: freezes(pool).await?,
        instances: instances(pool).await?,
    })
}
