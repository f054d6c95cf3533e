//! Tokens of the admin API: made, listed, revoked, verified.
//!
//! Its own file, because it owns `ficus.token` and is the only place that ever sees a token's text.
//! The text is `ficus_` and what [`secret::issue`] makes. Only its SHA-256 is stored.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use subtle::ConstantTimeEq;

use super::transaction::within;
use super::{Author, Error, issued};
use crate::ids::{TenantId, TenantRef};
use crate::secret;

const PREFIX: &str = "ficus_";

/// What a token may do. Each role may do what the one before it may.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asks by OFREP where its own tenants are, and nothing else.
    Ofrep,
    /// Reads.
    Viewer,
    /// Flips and rolls back.
    Operator,
    /// Makes and revokes tokens.
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ofrep => "ofrep",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "ofrep" => Ok(Self::Ofrep),
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            _ => Err(format!(
                "{text:?} is no role: expected ofrep, viewer, operator or admin"
            )),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Token {
    pub name: String,
    #[sqlx(try_from = "String")]
    pub role: Role,
    /// Of role ofrep: the tenants that it may ask for.
    #[serde(default)]
    pub tenants: Vec<i64>,
    pub created_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Who presented a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHolder {
    pub name: String,
    pub role: Role,
    /// Of role ofrep: the tenants that it may ask for.
    pub tenants: Vec<TenantId>,
}

/// Makes a token and answers its text, which is stored nowhere: pass it on and forget it.
pub async fn create_token(
    pool: &PgPool,
    author: &Author,
    name: &str,
    role: Role,
) -> Result<String, Error> {
    if role == Role::Ofrep {
        return Err(Error::Invalid(
            "a token of role ofrep is bound to tenants: name them".to_owned(),
        ));
    }
    insert_token(pool, author, name, role, &[]).await
}

/// Makes a token that may ask by OFREP where these tenants are, and nothing else.
pub async fn create_ofrep_token(
    pool: &PgPool,
    author: &Author,
    name: &str,
    tenants: &[TenantRef],
) -> Result<String, Error> {
    let mut connection = within(pool.acquire()).await?;
    let mut ids = super::tenants::resolve_all(&mut connection, tenants).await?;
    drop(connection);
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Err(Error::Invalid(
            "a token of role ofrep is bound to tenants: name them".to_owned(),
        ));
    }
    insert_token(pool, author, name, Role::Ofrep, &ids).await
}

async fn insert_token(
    pool: &PgPool,
    author: &Author,
    name: &str,
    role: Role,
    tenants: &[i64],
) -> Result<String, Error> {
    let text = secret::issue(PREFIX);
    let digest = Sha256::digest(text.as_bytes());
    let insert = sqlx::query(
        "insert into ficus.token (name, role, digest, tenants) values ($1, $2, $3, $4)",
    )
    .bind(name)
    .bind(role.as_str())
    .bind(digest.as_slice())
    .bind(tenants);
    issued::write(pool, author, insert).await?;
    Ok(text)
}

pub async fn list_tokens(pool: &PgPool) -> Result<Vec<Token>, Error> {
    let query = sqlx::query_as(
        "select name, role, tenants, created_at, revoked_at from ficus.token order by name limit $1",
    )
    .bind(super::page(u32::MAX));
    within(query.fetch_all(pool)).await
}

/// Revokes a token. Answers false when it was revoked already.
pub async fn revoke_token(pool: &PgPool, author: &Author, name: &str) -> Result<bool, Error> {
    let revoke = "update ficus.token set revoked_at = clock_timestamp() where name = $1 and revoked_at is null";
    let known = "select from ficus.token where name = $1";
    issued::revoke(pool, author, name, revoke, known)
        .await?
        .ok_or_else(|| Error::UnknownToken(name.to_owned()))
}

/// The digest of a text that can be a token: right prefix, length and checksum.
pub fn token_digest(text: &str) -> Option<[u8; 32]> {
    secret::is_issued(PREFIX, text).then(|| Sha256::digest(text.as_bytes()).into())
}

/// Whose token has this digest; `None` when nobody's, or when it is revoked.
pub async fn verify_token(pool: &PgPool, digest: &[u8; 32]) -> Result<Option<TokenHolder>, Error> {
    let query = sqlx::query_as::<_, (String, String, Vec<i64>, Vec<u8>)>(
        "select name, role, tenants, digest from ficus.token where digest = $1 and revoked_at is null",
    )
    .bind(digest.as_slice());
    let Some((name, role, tenants, stored)) = within(query.fetch_optional(pool)).await? else {
        return Ok(None);
    };
    if !bool::from(stored.ct_eq(digest)) {
        return Ok(None);
    }
    Ok(Some(TokenHolder {
        name,
        role: Role::try_from(role).map_err(Error::Invalid)?,
        tenants: tenants.into_iter().map(TenantId).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_the_form_of_a_token_has_no_digest() {
        for text in [
            "",
            "ficus_",
            "ficus_AAAA",
            "bearer",
            &secret::issue(PREFIX)[1..],
            &format!("{}A", secret::issue(PREFIX)),
        ] {
            assert_eq!(token_digest(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_higher_role_may_do_what_a_lower_may() {
        assert!(Role::Ofrep < Role::Viewer);
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
