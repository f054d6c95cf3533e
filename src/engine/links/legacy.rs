//! What links and bounces ask of legacy's tables, and tell them.
//!
//! Its own file, because the statements are another application's schema: the defaults are those of the application in
//! `demo/legacy`, and each can be replaced.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::counts::Count;

/// A tracker's link: `$1` is the tracker's UUID; one column, null where the mail had no link.
pub const FIND_TRACKER: &str = "select link from email_trackers where tracker = $1";

/// `$1` UUIDs of trackers, `$2` opens, `$3` clicks, each a row. The columns are integers: they stand still at their end.
pub const COUNT_TRACKERS: &str = "update email_trackers as e
    set opens = least(e.opens + g.opens, 2147483647)::integer, clicks = least(e.clicks + g.clicks, 2147483647)::integer,
        updated_at = now() at time zone 'utc'
    from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as g (tracker, opens, clicks) where e.tracker = g.tracker";

/// `$1` tenants, `$2` addresses, each a row. An address is a contact's own spelling, or the same in lower case.
pub const UNSUBSCRIBE: &str = "update email_contacts as c
    set is_unsubscribed = true, updated_at = now() at time zone 'utc'
    from unnest($1::bigint[], $2::text[]) as g (owner_id, email)
    where c.owner_id = g.owner_id and c.email in (g.email, lower(g.email)) and not c.is_unsubscribed";

/// `$1` tenants, `$2` addresses, `$3` reasons of at most 255 characters, each a row.
pub const NOTE_BOUNCES: &str =
    "insert into bounced_emails (owner_id, email, reason, created_at, updated_at)
    select g.owner_id, g.email, g.reason, now() at time zone 'utc', now() at time zone 'utc'
    from unnest($1::bigint[], $2::text[], $3::text[]) as g (owner_id, email, reason)
    on conflict do nothing";

/// The statements, each with the parameters that its constant names.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkStatements {
    pub find_tracker: String,
    pub count_trackers: String,
    pub unsubscribe: String,
    pub note_bounces: String,
}

impl Default for LinkStatements {
    fn default() -> Self {
        Self {
            find_tracker: FIND_TRACKER.to_owned(),
            count_trackers: COUNT_TRACKERS.to_owned(),
            unsubscribe: UNSUBSCRIBE.to_owned(),
            note_bounces: NOTE_BOUNCES.to_owned(),
        }
    }
}

/// Who is to be told of.
pub struct Contact {
    pub tenant: i64,
    pub address: String,
    /// For a person.
    pub reason: String,
}

/// Legacy's database, as far as links and bounces know it.
#[derive(Clone)]
pub struct Legacy {
    pub pool: PgPool,
    statements: Arc<LinkStatements>,
}

impl Legacy {
    pub fn new(pool: PgPool, statements: LinkStatements) -> Self {
        Self {
            pool,
            statements: Arc::new(statements),
        }
    }

    /// `None`: there is no such tracker. `Some(None)`: its mail had no link.
    pub async fn find_tracker(&self, tracker: Uuid) -> Result<Option<Option<String>>, sqlx::Error> {
        let find = AssertSqlSafe(self.statements.find_tracker.clone());
        sqlx::query_scalar(find)
            .bind(tracker)
            .fetch_optional(&self.pool)
            .await
    }

    pub async fn count_trackers(&self, rows: &[(Uuid, Count)]) -> Result<(), sqlx::Error> {
        let count = AssertSqlSafe(self.statements.count_trackers.clone());
        let opens: Vec<i64> = rows.iter().map(|row| row.1.opens.into()).collect();
        let clicks: Vec<i64> = rows.iter().map(|row| row.1.clicks.into()).collect();
        sqlx::query(count)
            .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
            .bind(opens)
            .bind(clicks)
            .execute(&self.pool)
            .await
            .map(drop)
    }

    /// Safe to be done again.
    pub async fn unsubscribe(&self, contacts: &[&Contact]) -> Result<(), sqlx::Error> {
        let unsubscribe = AssertSqlSafe(self.statements.unsubscribe.clone());
        sqlx::query(unsubscribe)
            .bind(contacts.iter().map(|it| it.tenant).collect::<Vec<_>>())
            .bind(addresses(contacts))
            .execute(&self.pool)
            .await
            .map(drop)
    }

    /// Safe to be done again.
    pub async fn note_bounces(&self, contacts: &[&Contact]) -> Result<(), sqlx::Error> {
        let note = AssertSqlSafe(self.statements.note_bounces.clone());
        let reasons: Vec<&str> = contacts.iter().map(|it| it.reason.as_str()).collect();
        sqlx::query(note)
            .bind(contacts.iter().map(|it| it.tenant).collect::<Vec<_>>())
            .bind(addresses(contacts))
            .bind(reasons)
            .execute(&self.pool)
            .await
            .map(drop)
    }
}

fn addresses<'a>(contacts: &[&'a Contact]) -> Vec<&'a str> {
    contacts.iter().map(|it| it.address.as_str()).collect()
}
