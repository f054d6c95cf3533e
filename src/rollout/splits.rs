//! Splits: the share of a capability's traffic that modern serves.
//!
//! Its own file, because it owns `ficus.split`.

use sqlx::PgPool;

use super::transaction::Write;
use super::{Change, Error, Terms, capabilities};
use crate::flags::split::Percent;

/// Sets the share. A tenant's flag stands above it; force-legacy stands above both.
pub async fn set_split(
    pool: &PgPool,
    terms: &Terms,
    capability: &str,
    percent: Percent,
) -> Result<Change, Error> {
    let mut write = Write::begin(pool, terms).await?;
    capabilities::require(write.connection(), capability).await?;
    let set = sqlx::query(
        "insert into ficus.split as s (capability, percent) values ($1, $2::integer / 100.0)
         on conflict on constraint split_pkey do update set percent = excluded.percent
         where s.percent is distinct from excluded.percent",
    )
    .bind(capability)
    .bind(percent.hundredths());
    let changed = write.execute(set).await?;
    write.finish(changed).await
}
