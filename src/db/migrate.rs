//! Applies the schema.
//!
//! Its own file, because migrations run on a connection of their own: in the schema `ficus`, as a role that may
//! make roles, and without the statement timeout of the control plane.

use anyhow::Context;
use sqlx::{Connection, PgConnection};

/// Run by whoever comes first; the others find it made. Asked first, since `create schema if not exists` wants
/// the right to create even where there is nothing to create.
const MAKE_SCHEMA: &str = "
    do $$
    begin
        if to_regnamespace('ficus') is null then
            create schema ficus;
        end if;
    exception when duplicate_schema or unique_violation then
        null;
    end $$";

/// Brings the schema of the database at `url` up to date. Safe to run from several processes at once.
pub async fn migrate(url: &str) -> anyhow::Result<()> {
    let options = super::connect_options(url)?;
    let mut connection = PgConnection::connect_with(&options)
        .await
        .context("could not connect to apply the schema")?;
    sqlx::raw_sql(MAKE_SCHEMA)
        .execute(&mut connection)
        .await
        .context("could not make the schema ficus")?;
    // So that sqlx keeps its own table in our schema, too.
    sqlx::raw_sql("set search_path = ficus")
        .execute(&mut connection)
        .await?;
    sqlx::migrate!()
        .run(&mut connection)
        .await
        .context("could not apply the schema")?;
    connection.close().await?;
    Ok(())
}
