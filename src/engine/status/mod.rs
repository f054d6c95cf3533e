//! Tells legacy what became of messages, so that its pages show the truth: events are read in the order of their commits, written to
//! legacy's tables, and only then counted as read.
//!
//! Its own folder, because a crash between the two tells the same again: every statement may be repeated, except for messages of no
//! campaign, of which legacy has no row of its own. Those are told after the events count as read: at a crash they are told never,
//! and never twice.

mod told;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::told::{Event, Row, Told, sort};
use super::legacy::{Finished, Legacy};
use super::letter::Letter;
use super::message::{Channel, MessageId};
use super::quota::Quotas;
use super::sms::Text;
use super::spans::{End, Spans};
use super::turn::Turn;
use crate::ids::TenantId;

/// Events of one step.
const BATCH: i32 = 5_000;
/// Between two looks when there was nothing.
const POLL: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// One in each engine; the lease says which of them reads.
pub struct Teller {
    pub pool: PgPool,
    pub legacy: Legacy,
    pub quotas: Quotas,
    pub turn: Turn,
    pub spans: Spans,
}

impl Teller {
    /// Its name, and how long a turn of it is.
    pub const TASK: (&str, Duration) = ("legacy", Duration::from_secs(30));

    /// Until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        while !stop.is_cancelled() {
            let wait = match self.step().await {
                Ok(true) => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Ok(false) => {
                    pause = FIRST_PAUSE;
                    POLL
                }
                Err(error) => {
                    tracing::warn!(%error, "could not tell legacy what became of messages; trying again");
                    let wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    wait
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.turn.leave().await;
    }

    /// One batch. False: there is nothing more for now, or another engine reads.
    async fn step(&self) -> Result<bool, sqlx::Error> {
        if !self.turn.take().await? {
            return Ok(false);
        }
        // In a statement of its own, before the events: what was over then is seen below.
        let horizon: String = sqlx::query_scalar("select ficus.event_horizon()::text")
            .fetch_one(&self.pool)
            .await?;
        let rows: Vec<Row> = sqlx::query_as(
            "select xid, seq, id, tenant_id, state, at, code, channel, campaign_id, recipient, content_id from ficus.read_events($1, $2, $3)",
        )
        .bind(self.turn.task)
        .bind(&horizon)
        .bind(BATCH)
        .fetch_all(&self.pool)
        .await?;
        let Some(last) = rows.last() else {
            self.finish(&horizon).await?;
            return Ok(false);
        };
        let (xid, seq) = (last.xid.clone(), last.seq);
        let is_all = rows.len() < BATCH as usize;
        let events: Vec<Event> = rows.into_iter().filter_map(Row::event).collect();
        let links = self.links(&events).await?;
        let ends = ends(&events);
        let told = sort(events, &links);
        self.tell(&told).await?;
        if !self.count(&xid, seq, &told.counts).await? {
            // Another engine reads by now, and may not have counted these yet: what has ended is its to say.
            return Ok(false);
        }
        self.tell_alone(Channel::Email, told.email.alone).await?;
        self.tell_alone(Channel::Sms, told.sms.alone).await?;
        self.spans.messages_ended(ends).await;
        if is_all {
            self.finish(&horizon).await?;
        }
        Ok(!is_all)
    }

    /// Where a click leads, of each letter that campaigns' new messages share; of a text, which gateway it goes through.
    async fn links(&self, events: &[Event]) -> Result<HashMap<Uuid, String>, sqlx::Error> {
        let new = events.iter().filter(|it| it.state == "queued");
        let mut contents: Vec<Uuid> = new.filter_map(|it| it.content_id).collect();
        contents.sort_unstable();
        contents.dedup();
        if contents.is_empty() {
            return Ok(HashMap::new());
        }
        let bodies: Vec<(Uuid, String)> =
            sqlx::query_as("select id, body from ficus.content where id = any ($1)")
                .bind(contents)
                .fetch_all(&self.pool)
                .await?;
        let link = |body: &str| match serde_json::from_str::<Letter>(body) {
            Ok(letter) => letter.link,
            Err(_) => serde_json::from_str::<Text>(body).ok()?.gateway,
        };
        let links = bodies.into_iter();
        Ok(links
            .filter_map(|(id, body)| Some((id, link(&body)?)))
            .collect())
    }

    /// In the order in which a message passes through these states.
    async fn tell(&self, told: &Told) -> Result<(), sqlx::Error> {
        if !told.queued.is_empty() {
            self.legacy.queued(&told.queued).await?;
        }
        if !told.queued_texts.is_empty() {
            self.legacy.sms_queued(&told.queued_texts).await?;
        }
        for (channel, ends) in [(Channel::Email, &told.email), (Channel::Sms, &told.sms)] {
            if !ends.sent.is_empty() {
                self.legacy.sent(channel, &ends.sent).await?;
            }
            if !ends.failed.is_empty() {
                self.legacy.failed(channel, &ends.failed).await?;
            }
        }
        if !told.reported.is_empty() {
            self.legacy.sms_reported(&told.reported).await?;
        }
        for (message, tenant) in &told.opted_out {
            sqlx::query("select ficus.suppress($1, $2, 'unsubscribed', '')")
                .bind(message)
                .bind(tenant)
                .execute(&self.pool)
                .await?;
        }
        if !told.uncertain.is_empty() {
            // Its report came before its end did.
            sqlx::query("select ficus.settle_reported($1)")
                .bind(&told.uncertain)
                .execute(&self.pool)
                .await?;
        }
        if !told.email.returned.is_empty() {
            self.legacy.returned(&told.email.returned).await?;
        }
        Ok(())
    }

    async fn tell_alone(
        &self,
        channel: Channel,
        alone: BTreeMap<TenantId, (Vec<DateTime<Utc>>, u32)>,
    ) -> Result<(), sqlx::Error> {
        for (tenant, (sent, failed)) in alone {
            if !sent.is_empty() {
                self.legacy.sent_alone(channel, tenant, &sent).await?;
            }
            self.quotas.of(channel).give(tenant, failed).await;
        }
        Ok(())
    }

    /// These events are dealt with. False: another engine was faster.
    async fn count(
        &self,
        xid: &str,
        seq: i64,
        counts: &HashMap<Uuid, [i32; 3]>,
    ) -> Result<bool, sqlx::Error> {
        let column = |place: usize| counts.values().map(|it| it[place]).collect::<Vec<i32>>();
        let contents: Vec<Uuid> = counts.keys().copied().collect();
        sqlx::query_scalar("select ficus.count_runs($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(self.turn.task)
            .bind(self.turn.engine)
            .bind(xid)
            .bind(seq)
            .bind(contents)
            .bind(column(0))
            .bind(column(1))
            .bind(column(2))
            .fetch_one(&self.pool)
            .await
    }

    /// Tells of campaigns whose messages have all ended.
    async fn finish(&self, horizon: &str) -> Result<(), sqlx::Error> {
        type Run = (Uuid, i64, i64, i32, i32, i32, DateTime<Utc>, bool);
        let finished: Vec<Run> = sqlx::query_as(
            "select f.id, f.tenant_id, f.campaign_id, f.sent, f.failed - r.returned, f.skipped, f.finished_at, r.channel = 'sms'
             from ficus.finish_runs($1) as f join ficus.campaign_run as r on r.id = f.id",
        )
        .bind(horizon)
        .fetch_all(&self.pool)
        .await?;
        for (id, tenant, campaign, sent, failed, skipped, at, is_sms) in finished {
            let channel = if is_sms { Channel::Sms } else { Channel::Email };
            let finished = Finished {
                tenant: TenantId(tenant),
                campaign,
                sent,
                failed,
                skipped,
                at,
            };
            self.legacy.finished(channel, &finished).await?;
            sqlx::query("select ficus.close_run($1)")
                .bind(id)
                .execute(&self.pool)
                .await?;
            self.spans.run_ended(id, tenant, (sent, failed)).await;
            tracing::info!(run = %id, tenant, campaign, sent, failed, skipped, "a campaign was sent");
        }
        Ok(())
    }
}

/// Of messages that share no text: a campaign's are told of with their campaign.
fn ends(events: &[Event]) -> Vec<End> {
    let over = events.iter().filter(|it| {
        let is_end = matches!(
            it.state.as_str(),
            "accepted" | "failed" | "dead" | "unknown" | "cancelled"
        );
        is_end && it.content_id.is_none()
    });
    over.map(|it| End {
        id: MessageId(it.id),
        tenant: it.tenant_id,
        state: it.state.clone(),
        code: it.code.clone(),
        at: it.at,
    })
    .collect()
}
