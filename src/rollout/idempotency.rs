//! Keys under which a write is done once: looked up and kept in the write's own transaction.
//!
//! Its own file, because it owns `ficus.idempotency`; [`super::transaction`] asks it, and `control` answers from it.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::transaction::within;
use super::{Change, Error};
use crate::ids::Revision;

/// The key of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// What the caller chose; it is theirs alone.
    pub key: String,
    /// SHA-256 of method, path and body.
    pub request: [u8; 32],
}

/// What was done under a key within the last 24 hours.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Whether it was this very request.
    pub same: bool,
    pub change: Change,
    /// The status and the body that were answered. `None`: not known yet, or of a kind that is answered once.
    pub answer: Option<(u16, String)>,
}

pub async fn kept(pool: &PgPool, actor: &str, key: &RequestKey) -> Result<Option<Kept>, Error> {
    type Row = (bool, i64, i64, DateTime<Utc>, Option<i16>, Option<String>);
    let query = sqlx::query_as::<_, Row>(
        "select request = $3, revision, changed, changed_at, status, answer from ficus.idempotency
         where actor = $1 and key = $2 and made_at > clock_timestamp() - interval '24 hours'",
    )
    .bind(actor)
    .bind(&key.key)
    .bind(key.request.as_slice());
    let row = within(query.fetch_optional(pool)).await?;
    Ok(
        row.map(|(same, revision, changed, at, status, answer)| Kept {
            same,
            change: Change {
                revision: Revision(revision),
                changed: u64::try_from(changed).unwrap_or(0),
                at,
                preview: Vec::new(),
            },
            answer: status.and_then(|it| u16::try_from(it).ok()).zip(answer),
        }),
    )
}

/// Keeps what was answered. A write that was taken back has no row, and needs none.
pub async fn keep_answer(
    pool: &PgPool,
    actor: &str,
    key: &RequestKey,
    status: u16,
    answer: &str,
) -> Result<(), Error> {
    let update = sqlx::query("update ficus.idempotency set status = $4, answer = $5 where actor = $1 and key = $2 and request = $3 and status is null")
        .bind(actor)
        .bind(&key.key)
        .bind(key.request.as_slice())
        .bind(i16::try_from(status).unwrap_or(200))
        .bind(answer);
    within(update.execute(pool)).await?;
    Ok(())
}

/// Whether the key is taken. Asked with the clock locked, so of two at once the second sees the first.
pub(super) async fn is_taken(
    connection: &mut PgConnection,
    actor: &str,
    key: &RequestKey,
) -> Result<bool, Error> {
    let query = sqlx::query_scalar(
        "select exists (select from ficus.idempotency where actor = $1 and key = $2 and made_at > clock_timestamp() - interval '24 hours')",
    )
    .bind(actor)
    .bind(&key.key);
    within(query.fetch_one(connection)).await
}

/// Takes the key for this change, and forgets some that are too old.
pub(super) async fn take(
    connection: &mut PgConnection,
    actor: &str,
    key: &RequestKey,
    change: &Change,
) -> Result<(), Error> {
    let insert = sqlx::query(
        "with forgotten as (
             delete from ficus.idempotency where ctid = any (array(
                 select ctid from ficus.idempotency
                 where made_at < clock_timestamp() - interval '24 hours' and (actor, key) is distinct from ($1, $2) limit 100
             ))
         )
         insert into ficus.idempotency (actor, key, request, revision, changed, changed_at) values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint idempotency_pkey do update
             set request = excluded.request, made_at = excluded.made_at, revision = excluded.revision, changed = excluded.changed,
                 changed_at = excluded.changed_at, status = null, answer = null",
    )
    .bind(actor)
    .bind(&key.key)
    .bind(key.request.as_slice())
    .bind(change.revision.0)
    .bind(i64::try_from(change.changed).unwrap_or(i64::MAX))
    .bind(change.at);
    within(insert.execute(connection)).await?;
    Ok(())
}

/// Takes the key for a write that is no change of the control state. False: it is taken. Of two at once the second waits for the first.
pub(super) async fn take_beside(
    connection: &mut PgConnection,
    actor: &str,
    key: &RequestKey,
) -> Result<bool, Error> {
    let insert = sqlx::query(
        "insert into ficus.idempotency as i (actor, key, request, revision, changed, changed_at)
         select $1, $2, $3, k.revision, 0, clock_timestamp() from ficus.clock as k
         on conflict on constraint idempotency_pkey do update
             set request = excluded.request, made_at = clock_timestamp(), revision = excluded.revision, changed = 0,
                 changed_at = excluded.changed_at, status = null, answer = null
             where i.made_at < clock_timestamp() - interval '24 hours'",
    )
    .bind(actor)
    .bind(&key.key)
    .bind(key.request.as_slice());
    Ok(within(insert.execute(connection)).await?.rows_affected() > 0)
}
