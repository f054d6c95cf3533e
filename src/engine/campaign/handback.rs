//! Gives the campaigns of tenants that have gone back to legacy to legacy: what nobody has begun is ended here, listed, and written there.
//!
//! Its own file, because no recipient may get a mail from both: the list is committed before legacy sees any of it, and what legacy gets is
//! told by ids that were written down first, so that each step may be repeated (docs/adr/0253).

use std::time::{Duration, Instant};

use sqlx::{FromRow, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::expand::{BATCH, Run, batch};
use crate::engine::OnRollback;
use crate::engine::legacy::{Legacy, Place, Returned};
use crate::engine::turn::Turn;
use crate::ids::TenantId;

/// Between two looks when there was nothing.
const POLL: Duration = Duration::from_secs(1);
/// Between two looks for uncertain messages that were settled since: nobody waits for these.
const SETTLED: Duration = Duration::from_secs(30);
/// Messages that one statement ends.
const ENDED: i32 = 5_000;
/// Tenants, or lists, of one look.
const LOOK: i32 = 100;
/// Recipients that legacy is given in one statement.
const PLACED: i64 = 1_000;

/// One in each engine; the lease says which of them works.
pub struct Returner {
    pub pool: PgPool,
    pub legacy: Legacy,
    pub turn: Turn,
    pub capability: String,
    pub on_rollback: OnRollback,
}

/// A list that is whole.
#[derive(Debug, FromRow)]
struct Handback {
    id: Uuid,
    tenant_id: i64,
    campaign_id: i64,
    template_id: i64,
    legacy_campaign: Option<i64>,
    legacy_schedule: Option<i64>,
}

impl Returner {
    /// Its name, and how long a turn of it is.
    pub const TASK: (&str, Duration) = ("return", Duration::from_secs(30));

    /// Until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut is_ruled = false;
        let mut looked: Option<Instant> = None;
        while !stop.is_cancelled() {
            if !is_ruled {
                is_ruled = self.rule().await;
            }
            let whole = looked.is_none_or(|it| it.elapsed() > SETTLED);
            let worked = self.work(whole, &stop).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "could not look for messages that go back to legacy; trying again");
                false
            });
            if whole {
                looked = Some(Instant::now());
            }
            if !worked {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
        self.turn.leave().await;
    }

    /// The triggers of the control state act by it.
    async fn rule(&self) -> bool {
        let set = sqlx::query("select ficus.set_rollback_rule($1, $2)")
            .bind(&self.capability)
            .bind(self.on_rollback.as_str())
            .execute(&self.pool)
            .await;
        set.inspect_err(
            |error| tracing::warn!(%error, "could not store what a rollback does; trying again"),
        )
        .is_ok()
    }

    /// One step of each tenant and of each list. False: there was nothing, or another engine does it.
    async fn work(&self, whole: bool, stop: &CancellationToken) -> Result<bool, sqlx::Error> {
        if !self.turn.take().await? {
            return Ok(false);
        }
        let due: Vec<(i64, i64)> =
            sqlx::query_as("select tenant_id, epoch from ficus.due_returns($1, $2)")
                .bind(whole)
                .bind(LOOK)
                .fetch_all(&self.pool)
                .await?;
        let mut worked = false;
        for (tenant, epoch) in due {
            if stop.is_cancelled() {
                return Ok(true);
            }
            // One whose tables cannot be read keeps no other waiting.
            match self.step(TenantId(tenant), epoch).await {
                Ok(moved) => worked |= moved,
                Err(error) => {
                    tracing::warn!(%error, tenant, "could not return a tenant's messages; trying again");
                }
            }
        }
        let ready: Vec<Handback> = sqlx::query_as(
            "select id, tenant_id, campaign_id, template_id, legacy_campaign, legacy_schedule from ficus.ready_handbacks($1)",
        )
        .bind(LOOK)
        .fetch_all(&self.pool)
        .await?;
        for handback in ready {
            if stop.is_cancelled() {
                return Ok(true);
            }
            match self.hand_over(&handback).await {
                Ok(()) => worked = true,
                Err(error) => {
                    let (id, tenant) = (handback.id, handback.tenant_id);
                    tracing::warn!(%error, handback = %id, tenant, "could not hand a campaign to legacy; trying again");
                }
            }
        }
        Ok(worked)
    }

    /// Ends and lists the next of a tenant's messages. False: there was nothing to end or to list.
    async fn step(&self, tenant: TenantId, epoch: i64) -> Result<bool, sqlx::Error> {
        let is_ours: bool = sqlx::query_scalar("select ficus.begin_return($1, $2)")
            .bind(tenant.0)
            .bind(epoch)
            .fetch_one(&self.pool)
            .await?;
        if !is_ours {
            return Ok(false);
        }
        let ended: i32 = sqlx::query_scalar("select ficus.return_messages($1, $2, $3)")
            .bind(tenant.0)
            .bind(epoch)
            .bind(ENDED)
            .fetch_one(&self.pool)
            .await?;
        let runs: Vec<Run> = sqlx::query_as(
            "select id, tenant_id, campaign_id, template_id, content_id, state, position, occurrence, channel from ficus.campaign_run
             where tenant_id = $1 and state = 'returning' and settled_xid is null",
        )
        .bind(tenant.0)
        .fetch_all(&self.pool)
        .await?;
        let mut listed = false;
        for run in runs {
            listed |= self.list_rest(tenant, epoch, &run).await?;
        }
        sqlx::query("select ficus.close_returns($1, $2)")
            .bind(tenant.0)
            .bind(epoch)
            .execute(&self.pool)
            .await?;
        Ok(ended > 0 || listed)
    }

    /// Recipients that have not become messages: no quota was taken for them.
    async fn list_rest(
        &self,
        tenant: TenantId,
        epoch: i64,
        run: &Run,
    ) -> Result<bool, sqlx::Error> {
        let recipients = self
            .legacy
            .recipients(tenant, run.campaign_id, run.position, BATCH)
            .await?;
        let is_last = (recipients.len() as i64) < BATCH;
        let reached = recipients.last().map_or(run.position, |it| it.place);
        let rest = batch(run, tenant, recipients);
        let messages = rest.messages.iter();
        sqlx::query_scalar(
            "select ficus.return_rest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(tenant.0)
        .bind(run.id)
        .bind(epoch)
        .bind(run.position)
        .bind(reached)
        .bind(is_last)
        .bind(messages.clone().map(|it| it.id.0).collect::<Vec<_>>())
        .bind(
            messages
                .clone()
                .map(|it| Uuid::from_bytes(it.key))
                .collect::<Vec<_>>(),
        )
        .bind(
            messages
                .clone()
                .map(|it| Uuid::from_bytes(it.fingerprint))
                .collect::<Vec<_>>(),
        )
        .bind(&rest.contacts)
        .bind(messages.map(|it| it.recipient.as_str()).collect::<Vec<_>>())
        .bind(rest.skipped)
        .bind(rest.rejected)
        .fetch_one(&self.pool)
        .await
    }

    /// Gives a list to legacy, and then lets legacy begin.
    async fn hand_over(&self, handback: &Handback) -> Result<(), sqlx::Error> {
        let tenant = TenantId(handback.tenant_id);
        let place = self.place(handback).await?;
        loop {
            let recipients: Vec<Returned> = sqlx::query_as(
                "select message_id, contact, recipient from ficus.handback_recipient where handback_id = $1 order by message_id limit $2",
            )
            .bind(handback.id)
            .bind(PLACED)
            .fetch_all(&self.pool)
            .await?;
            if recipients.is_empty() {
                break;
            }
            let campaign = handback.campaign_id;
            self.legacy
                .place_recipients(tenant, campaign, place, &recipients)
                .await?;
            let placed: Vec<Uuid> = recipients.iter().map(|it| it.message_id).collect();
            sqlx::query("select ficus.note_placed($1, $2)")
                .bind(handback.id)
                .bind(placed)
                .execute(&self.pool)
                .await?;
        }
        self.legacy
            .begin_returned(tenant, place, handback.template_id)
            .await?;
        sqlx::query("select ficus.note_handed_back($1)")
            .bind(handback.id)
            .execute(&self.pool)
            .await?;
        let (campaign, rest) = (handback.campaign_id, place.campaign);
        tracing::info!(handback = %handback.id, %tenant, campaign, rest, "a campaign's unsent recipients are legacy's");
        Ok(())
    }

    /// Reserved there and written down here before anything is written there.
    async fn place(&self, handback: &Handback) -> Result<Place, sqlx::Error> {
        if let (Some(campaign), Some(schedule)) =
            (handback.legacy_campaign, handback.legacy_schedule)
        {
            return Ok(Place { campaign, schedule });
        }
        let reserved = self.legacy.reserve_place().await?;
        let (campaign, schedule) = sqlx::query_as(
            "select legacy_campaign, legacy_schedule from ficus.place_handback($1, $2, $3)",
        )
        .bind(handback.id)
        .bind(reserved.campaign)
        .bind(reserved.schedule)
        .fetch_one(&self.pool)
        .await?;
        Ok(Place { campaign, schedule })
    }
}
