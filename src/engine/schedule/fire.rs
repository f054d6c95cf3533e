//! Begins the sends of schedules that are due, and tells legacy's rows what became of them.
//!
//! Its own file, because each time must be one send, whichever engines see it and whatever dies: what is read of legacy is read before, and the
//! transaction that begins the run is the one that moves the schedule on, from where it was seen to stand.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sqlx::postgres::types::PgInterval;
use sqlx::{FromRow, PgPool};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::repeat::Repeat;
use crate::engine::campaign::{Content, Refused, find_gateway, make_letter, make_text};
use crate::engine::legacy::Legacy;
use crate::engine::message::Channel;
use crate::ids::TenantId;

/// Schedules of one look.
const BATCH: i64 = 100;
/// Between two looks; sooner where one is due sooner.
const POLL: Duration = Duration::from_secs(1);

/// Looks for schedules that are due. Every engine does, and none holds them.
pub struct Firer {
    pub pool: PgPool,
    pub legacy: Legacy,
    /// Rung when a campaign's send has begun.
    pub campaigns: Arc<Notify>,
    pub has_links: bool,
}

#[derive(Debug, FromRow)]
struct Due {
    id: Uuid,
    tenant_id: i64,
    campaign_id: i64,
    template_id: i64,
    next_at: DateTime<Utc>,
    cron: Option<String>,
    zone: Option<String>,
    skip_after: Option<PgInterval>,
    /// Of a campaign by text.
    gateway: Option<String>,
}

#[derive(Debug, FromRow)]
struct Untold {
    id: Uuid,
    tenant_id: i64,
    legacy_id: i64,
    next_at: DateTime<Utc>,
    state: String,
    gateway: Option<String>,
}

impl Firer {
    /// Until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.work().await {
                tracing::warn!(%error, "could not look after the schedules; trying again");
            }
            let pause = self.pause().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn work(&self) -> Result<(), sqlx::Error> {
        let due: Vec<Due> = sqlx::query_as(
            "select id, tenant_id, campaign_id, template_id, next_at, cron, zone, skip_after, gateway from ficus.schedule
             where state = 'waiting' and next_at <= $1 order by next_at limit $2",
        )
        .bind(Utc::now())
        .bind(BATCH)
        .fetch_all(&self.pool)
        .await?;
        for due in due {
            // One that cannot be read now keeps no other from its time.
            if let Err(error) = self.fire(&due).await {
                tracing::warn!(%error, schedule = %due.id, tenant = due.tenant_id, "could not fire a schedule; trying again");
            }
        }
        self.tell().await
    }

    /// Until the next one is due, and no longer than until somebody else may have stored one.
    async fn pause(&self) -> Duration {
        let now = Utc::now();
        let next = sqlx::query_scalar(
            "select min(next_at) from ficus.schedule where state = 'waiting' and next_at > $1",
        )
        .bind(now)
        .fetch_one(&self.pool)
        .await;
        let next: Option<DateTime<Utc>> = next.unwrap_or_default();
        next.and_then(|next| (next - now).to_std().ok())
            .map_or(POLL, |until| until.min(POLL))
    }

    async fn fire(&self, due: &Due) -> Result<(), sqlx::Error> {
        let now = Utc::now();
        let tenant = TenantId(due.tenant_id);
        let Ok(next) = due.next(now) else {
            return self
                .pass(
                    due,
                    None,
                    "failed",
                    "the cron expression or its zone is not known any more",
                )
                .await;
        };
        if due.is_too_late(now) {
            return self.pass(due, next, "skipped", "it was too late").await;
        }
        let run = Uuid::now_v7();
        let content = match self.content(due, run).await {
            Ok(content) => content,
            Err(Refused::Unread(_, error)) => return Err(error),
            Err(Refused::Missing(why) | Refused::Unfit(why)) => {
                return self.pass(due, None, "failed", &why).await;
            }
        };
        if self.begin(due, next, run, &content).await? {
            tracing::info!(%run, schedule = %due.id, %tenant, campaign = due.campaign_id, "a scheduled campaign's send has begun");
            self.campaigns.notify_one();
        }
        Ok(())
    }

    async fn content(&self, due: &Due, run: Uuid) -> Result<Content, Refused> {
        let (tenant, legacy) = (TenantId(due.tenant_id), &self.legacy);
        let what = (due.campaign_id, due.template_id);
        match &due.gateway {
            None => make_letter(legacy, self.has_links, tenant, what, run, None).await,
            Some(gateway) => {
                let gateway = find_gateway(legacy, tenant, gateway).await?;
                make_text(legacy, tenant, what, gateway, run).await
            }
        }
    }

    /// False: another engine did.
    async fn begin(
        &self,
        due: &Due,
        next: Option<DateTime<Utc>>,
        run: Uuid,
        content: &Content,
    ) -> Result<bool, sqlx::Error> {
        // The time alone: a schedule that was stored twice reaches nobody twice.
        let occurrence = due.cron.is_some();
        let occurrence = occurrence.then(|| due.next_at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let fire = match due.gateway {
            None => "select ficus.fire_schedule($1, $2, $3, $4, $5, $6, $7, $8)",
            Some(_) => "select ficus.fire_sms_schedule($1, $2, $3, $4, $5, $6, $7, $8)",
        };
        sqlx::query_scalar(fire)
            .bind(due.id)
            .bind(due.next_at)
            .bind(next)
            .bind(run)
            .bind(Uuid::now_v7())
            .bind(content.digest.as_slice())
            .bind(&content.body)
            .bind(occurrence)
            .fetch_one(&self.pool)
            .await
    }

    async fn pass(
        &self,
        due: &Due,
        next: Option<DateTime<Utc>>,
        became: &'static str,
        reason: &str,
    ) -> Result<(), sqlx::Error> {
        let is_ours: bool = sqlx::query_scalar("select ficus.pass_schedule($1, $2, $3, $4, $5)")
            .bind(due.id)
            .bind(due.next_at)
            .bind(next)
            .bind(became)
            .bind(reason)
            .fetch_one(&self.pool)
            .await?;
        if is_ours {
            tracing::warn!(schedule = %due.id, tenant = due.tenant_id, campaign = due.campaign_id, became, reason, "a scheduled campaign is not sent");
        }
        Ok(())
    }

    /// Legacy's rows are told again until it is noted that they know.
    async fn tell(&self) -> Result<(), sqlx::Error> {
        sqlx::query("select ficus.end_schedules()")
            .execute(&self.pool)
            .await?;
        let untold: Vec<Untold> = sqlx::query_as(
            "select id, tenant_id, legacy_id, next_at, state, gateway from ficus.schedule where not is_told order by id limit $1",
        )
        .bind(BATCH)
        .fetch_all(&self.pool)
        .await?;
        for schedule in untold {
            self.legacy
                .schedule_ended(
                    schedule.channel(),
                    TenantId(schedule.tenant_id),
                    schedule.legacy_id,
                    schedule.legacy_status(),
                    schedule.next_at,
                    Utc::now(),
                )
                .await?;
            sqlx::query("select ficus.note_schedule_told($1, $2, $3)")
                .bind(schedule.id)
                .bind(schedule.next_at)
                .bind(&schedule.state)
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }
}

impl Due {
    /// After this time. Those that were missed meanwhile are not made up for: they are one with it.
    fn next(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, super::repeat::BadRepeat> {
        let (Some(cron), Some(zone)) = (&self.cron, &self.zone) else {
            return Ok(None);
        };
        Ok(Repeat::parse(cron, zone)?.after(now.max(self.next_at)))
    }

    fn is_too_late(&self, now: DateTime<Utc>) -> bool {
        // It was stored from a duration of less than a month: it has no other parts.
        let most = self.skip_after.as_ref();
        most.is_some_and(|most| now - self.next_at > TimeDelta::microseconds(most.microseconds))
    }
}

impl Untold {
    fn channel(&self) -> Channel {
        match self.gateway {
            None => Channel::Email,
            Some(_) => Channel::Sms,
        }
    }

    /// Legacy knows of no skipping.
    fn legacy_status(&self) -> &'static str {
        match self.state.as_str() {
            "waiting" | "sending" => "queued",
            "sent" => "sent",
            // Legacy's cron takes it at its time.
            "returned" => "pending",
            _ => "failed",
        }
    }
}
