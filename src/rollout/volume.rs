//! Classes by volume: what legacy's own records say of each tenant's size, taken over into the tenants.
//!
//! Its own file, because it is the one writer of classes that is no person, and must leave what a person has pinned.

use sqlx::PgPool;

use super::queries::Queries;
use super::transaction::Write;
use super::{Change, Class, Error, Terms};

/// Sends a day from which a tenant is no longer low.
const MEDIUM_FROM: f64 = 1000.0;
/// Sends a day beyond which it is high.
const HIGH_ABOVE: f64 = 10_000.0;

/// The class of so many sends a day.
pub fn class_of(sends: f64) -> Class {
    if sends > HIGH_ABOVE {
        Class::High
    } else if sends >= MEDIUM_FROM {
        Class::Medium
    } else {
        Class::Low
    }
}

/// Sets the class of each tenant whose volume is known. A pinned class stays, so does that of a tenant whose volume is not
/// told; a tenant that nobody has told us of is made.
pub async fn sync_tenants(
    pool: &PgPool,
    terms: &Terms,
    queries: &Queries,
) -> Result<Change, Error> {
    // Before the write begins: legacy's database may take its time, and a write makes the others wait.
    let volumes = queries.volumes().await?;
    let check = |(tenant, sends): &(i64, f64)| *tenant > 0 && sends.is_finite() && *sends >= 0.0;
    if let Some((tenant, sends)) = volumes.iter().find(|row| !check(row)) {
        let fault =
            format!("rollout.volume_query: tenant {tenant} with {sends} sends a day cannot be");
        return Err(Error::Invalid(fault));
    }
    let tenants: Vec<i64> = volumes.iter().map(|(tenant, _)| *tenant).collect();
    let classes = volumes.iter().map(|(_, sends)| class_of(*sends).as_str());
    let classes: Vec<&str> = classes.collect();
    let mut write = Write::begin(pool, terms).await?;
    let sync = sqlx::query(
        "insert into ficus.tenant as t (id, class)
         select v.id, v.class from (
             select distinct on (u.id) u.id, u.class from unnest($1::bigint[], $2::text[]) as u (id, class) order by u.id, u.class
         ) as v
         left join ficus.tenant as is_now on is_now.id = v.id
         where is_now.id is null or (not is_now.class_pinned and is_now.class <> v.class)
         on conflict on constraint tenant_pkey do update set class = excluded.class",
    )
    .bind(tenants)
    .bind(classes);
    let changed = write.execute(sync).await?;
    write.finish(changed).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_a_day_is_medium_and_more_than_ten_thousand_is_high() {
        let classes = [0.0, 999.9, 1000.0, 10_000.0, 10_000.1].map(class_of);
        assert_eq!(
            classes,
            [
                Class::Low,
                Class::Low,
                Class::Medium,
                Class::Medium,
                Class::High
            ]
        );
    }
}
