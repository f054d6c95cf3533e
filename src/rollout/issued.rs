//! What tokens and API keys have in common: they are written as one change, and revoked once.
//!
//! Its own file, because what revoking answers must not differ between the two.

use sqlx::PgPool;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;

use super::transaction::{Write, within};
use super::{Author, Error, Terms};

/// Carries out one statement as one change, and answers how many rows it wrote.
pub async fn write(
    pool: &PgPool,
    author: &Author,
    statement: Query<'_, Postgres, PgArguments>,
) -> Result<u64, Error> {
    let mut write = Write::begin(pool, &Terms::of(author.clone())).await?;
    let rows = write.execute(statement).await?;
    write.finish(rows).await?;
    Ok(rows)
}

/// True when `revoke` took effect, false when it had before; `None`: `known` finds nobody of the name, which is $1 of both.
pub async fn revoke(
    pool: &PgPool,
    author: &Author,
    name: &str,
    revoke: &'static str,
    known: &'static str,
) -> Result<Option<bool>, Error> {
    if write(pool, author, sqlx::query(revoke).bind(name)).await? > 0 {
        return Ok(Some(true));
    }
    let known = within(sqlx::query(known).bind(name).fetch_optional(pool)).await?;
    Ok(known.map(|_| false))
}
