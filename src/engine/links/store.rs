//! The tables of links and bounces: what is read of them, and the functions that write them.
//!
//! Its own file, because what a link may do is decided elsewhere, and this is only where it is kept (migrations/0011_links.sql).

use sqlx::PgPool;
use uuid::Uuid;

use super::counts::Count;
use crate::engine::message::MessageId;
use crate::engine::tracking::target::{Target, Targets};
use crate::ids::TenantId;

/// What targets are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A text that messages share: a campaign's template, as `ficus.content` has it.
    Content(Uuid),
    /// A message that shares none.
    Message(MessageId),
}

/// Why targets are not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    #[error("the tenant has no content {0}: it is stored before its targets")]
    NoContent(Uuid),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Stores where the links of a text lead, before the first mail with them leaves, and answers with all that are stored for it: links
/// are made of the answer ([`super::LinkMaker::rewrite`]), for numbers that were given once stand in mails that are out. A content's
/// row has to be there. The same again changes nothing; what is new is added behind what is there, up to
/// [`crate::engine::tracking::rewrite::LINK_LIMIT`], and what comes after that is not among the answer.
pub async fn store_targets(
    pool: &PgPool,
    tenant: TenantId,
    source: Source,
    targets: &Targets,
) -> Result<Targets, StoreFault> {
    if targets.is_empty() {
        return Ok(Targets::default());
    }
    let (id, is_content) = match source {
        Source::Content(id) => (id, true),
        Source::Message(id) => (id.0, false),
    };
    let given: Vec<&str> = targets.iter().map(Target::as_str).collect();
    let stored: Vec<String> = sqlx::query_scalar(
        "select target from ficus.store_targets($1, $2, $3, $4) order by number",
    )
    .bind(tenant.0)
    .bind(id)
    .bind(is_content)
    .bind(given)
    .fetch_all(pool)
    .await?;
    match stored.is_empty() {
        true => Err(StoreFault::NoContent(id)),
        false => Ok(read(stored)),
    }
}

/// What a link has to know of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub tenant: TenantId,
    pub source: Source,
}

pub(super) async fn find_message(pool: &PgPool, id: Uuid) -> Result<Option<Known>, sqlx::Error> {
    let row: Option<(i64, Option<Uuid>)> =
        sqlx::query_as("select tenant_id, content_id from ficus.message where id = $1")
            .bind(id)
            .fetch_optional(pool)
            .await?;
    Ok(row.map(|(tenant, content)| Known {
        tenant: TenantId(tenant),
        source: content.map_or(Source::Message(MessageId(id)), Source::Content),
    }))
}

pub(super) async fn find_recipient(pool: &PgPool, id: Uuid) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("select recipient from ficus.message where id = $1")
        .bind(id)
        .fetch_optional(pool)
        .await
}

/// Empty where none are stored.
pub(super) async fn find_targets(pool: &PgPool, source: Source) -> Result<Targets, sqlx::Error> {
    let (find, id) = match source {
        Source::Content(id) => (
            "select target from ficus.content_target where content_id = $1 order by number",
            id,
        ),
        Source::Message(id) => (
            "select target from ficus.message_target where id = $1 order by number",
            id.0,
        ),
    };
    let stored = sqlx::query_scalar(find).bind(id).fetch_all(pool).await?;
    Ok(read(stored))
}

/// The stored target with this very text, of whatever content.
pub(super) async fn find_target(pool: &PgPool, asked: &str) -> Result<Targets, sqlx::Error> {
    let find = "select target from ficus.content_target where target = $1 limit 1";
    let stored = sqlx::query_scalar(find).bind(asked).fetch_all(pool).await?;
    Ok(read(stored))
}

/// All of them were targets when they were stored. Behind one that is none by now nothing is led to: its number would be another's.
fn read(stored: Vec<String>) -> Targets {
    let targets = stored.iter().map_while(|text| Target::parse(text));
    Targets::from_store(targets.collect())
}

pub(super) async fn count_reactions(
    pool: &PgPool,
    rows: &[((TenantId, Uuid), Count)],
) -> Result<(), sqlx::Error> {
    let opens: Vec<i64> = rows.iter().map(|row| row.1.opens.into()).collect();
    let clicks: Vec<i64> = rows.iter().map(|row| row.1.clicks.into()).collect();
    sqlx::query("select ficus.count_reactions($1, $2, $3, $4)")
        .bind(rows.iter().map(|row| row.0.0.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.0.1).collect::<Vec<_>>())
        .bind(opens)
        .bind(clicks)
        .execute(pool)
        .await
        .map(drop)
}

pub(super) async fn unsubscribe(
    pool: &PgPool,
    tenant: TenantId,
    message: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query("select ficus.suppress($1, $2, 'unsubscribed', '')")
        .bind(message)
        .bind(tenant.0)
        .execute(pool)
        .await
        .map(drop)
}

/// What legacy's tables do not have yet: tenant, recipient, reason and detail.
pub(super) async fn untold(
    pool: &PgPool,
    most: i64,
) -> Result<Vec<(i64, String, String, String)>, sqlx::Error> {
    sqlx::query_as(
        "select tenant_id, recipient, reason, detail from ficus.untold order by since limit $1",
    )
    .bind(most)
    .fetch_all(pool)
    .await
}

pub(super) async fn note_told(
    pool: &PgPool,
    rows: &[(i64, &str, &str)],
) -> Result<(), sqlx::Error> {
    sqlx::query("select ficus.note_told($1, $2, $3)")
        .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.1).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.2).collect::<Vec<_>>())
        .execute(pool)
        .await
        .map(drop)
}
