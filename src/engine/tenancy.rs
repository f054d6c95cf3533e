//! A transaction that sees one tenant's rows and no others, whatever its statements ask for.
//!
//! Its own file, because it is the engine's second lock: the first is the condition in each statement, and one of them is forgotten some day.

use sqlx::{PgPool, Postgres, Transaction};

use crate::ids::TenantId;

/// Reads alone, as the role `ficus_sender`. Role and tenant end with the transaction: a pooled connection carries nothing over.
pub async fn read_as(
    pool: &PgPool,
    tenant: TenantId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query(
        "select set_config('ficus.tenant', $1, true), set_config('role', 'ficus_sender', true)",
    )
    .bind(tenant.0.to_string())
    .execute(&mut *transaction)
    .await?;
    Ok(transaction)
}
