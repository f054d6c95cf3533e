//! The queue in PostgreSQL alone: thin calls of the functions of `migrations/0008_engine.sql`, where its rules stand.
//!
//! Its own file, because it is one carrier of two, and the only file of the queue with SQL in it.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use uuid::Uuid;

use super::super::message::{Channel, MessageId};
use super::{Begin, Due, Ended, Held, Place, Queue};
use crate::ids::TenantId;

/// One engine's view of the queue.
pub struct PostgresQueue {
    pool: PgPool,
    engine: Uuid,
    name: String,
    lease: Duration,
}

impl PostgresQueue {
    /// `name` is for people. After `lease` without a word from this engine others take its shards; it is asked for a third of it.
    pub fn new(pool: PgPool, name: String, lease: Duration) -> Self {
        Self {
            pool,
            engine: Uuid::new_v4(),
            name,
            lease,
        }
    }
}

/// A row of `ficus.load_due`.
#[derive(sqlx::FromRow)]
struct DueRow {
    id: Uuid,
    ring: Option<i16>,
    counted: i16,
    begun: i16,
    in_doubt: bool,
    channel: String,
    campaign_id: Option<i64>,
    recipient: String,
    body: String,
    content_id: Option<Uuid>,
}

#[async_trait]
impl Queue for PostgresQueue {
    async fn take_shards(&self, most: usize) -> Result<Held, sqlx::Error> {
        let rows: Vec<(i16, i64)> =
            sqlx::query_as("select shard, epoch from ficus.take_shards($1, $2, $3, $4)")
                .bind(self.engine)
                .bind(&self.name)
                .bind(self.lease)
                .bind(i32::try_from(most).unwrap_or(i32::MAX))
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().collect())
    }

    async fn release(&self) -> Result<(), sqlx::Error> {
        let release = sqlx::query("select ficus.release_shards($1)").bind(self.engine);
        release.execute(&self.pool).await.map(|_| ())
    }

    async fn tenants(&self, shards: &[i16]) -> Result<Vec<TenantId>, sqlx::Error> {
        let tenants: Vec<i64> = sqlx::query_scalar("select * from ficus.due_tenants($1)")
            .bind(shards)
            .fetch_all(&self.pool)
            .await?;
        Ok(tenants.into_iter().map(TenantId).collect())
    }

    async fn load(
        &self,
        tenant: TenantId,
        after: Option<MessageId>,
        most: usize,
    ) -> Result<Vec<Due>, sqlx::Error> {
        let rows: Vec<DueRow> = sqlx::query_as("select * from ficus.load_due($1, $2, $3)")
            .bind(tenant.0)
            .bind(after.map(|id| id.0))
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(|row| due(tenant, row)).collect()
    }

    async fn begin(&self, attempts: &[Begin]) -> Result<HashSet<MessageId>, sqlx::Error> {
        let refused: Vec<Uuid> =
            sqlx::query_scalar("select * from ficus.begin_attempts($1, $2, $3, $4, $5, $6, $7)")
                .bind(self.engine)
                .bind(column(attempts, |it| it.id.0))
                .bind(column(attempts, |it| it.number))
                .bind(column(attempts, |it| it.tenant.0))
                .bind(column(attempts, |it| it.campaign))
                .bind(column(attempts, |it| it.epoch))
                .bind(column(attempts, |it| it.connection.as_str()))
                .fetch_all(&self.pool)
                .await?;
        let mut begun: HashSet<MessageId> = attempts.iter().map(|it| it.id).collect();
        for id in refused {
            begun.remove(&MessageId(id));
        }
        Ok(begun)
    }

    async fn end(&self, ended: &[Ended]) -> Result<HashSet<MessageId>, sqlx::Error> {
        let refused: Vec<Uuid> = sqlx::query_scalar(
            "select * from ficus.end_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(self.engine)
        .bind(column(ended, |it| it.id.0))
        .bind(column(ended, |it| it.number))
        .bind(column(ended, |it| it.tenant.0))
        .bind(column(ended, |it| it.epoch))
        .bind(column(ended, |it| match it.place {
            Place::Ring(ring) => Some(ring),
            Place::Later => None,
        }))
        .bind(column(ended, |it| it.end.as_str()))
        .bind(column(ended, |it| it.code.as_str()))
        .bind(column(ended, |it| it.reference.as_deref()))
        .bind(column(ended, |it| it.again.map(|(at, _)| at)))
        .bind(column(ended, |it| it.again.map(|(_, counted)| counted)))
        .fetch_all(&self.pool)
        .await?;
        Ok(refused.into_iter().map(MessageId).collect())
    }
}

/// One column of rows, which is how a statement takes many of them.
fn column<'a, T, C>(rows: &'a [T], of: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(of).collect()
}

fn due(tenant: TenantId, row: DueRow) -> Result<Due, sqlx::Error> {
    let channel = match row.channel.as_str() {
        "email" => Channel::Email,
        "sms" => Channel::Sms,
        other => {
            return Err(sqlx::Error::Protocol(format!(
                "message {} has the channel {other}",
                row.id
            )));
        }
    };
    Ok(Due {
        id: MessageId(row.id),
        tenant,
        place: row.ring.map_or(Place::Later, Place::Ring),
        counted: row.counted,
        begun: row.begun,
        in_doubt: row.in_doubt,
        channel,
        campaign: row.campaign_id,
        recipient: row.recipient,
        body: row.body,
        content: row.content_id,
    })
}
