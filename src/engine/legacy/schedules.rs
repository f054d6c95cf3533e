//! Legacy's rows of schedules, which it shows and we fire.
//!
//! Its own file, because these rows are kept in step with ours, and concern no message.

use chrono::{DateTime, Utc};

use super::{Done, Legacy, safe};
use crate::engine::message::Channel;
use crate::engine::sms::Gateway;
use crate::ids::TenantId;

impl Legacy {
    /// The id of the row that shows it. `None`: campaign or template is gone. Not to be repeated.
    pub async fn store_schedule(
        &self,
        tenant: TenantId,
        campaign: i64,
        template: i64,
        due: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Done<Option<i64>> {
        sqlx::query_scalar(safe(&self.statements.store_schedule))
            .bind(tenant.0)
            .bind(campaign)
            .bind(template)
            .bind(due.naive_utc())
            .bind(at.naive_utc())
            .fetch_optional(&self.pool)
            .await
    }

    /// As [`Self::store_schedule`], of a campaign by text.
    pub async fn store_sms_schedule(
        &self,
        tenant: TenantId,
        (campaign, template): (i64, i64),
        gateway: Gateway,
        due: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Done<Option<i64>> {
        sqlx::query_scalar(safe(&self.statements.sms.store_schedule))
            .bind(tenant.0)
            .bind(campaign)
            .bind(template)
            .bind(gateway.as_str())
            .bind(due.naive_utc())
            .bind(at.naive_utc())
            .fetch_optional(&self.pool)
            .await
    }

    /// May be repeated.
    pub async fn schedule_ended(
        &self,
        channel: Channel,
        tenant: TenantId,
        schedule: i64,
        status: &str,
        due: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Done<()> {
        sqlx::query(safe(self.of(
            channel,
            |it| &it.schedule_ended,
            |it| &it.schedule_ended,
        )))
        .bind(tenant.0)
        .bind(schedule)
        .bind(status)
        .bind(due.naive_utc())
        .bind(at.naive_utc())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
