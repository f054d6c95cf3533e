//! API keys of tenants: made, listed, revoked. Requests are matched with them by `identity`.
//!
//! Its own file, because it owns `ficus.api_key` and is the only place that ever sees a fresh key's text.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::transaction::within;
use super::{Author, Error, issued, tenant};
use crate::ids::{TenantId, TenantRef};
use crate::secret;

/// What a key's text begins with; `identity::token::api_key` refuses others without asking.
const PREFIX: &str = "ficus_key_";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct ApiKey {
    pub name: String,
    #[sqlx(try_from = "i64")]
    pub tenant_id: TenantId,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Makes a key and answers its text, which is stored nowhere: pass it on and forget it.
pub async fn create_api_key(
    pool: &PgPool,
    author: &Author,
    name: &str,
    of: &TenantRef,
    expires_at: Option<DateTime<Utc>>,
) -> Result<String, Error> {
    let of = tenant(pool, of).await?;
    let text = secret::issue(PREFIX);
    let digest = Sha256::digest(text.as_bytes());
    let insert = sqlx::query(
        "insert into ficus.api_key (name, tenant_id, digest, expires_at) values ($1, $2, $3, $4)",
    )
    .bind(name)
    .bind(of.id.0)
    .bind(digest.as_slice())
    .bind(expires_at);
    issued::write(pool, author, insert).await?;
    Ok(text)
}

pub async fn list_api_keys(pool: &PgPool) -> Result<Vec<ApiKey>, Error> {
    let query = sqlx::query_as(
        "select name, tenant_id, created_at, expires_at, revoked_at from ficus.api_key order by name limit $1",
    )
    .bind(super::page(u32::MAX));
    within(query.fetch_all(pool)).await
}

/// Revokes a key. Answers false when it was revoked already.
pub async fn revoke_api_key(pool: &PgPool, author: &Author, name: &str) -> Result<bool, Error> {
    let revoke = "update ficus.api_key set revoked_at = clock_timestamp() where name = $1 and revoked_at is null";
    let known = "select from ficus.api_key where name = $1";
    issued::revoke(pool, author, name, revoke, known)
        .await?
        .ok_or_else(|| Error::UnknownApiKey(name.to_owned()))
}
