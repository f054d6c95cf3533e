//! The audit's chain of hashes: its rows as they were hashed, read page by page.
//!
//! Its own folder, because it must be checkable by who trusts neither this process nor its database: [`form`] is
//! the canonical form, [`verify`] the check, both without a database; [`anchor`] takes the head elsewhere.

pub mod anchor;
mod form;
mod report;
mod verify;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

pub use form::{Entry, Link, Part, SealedChange, SealedItem};
pub use report::{Fault, FaultKind, Report};
pub use verify::Verifier;

use super::transaction::within;
use super::{Error, page};

/// The end of the chain, and of the rows that it is over, seen at one moment.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::FromRow,
)]
pub struct Head {
    /// The newest link; 0 before the first.
    pub seq: i64,
    pub revision: i64,
    /// 64 hexadecimal digits; zeros before the first link.
    pub hash: String,
    /// The newest row of `ficus.change`.
    pub last_change: i64,
    /// The newest row of `ficus.change_item`.
    pub last_place: i64,
    /// The newest revision that was taken; one whose statement then changed nothing has no change.
    pub clock: i64,
}

/// A head that was taken out of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub at: DateTime<Utc>,
    pub seq: i64,
    pub revision: i64,
    pub hash: String,
}

pub async fn head(pool: &PgPool) -> Result<Head, Error> {
    let query = sqlx::query_as(
        "select coalesce(l.seq, 0) as seq, coalesce(l.revision, 0) as revision, coalesce(encode(l.hash, 'hex'), repeat('0', 64)) as hash,
                (select coalesce(max(revision), 0) from ficus.change) as last_change,
                (select coalesce(max(place), 0) from ficus.change_item) as last_place, k.revision as clock
         from ficus.clock as k left join (select seq, revision, hash from ficus.link order by seq desc limit 1) as l on true",
    );
    within(query.fetch_one(pool)).await
}

/// The hash of one link, if it is there.
pub async fn hash_at(pool: &PgPool, seq: i64) -> Result<Option<String>, Error> {
    let query =
        sqlx::query_scalar("select encode(hash, 'hex') from ficus.link where seq = $1").bind(seq);
    within(query.fetch_optional(pool)).await
}

/// Links after `after`, in their order.
pub async fn links(pool: &PgPool, after: i64, limit: u32) -> Result<Vec<Link>, Error> {
    let query = sqlx::query_as(
        "select seq, revision, part, rows, first_place, last_place, encode(digest, 'hex') as digest,
                encode(row_digests, 'hex') as row_digests, encode(hash, 'hex') as hash
         from ficus.link where seq > $1 order by seq limit $2",
    )
    .bind(after)
    .bind(page(limit));
    within(query.fetch_all(pool)).await
}

/// Changes after a revision, as they were hashed.
pub async fn sealed_changes(
    pool: &PgPool,
    after: i64,
    limit: u32,
) -> Result<Vec<SealedChange>, Error> {
    // Not by functions of the schema: who rewrites the audit can rewrite those.
    let query = sqlx::query_as(
        r#"select revision, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, entity, actor, source, reason, db_user,
                  application, action_id::text, to_char(acted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as acted_at,
                  evidence::text, to_char(requested_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as requested_at
           from ficus.change where revision > $1 order by revision limit $2"#,
    )
    .bind(after)
    .bind(page(limit));
    within(query.fetch_all(pool)).await
}

/// Items after a place, as they were hashed.
pub async fn sealed_items(pool: &PgPool, after: i64, limit: u32) -> Result<Vec<SealedItem>, Error> {
    let query = sqlx::query_as(
        "select place, revision, entity, tenant_id as tenant, capability, before::text, after::text
         from ficus.change_item where place > $1 order by place limit $2",
    )
    .bind(after)
    .bind(page(limit));
    within(query.fetch_all(pool)).await
}
