//! What goes back to legacy: a campaign of legacy's own for recipients that were not reached, which legacy's cron sends.
//!
//! Its own file, because each of these may be repeated after a crash and must then change nothing: the ids are reserved first, and the rows
//! are told by them.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::{Done, Legacy, safe};
use crate::engine::message::MessageId;
use crate::ids::TenantId;

/// Of legacy's tables: the rows that a list of recipients becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub campaign: i64,
    pub schedule: i64,
}

/// Of whom legacy sends a campaign in our place.
#[derive(Clone, Debug, FromRow)]
pub struct Returned {
    pub message_id: Uuid,
    pub contact: Option<i64>,
    pub recipient: String,
}

impl Legacy {
    /// May be repeated: quota goes back once.
    pub async fn returned(&self, messages: &[(MessageId, DateTime<Utc>)]) -> Done<()> {
        self.ended(&self.statements.returned, messages).await
    }

    /// A place that nobody else gets. One that is not used is lost, and nothing more.
    pub async fn reserve_place(&self) -> Done<Place> {
        let (campaign, schedule) = sqlx::query_as(safe(&self.statements.return_place))
            .fetch_one(&self.pool)
            .await?;
        Ok(Place { campaign, schedule })
    }

    /// Puts recipients of a campaign into its place. May be repeated.
    pub async fn place_recipients(
        &self,
        tenant: TenantId,
        campaign: i64,
        place: Place,
        recipients: &[Returned],
    ) -> Done<()> {
        let contacts: Vec<_> = recipients.iter().map(|it| it.contact).collect();
        let addresses: Vec<_> = recipients.iter().map(|it| it.recipient.as_str()).collect();
        sqlx::query(safe(&self.statements.return_recipients))
            .bind(tenant.0)
            .bind(campaign)
            .bind(place.campaign)
            .bind(contacts)
            .bind(addresses)
            .bind(Utc::now().naive_utc())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// From here on legacy sends it. May be repeated.
    pub async fn begin_returned(&self, tenant: TenantId, place: Place, template: i64) -> Done<()> {
        sqlx::query(safe(&self.statements.return_begin))
            .bind(tenant.0)
            .bind(place.campaign)
            .bind(place.schedule)
            .bind(template)
            .bind(Utc::now().naive_utc())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
