//! One message's whole story.
//!
//! Its own file, because it is the one place that answers with a whole recipient.

use sqlx::PgPool;
use uuid::Uuid;

use super::{Attempt, Hold, MessageDetail, MessageRow, Operation};

/// `None`: there is no such message, or its day has been dropped.
pub async fn show(pool: &PgPool, id: Uuid) -> Result<Option<MessageDetail>, sqlx::Error> {
    // One moment: a story whose end is older than its state would be a riddle.
    let mut tx = pool
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    let message: Option<MessageRow> =
        sqlx::query_as("select * from ficus.message_now as n where n.id = $1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
    let Some(message) = message else {
        return Ok(None);
    };
    let attempts_made: Vec<Attempt> = sqlx::query_as(
        "select coalesce(a.number, e.number) as number, a.connection, a.epoch, a.begun_at, e.state as end, e.code, e.reference, e.at as ended_at
         from (select * from ficus.attempt as b where b.id = $1) as a
         full join (select * from ficus.attempt_end as b where b.id = $1) as e on e.number = a.number
         order by 1",
    )
    .bind(id)
    .fetch_all(&mut *tx)
    .await?;
    let holds: Vec<Hold> = sqlx::query_as(
        "select h.tenant_id, nullif(h.campaign_id, 0) as campaign_id, h.reason, h.since from ficus.hold as h
         where h.tenant_id = $1 and h.campaign_id in (0, coalesce($2, 0)) order by h.campaign_id",
    )
    .bind(message.tenant_id)
    .bind(message.campaign_id)
    .fetch_all(&mut *tx)
    .await?;
    let operations: Vec<Operation> = sqlx::query_as(
        "select o.at, o.operation, o.number, o.before, o.after, o.actor, o.source, o.reason
         from ficus.message_operation as o where o.message_id = $1 order by o.seq",
    )
    .bind(id)
    .fetch_all(&mut *tx)
    .await?;
    Ok(Some(MessageDetail {
        message,
        attempts_made,
        holds,
        operations,
    }))
}
