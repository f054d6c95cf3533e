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
use crate::secret;

const PREFIX: &str = "ficus_";

/// What a token may do. Each role may do what the one before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
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
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            _ => Err(format!(
                "{text:?} is no role: expected viewer, operator or admin"
            )),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Token {
    pub name: String,
    #[sqlx(try_from = "String")]
    pub role: Role,
    pub created_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Who presented a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHolder {
    pub name: String,
    pub role: Role,
}

/// Makes a token and answers its text, which is stored nowhere: pass it on and forget it.
pub async fn create_token(
    pool: &PgPool,
    author: &Author,
    name: &str,
    role: Role,
) -> Result<String, Error> {
    let text = secret::issue(PREFIX);
    let digest = Sha256::digest(text.as_bytes());
    let insert = sqlx::query("insert into ficus.token (name, role, digest) values ($1, $2, $3)")
        .bind(name)
        .bind(role.as_str())
        .bind(digest.as_slice());
    issued::write(pool, author, insert).await?;
    Ok(text)
}

pub async fn list_tokens(pool: &PgPool) -> Result<Vec<Token>, Error> {
    let query = sqlx::query_as(
        "select name, role, created_at, revoked_at from ficus.token order by name limit $1",
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
    let query = sqlx::query_as::<_, (String, String, Vec<u8>)>(
        "select name, role, digest from ficus.token where digest = $1 and revoked_at is null",
    )
    .bind(digest.as_slice());
    let Some((name, role, stored)) = within(query.fetch_optional(pool)).await? else {
        return Ok(None);
    };
    if !bool::from(stored.ct_eq(digest)) {
        return Ok(None);
    }
    Ok(Some(TokenHolder {
        name,
        role: Role::try_from(role).map_err(Error::Invalid)?,
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
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
