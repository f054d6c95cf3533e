//! Every hour compares what legacy's tables say is reserved of each tenant's quota with what the engine holds.
//!
//! Its own file, because it is nobody's way: quota is taken and given back in two databases, and what a crash in between loses is found here.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::drift::{Count, Drift, Judge};
use super::legacy::Legacy;
use super::message::Channel;
use super::turn::Turn;
use crate::alerts::{Alert, Severity, raise};
use crate::ids::TenantId;
use crate::telemetry::EngineMetrics;

/// As `ficus.event_reader` has it: one engine checks.
const TASK: &str = "quota-check";
const EVERY: Duration = Duration::from_secs(3600);
/// Longer than an hour, so that who checked checks again, and sees two in a row.
const LEASE: Duration = Duration::from_secs(5400);
/// Alerts of one look, of the greatest differences. More is one fault, and the log and the metric tell of it.
const MOST_ALERTS: usize = 20;

/// Tenants of whom keys are known or something is held, and how many messages of each have no end, e-mails and texts: in the queue (what is on its
/// way stands there until it ends), or uncertain.
const HELD: &str = "
    with recursive known as (
        (select k.tenant_id from ficus.message_key as k order by k.tenant_id limit 1)
        union all
        select (select k.tenant_id from ficus.message_key as k where k.tenant_id > n.tenant_id order by k.tenant_id limit 1)
        from known as n where n.tenant_id is not null
    ), held as (
        select w.tenant_id, count(*) filter (where m.channel = 'email') as emails, count(*) filter (where m.channel = 'sms') as texts
        from (
            select d.tenant_id, d.id from ficus.due as d
            union all
            select l.tenant_id, l.id from ficus.later as l
            union all
            select e.tenant_id, e.id from ficus.attempt_end as e where e.state = 'uncertain'
        ) as w
        cross join lateral (select m.channel from ficus.message as m where m.id = w.id offset 0) as m
        group by w.tenant_id
    )
    select tenant_id, coalesce(h.emails, 0), coalesce(h.texts, 0)
    from (select tenant_id from known where tenant_id is not null) as n full join held as h using (tenant_id)
    order by tenant_id";
const CHANNELS: [Channel; 2] = [Channel::Email, Channel::Sms];

/// A tenant, and what is held of it: e-mails and texts.
type Held = (i64, i64, i64);

pub struct QuotaCheck {
    pool: PgPool,
    legacy: Legacy,
    metrics: EngineMetrics,
    /// Of each channel.
    judges: [Judge; 2],
}

impl QuotaCheck {
    pub fn new(pool: PgPool, legacy: Legacy, metrics: EngineMetrics, tolerance: i64) -> Self {
        Self {
            pool,
            legacy,
            metrics,
            judges: CHANNELS.map(|_| Judge::new(tolerance)),
        }
    }

    /// Until `stop`, at once and then every hour, in one of the engines.
    pub async fn run(mut self, engine: Uuid, stop: CancellationToken) {
        let turn = Turn {
            pool: self.pool.clone(),
            task: TASK,
            engine,
            lease: LEASE,
        };
        let mut hour = interval(EVERY);
        hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return turn.leave().await,
                _ = hour.tick() => {}
            }
            let checked = match turn.take().await {
                Ok(true) => self.check().await,
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            if let Err(error) = checked {
                tracing::warn!(%error, "could not compare the quota with legacy's; it is done again in an hour");
            }
        }
    }

    /// Looks once. People are told of what differs now and differed in the look before; what differs no more is no alert any more.
    ///
    /// # Errors
    ///
    /// If one of the two databases does not answer.
    pub async fn check(&mut self) -> Result<(), sqlx::Error> {
        let before = self.held().await?;
        let tenants: Vec<i64> = before.iter().map(|it| it.0).collect();
        let mut legacy = Vec::new();
        for channel in CHANNELS {
            legacy.push(self.legacy.quota_drift(channel, &tenants).await?);
        }
        let after = self.held().await?;
        let (mut beyond, mut told) = (Vec::new(), Vec::new());
        for ((channel, judge), legacy) in CHANNELS.into_iter().zip(&mut self.judges).zip(legacy) {
            let counts = legacy.into_iter().map(|(tenant, reserved)| Count {
                tenant,
                legacy: reserved,
                held: (of(&before, channel, tenant), of(&after, channel, tenant)),
            });
            let verdict = judge.judge(&counts.collect::<Vec<_>>());
            self.metrics.quota_drift(channel.as_str(), verdict.greatest);
            if !verdict.beyond.is_empty() {
                tracing::warn!(
                    channel = channel.as_str(),
                    tenants = verdict.beyond.len(),
                    greatest = verdict.greatest,
                    "the quota of tenants differs from legacy's"
                );
            }
            beyond.extend(
                verdict
                    .beyond
                    .iter()
                    .map(|it| key(channel, it.count.tenant)),
            );
            told.extend(verdict.told.into_iter().map(|it| (channel, it)));
        }
        self.tell(beyond, &told).await
    }

    async fn held(&self) -> Result<Vec<Held>, sqlx::Error> {
        sqlx::query_as(HELD).fetch_all(&self.pool).await
    }

    async fn tell(
        &self,
        beyond: Vec<String>,
        told: &[(Channel, Drift)],
    ) -> Result<(), sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        sqlx::query(
            "update ficus.alert set resolved_at = clock_timestamp()
             where resolved_at is null and key like 'quota-drift/%' and key <> all ($1)",
        )
        .bind(beyond)
        .execute(&mut *db)
        .await?;
        for (channel, drift) in told.iter().take(MOST_ALERTS) {
            let (title, body) = text(*channel, drift);
            let alert = Alert {
                severity: Severity::Info,
                key: &key(*channel, drift.count.tenant),
                capability: None,
                title: &title,
                body: &body,
            };
            raise(&mut db, &alert).await?;
        }
        Ok(())
    }
}

fn of(held: &[Held], channel: Channel, tenant: TenantId) -> i64 {
    let found = held.binary_search_by_key(&tenant.0, |it| it.0);
    found.map_or(0, |place| match channel {
        Channel::Email => held[place].1,
        Channel::Sms => held[place].2,
    })
}

/// Of e-mails it is the tenant alone, by which the alert has been known from the start.
fn key(channel: Channel, tenant: TenantId) -> String {
    match channel {
        Channel::Email => format!("quota-drift/{tenant}"),
        Channel::Sms => format!("quota-drift/{tenant}/sms"),
    }
}

/// Title and body.
fn text(channel: Channel, drift: &Drift) -> (String, String) {
    let Count {
        tenant,
        legacy,
        held: (_, held),
    } = drift.count;
    let what = match channel {
        Channel::Email => "e-mails",
        Channel::Sms => "texts",
    };
    let title = format!(
        "tenant {tenant}: the quota of {what} differs by {}",
        drift.difference
    );
    let side = match drift.difference > 0 {
        true => "The tenant may send fewer than it has paid for",
        false => "The tenant may send more than it has paid for",
    };
    let body = format!(
        "By legacy's tables {legacy} are neither sent nor left, and the engine holds {held} messages. {side}. It was so an hour before."
    );
    (title, body)
}
