//! Campaigns that were sent, each time: listed, paused, resumed, cancelled.
//!
//! Its own file, because a run is more than its messages: while it lasts, recipients of it are none yet.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::By;
use crate::ids::TenantId;

/// A campaign's send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Run {
    pub id: Uuid,
    pub tenant_id: i64,
    pub campaign_id: i64,
    pub template_id: i64,
    /// `expanding`: recipients are read; `sending`: all have been; `cancelling`, `returning`: what nobody has begun is ended, or given to legacy;
    /// `cancelled`: it has been; `finished`: each has its end; `done`: legacy knows.
    pub state: String,
    pub is_paused: bool,
    /// Messages that were made of its recipients, and how many of them were sent and failed.
    pub accepted: i32,
    pub sent: i32,
    pub failed: i32,
    /// Of those that failed: given back to legacy.
    pub returned: i32,
    /// Recipients that were left out, that have no address, and that were sent to before.
    pub skipped: i32,
    pub rejected: i32,
    pub duplicates: i32,
    pub requested_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// What is done with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunOperation {
    Pause,
    Resume,
    Cancel,
}

impl RunOperation {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

const COLUMNS: &str = "select r.id, r.tenant_id, r.campaign_id, r.template_id, r.state, r.is_paused, r.accepted, r.sent, r.failed, r.returned,
    r.skipped, r.rejected, r.duplicates, r.requested_at, r.finished_at from ficus.campaign_run as r";

/// Runs, newest first: those that are not over, or all.
pub async fn runs(
    db: impl PgExecutor<'_>,
    tenant: Option<TenantId>,
    all: bool,
    before: Option<Uuid>,
    most: i64,
) -> Result<Vec<Run>, sqlx::Error> {
    let sql = format!(
        "{COLUMNS} where ($1::bigint is null or r.tenant_id = $1) and ($2 or r.state <> 'done') and ($3::uuid is null or r.id < $3)
         order by r.id desc limit $4"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(tenant.map(|it| it.0))
        .bind(all)
        .bind(before)
        .bind(most)
        .fetch_all(db)
        .await
}

/// Does it, and answers whether that changed anything, and how the run stands. `None`: there is no such run.
pub async fn operate(
    connection: &mut PgConnection,
    run: Uuid,
    operation: RunOperation,
    by: By<'_>,
) -> Result<Option<(bool, Run)>, sqlx::Error> {
    let changed: Option<bool> =
        sqlx::query_scalar("select changed from ficus.operate_run($1, $2, $3, $4, $5)")
            .bind(run)
            .bind(operation.as_str())
            .bind(by.actor)
            .bind(by.source)
            .bind(by.reason)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(changed) = changed else {
        return Ok(None);
    };
    let sql = format!("{COLUMNS} where r.id = $1");
    let run = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(run)
        .fetch_one(connection)
        .await?;
    Ok(Some((changed, run)))
}
