//! Keeping house: the tables of the queue stay small, what nobody settles is settled, and how much waits is known.
//!
//! Its own file, because none of it is on a message's way: it is late by half a minute and nobody notices.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::message::Channel;
use crate::telemetry::EngineMetrics;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(30);
/// Rounds between two looks at the days of history: an hour.
const DAYS: u32 = 120;
/// Uncertain messages settled in one round: more are a fault of somebody's server, and wait for the next.
const SETTLED: i32 = 1000;

/// What becomes of a message that may have been accepted, when nobody settles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUncertain {
    /// It is unknown for ever.
    AtMostOnce,
    /// It is sent again, and may arrive twice.
    AtLeastOnce,
}

impl OnUncertain {
    /// As the configuration and the database have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at_most_once",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settling {
    pub on_uncertain: OnUncertain,
    /// How long a person has to settle it.
    pub after: Duration,
}

impl Default for Settling {
    fn default() -> Self {
        Self {
            on_uncertain: OnUncertain::AtMostOnce,
            after: Duration::from_secs(86_400),
        }
    }
}

/// How the house is kept.
#[derive(Clone)]
pub struct House {
    /// Days of history.
    pub keep_days: i32,
    /// How long a message's key is known.
    pub dedup_keep: Duration,
    pub settling: Settling,
    pub metrics: EngineMetrics,
}

/// Until `stop`, at once and then every 30 s: turns the ring of what is due, settles what has been uncertain for long, and looks how
/// much waits; every hour it makes the days ahead, drops the old ones and forgets old keys. Several processes may do it at once.
pub async fn keep_house(pool: PgPool, house: House, stop: CancellationToken) {
    let mut round: u32 = 0;
    loop {
        if round.is_multiple_of(DAYS) {
            let made = sqlx::query("select ficus.keep_days(7, $1)").bind(house.keep_days);
            if let Err(error) = made.execute(&pool).await {
                tracing::warn!(%error, "could not make the days of the message history");
            }
            forget_keys(&pool, house.dedup_keep, &stop).await;
        }
        round = round.wrapping_add(1);
        house.tidy(&pool).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(ROUND) => {}
        }
    }
}

async fn forget_keys(pool: &PgPool, keep: Duration, stop: &CancellationToken) {
    const BATCH: i32 = 10_000;
    while !stop.is_cancelled() {
        let forgotten: Result<i64, _> = sqlx::query_scalar("select ficus.forget_keys($1, $2)")
            .bind(keep)
            .bind(BATCH)
            .fetch_one(pool)
            .await;
        match forgotten {
            Ok(count) if count >= i64::from(BATCH) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "could not forget old keys");
                return;
            }
        }
    }
}

impl House {
    /// Each for itself: one that fails is tried again in the next round.
    async fn tidy(&self, pool: &PgPool) {
        let turned = sqlx::query("select ficus.turn_ring()").execute(pool).await;
        if let Err(error) = turned {
            tracing::warn!(%error, "could not turn the ring of what is due");
        }
        match self.settle(pool).await {
            Ok(0) => {}
            Ok(messages) => {
                let policy = self.settling.on_uncertain.as_str();
                tracing::info!(messages, policy, "uncertain messages settled by policy");
            }
            Err(error) => tracing::warn!(%error, "could not settle what is uncertain"),
        }
        if let Err(error) = self.look_how_much_waits(pool).await {
            tracing::warn!(%error, "could not look how much waits");
        }
    }

    async fn settle(&self, pool: &PgPool) -> Result<i32, sqlx::Error> {
        sqlx::query_scalar("select ficus.settle_uncertain($1, $2, $3)")
            .bind(self.settling.on_uncertain.as_str())
            .bind(self.settling.after)
            .bind(SETTLED)
            .fetch_one(pool)
            .await
    }

    async fn look_how_much_waits(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let depth: Vec<(String, i64)> =
            sqlx::query_as("select channel, messages from ficus.queue_depth()")
                .fetch_all(pool)
                .await?;
        for channel in [Channel::Email, Channel::Sms] {
            let of = depth.iter().find(|it| it.0 == channel.as_str());
            let messages = of.map_or(0, |it| it.1);
            self.metrics.queued(channel.as_str(), messages);
        }
        Ok(())
    }
}
