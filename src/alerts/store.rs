//! The SQL of alerts and their deliveries.
//!
//! Its own file, because it owns `ficus.alert` and `ficus.alert_delivery`; whoever raises one calls a function of the schema.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::plan::due;
use super::{Channel, Config, Severity};

/// Looked at in one round.
const ROUND: i64 = 100;

/// An alert as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Standing {
    pub id: Uuid,
    /// What it is about: while it is open, another of this key is the same, seen again.
    pub key: String,
    /// `critical`, `warning` or `info`.
    pub severity: String,
    pub capability: Option<String>,
    pub title: String,
    pub body: String,
    pub raised_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
    /// How often, the first time included.
    pub seen: i64,
    /// When it ended. `None`: it is open.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Channels that were told of it, those that are still to be told something, and those that were given up.
    pub told: Vec<String>,
    pub waiting: Vec<String>,
    pub given_up: Vec<String>,
}

/// Which alerts are meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub severity: Option<Severity>,
    /// Those that stand, or those that have ended.
    pub open: Option<bool>,
    /// Only those raised before this one.
    pub before: Option<Uuid>,
}

/// One delivery that is due.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Delivery {
    pub alert_id: Uuid,
    /// `raise` or `resolve`.
    pub event: String,
    pub attempts: i32,
    pub routed_at: DateTime<Utc>,
    pub severity: String,
    pub capability: Option<String>,
    pub title: String,
    pub body: String,
    pub raised_at: DateTime<Utc>,
}

impl Delivery {
    pub fn severity(&self) -> Severity {
        // The schema knows no other.
        Severity::parse(&self.severity).unwrap_or(Severity::Critical)
    }

    pub fn is_end(&self) -> bool {
        self.event == "resolve"
    }
}

/// Alerts, newest first, at most `limit` of them.
pub async fn list(pool: &PgPool, filter: Filter, limit: i64) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as(
        "select a.id, a.key, a.severity, a.capability, a.title, a.body, a.raised_at, a.seen_at, a.seen, a.resolved_at,
                array(select d.channel from ficus.alert_delivery as d where d.alert_id = a.id and d.delivered_at is not null and d.event = 'raise' order by 1) as told,
                array(select distinct d.channel from ficus.alert_delivery as d where d.alert_id = a.id and d.delivered_at is null and d.given_up_at is null order by 1) as waiting,
                array(select distinct d.channel from ficus.alert_delivery as d where d.alert_id = a.id and d.given_up_at is not null order by 1) as given_up
         from ficus.alert as a
         where ($1::text is null or a.severity = $1) and ($2::boolean is null or $2 = (a.resolved_at is null))
           and ($3::uuid is null or (a.raised_at, a.id) < (select b.raised_at, b.id from ficus.alert as b where b.id = $3))
         order by a.raised_at desc, a.id desc limit $4",
    )
    .bind(filter.severity.map(Severity::as_str))
    .bind(filter.open)
    .bind(filter.before)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// Writes down who is to be told of what nobody has looked at yet, and of what has ended since.
pub(super) async fn route(pool: &PgPool, config: &Config, now: DateTime<Utc>) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    let fresh: Vec<(Uuid, String)> = sqlx::query_as(
        "select id, severity from ficus.alert where routed_at is null
         order by raised_at limit $1 for update skip locked",
    )
    .bind(ROUND)
    .fetch_all(&mut *tx)
    .await?;
    for (id, severity) in fresh {
        let severity = Severity::parse(&severity).unwrap_or(Severity::Critical);
        for channel in config.told_of(severity) {
            let at = due(severity, channel, now, config.digest);
            owe(&mut tx, id, channel, "raise", at).await?;
        }
        let routed = sqlx::query("update ficus.alert set routed_at = $2 where id = $1");
        routed.bind(id).bind(now).execute(&mut *tx).await?;
    }
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "select id from ficus.alert where resolved_at is not null and end_routed_at is null and routed_at is not null
         order by raised_at limit $1 for update skip locked",
    )
    .bind(ROUND)
    .fetch_all(&mut *tx)
    .await?;
    for id in ended {
        // Whoever was called is called off; a mail of the end would be one more to read.
        for channel in [Channel::PagerDuty, Channel::Slack] {
            let sql = "select exists (select from ficus.alert_delivery where alert_id = $1 and channel = $2 and event = 'raise')";
            let was_told = sqlx::query_scalar(sql).bind(id).bind(channel.as_str());
            if was_told.fetch_one(&mut *tx).await? {
                owe(&mut tx, id, channel, "resolve", now).await?;
            }
        }
        let routed = sqlx::query("update ficus.alert set end_routed_at = $2 where id = $1");
        routed.bind(id).bind(now).execute(&mut *tx).await?;
    }
    tx.commit().await
}

async fn owe(
    db: &mut sqlx::PgConnection,
    id: Uuid,
    channel: Channel,
    event: &str,
    due_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into ficus.alert_delivery (alert_id, channel, event, due_at) values ($1, $2, $3, $4)
         on conflict on constraint alert_delivery_pkey do nothing",
    )
    .bind(id)
    .bind(channel.as_str())
    .bind(event)
    .bind(due_at)
    .execute(db)
    .await
    .map(drop)
}

/// What a channel is to be told now, the oldest first. An end waits for its beginning to be told.
pub(super) async fn due_now(
    pool: &PgPool,
    channel: Channel,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Delivery>> {
    sqlx::query_as(
        "select d.alert_id, d.event, d.attempts, coalesce(a.routed_at, a.raised_at) as routed_at,
                a.severity, a.capability, a.title, a.body, a.raised_at
         from ficus.alert_delivery as d join ficus.alert as a on a.id = d.alert_id
         where d.channel = $1 and d.due_at <= $2 and d.delivered_at is null and d.given_up_at is null
           and (d.event = 'raise' or not exists (
               select from ficus.alert_delivery as b where b.alert_id = d.alert_id and b.channel = d.channel
                   and b.event = 'raise' and b.delivered_at is null and b.given_up_at is null))
         order by (a.severity = 'critical') desc, d.due_at, a.raised_at limit $3",
    )
    .bind(channel.as_str())
    .bind(now)
    .bind(ROUND)
    .fetch_all(pool)
    .await
}

/// Attempts on a channel since then, whoever led: its last one counts for each delivery.
pub(super) async fn tried_since(
    pool: &PgPool,
    channel: Channel,
    since: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(distinct tried_at) from ficus.alert_delivery where channel = $1 and tried_at > $2",
    )
    .bind(channel.as_str())
    .bind(since)
    .fetch_one(pool)
    .await
}

pub(super) enum Note<'a> {
    Delivered,
    Again { at: DateTime<Utc>, fault: &'a str },
    GivenUp { fault: &'a str },
}

/// Writes down what became of deliveries that were told in one message.
pub(super) async fn note(
    pool: &PgPool,
    channel: Channel,
    told: &[Delivery],
    now: DateTime<Utc>,
    note: Note<'_>,
) -> sqlx::Result<()> {
    let (delivered, given_up, due, fault) = match note {
        Note::Delivered => (Some(now), None, None, None),
        Note::Again { at, fault } => (None, None, Some(at), Some(fault)),
        Note::GivenUp { fault } => (None, Some(now), None, Some(fault)),
    };
    let ids: Vec<Uuid> = told.iter().map(|it| it.alert_id).collect();
    let events: Vec<&str> = told.iter().map(|it| it.event.as_str()).collect();
    sqlx::query(
        "update ficus.alert_delivery as d set attempts = d.attempts + 1, tried_at = $4, delivered_at = $5, given_up_at = $6,
                due_at = coalesce($7, d.due_at), fault = $8
         from unnest($1::uuid[], $2::text[]) as told (id, event)
         where d.alert_id = told.id and d.event = told.event and d.channel = $3",
    )
    .bind(ids)
    .bind(events)
    .bind(channel.as_str())
    .bind(now)
    .bind(delivered)
    .bind(given_up)
    .bind(due)
    .bind(fault)
    .execute(pool)
    .await
    .map(drop)
}

/// Forgets what ended a season ago. Answers how many.
pub async fn forget(pool: &PgPool) -> sqlx::Result<u64> {
    let sql = "delete from ficus.alert where resolved_at < clock_timestamp() - interval '90 days'
        and not exists (select from ficus.alert_delivery as d where d.alert_id = alert.id and d.delivered_at is null and d.given_up_at is null)";
    sqlx::query(sql)
        .execute(pool)
        .await
        .map(|done| done.rows_affected())
}
