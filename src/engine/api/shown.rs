//! What became of one message, as its tenant may see it.
//!
//! Its own file, because it reads what the queue writes, and says of the recipient and the text nothing.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::engine::Handle;
use crate::engine::tenancy::read_as;
use crate::modern::failed;
use crate::modern::problem::Problem;
use crate::modern::tenant::Tenant;

#[derive(Serialize)]
pub struct Shown {
    id: Uuid,
    channel: String,
    campaign_id: Option<i64>,
    accepted_at: DateTime<Utc>,
    /// `queued`, `sending`, or how it ended.
    status: String,
    /// When it is tried again.
    due_at: Option<DateTime<Utc>>,
    attempts: Vec<Attempt>,
    /// What its gateway has reported of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Delivery>,
}

#[derive(Serialize, sqlx::FromRow)]
struct Delivery {
    status: String,
    code: String,
    at: DateTime<Utc>,
}

#[derive(Serialize, sqlx::FromRow)]
struct Attempt {
    number: i16,
    begun_at: DateTime<Utc>,
    state: Option<String>,
    code: Option<String>,
    ended_at: Option<DateTime<Utc>>,
}

type Row = (String, Option<i64>, DateTime<Utc>, Option<DateTime<Utc>>);

/// 404 for another tenant's.
pub async fn show(
    State(engine): State<Handle>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let unknown = || Problem::not_found(format!("there is no message {id:?}"));
    let id = Uuid::try_parse(&id).map_err(|_| unknown())?;
    let reading = failed("read the message");
    let mut db = read_as(&engine.pool, tenant).await.map_err(reading)?;
    let message: Option<Row> = sqlx::query_as(
        "select m.channel, m.campaign_id, m.created_at, (select l.due_at from ficus.later as l where l.id = m.id)
         from ficus.message as m where m.id = $1 and m.tenant_id = $2",
    )
    .bind(id)
    .bind(tenant.0)
    .fetch_optional(&mut *db)
    .await
    .map_err(failed("read the message"))?;
    let (channel, campaign_id, accepted_at, due_at) = message.ok_or_else(unknown)?;
    let attempts: Vec<Attempt> = sqlx::query_as(
        "select a.number, a.begun_at, e.state, e.code, e.at as ended_at
         from ficus.attempt as a left join ficus.attempt_end as e on e.id = a.id and e.number = a.number
         where a.id = $1 order by a.number",
    )
    .bind(id)
    .fetch_all(&mut *db)
    .await
    .map_err(failed("read the message's attempts"))?;
    let delivery: Option<Delivery> = sqlx::query_as(
        "select case when rank >= 70 then 'read' when rank >= 60 then 'delivered' when rank >= 50 then 'undelivered' when rank >= 40 then 'unknown'
             when rank >= 30 then 'sent' else 'accepted' end as status, code, at
         from ficus.delivery where id = $1 and rank > 0",
    )
    .bind(id)
    .fetch_optional(&mut *db)
    .await
    .map_err(failed("read the message's reports"))?;
    let status = match attempts.last() {
        None => "queued".to_owned(),
        Some(Attempt { state: None, .. }) => "sending".to_owned(),
        Some(Attempt {
            state: Some(state), ..
        }) => state.clone(),
    };
    Ok(Json(Shown {
        id,
        channel,
        campaign_id,
        accepted_at,
        status,
        due_at,
        attempts,
        delivery,
    }))
}
