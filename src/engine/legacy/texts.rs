//! Legacy's tables of text messages: whose gateway, which template, to whom, and what became of each.
//!
//! Its own file, because only these differ from e-mail's; what both channels have is asked by [`super::Legacy`] with the channel's statement.

use chrono::{DateTime, Utc};

use super::{Done, Legacy, Recipient, safe};
use crate::engine::message::MessageId;
use crate::engine::sms::Gateway;
use crate::ids::TenantId;

/// `[engine.legacy.sms]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextStatements {
    /// Tenant, gateway (null: the first) → gateway, key, secret, sender, what reports are signed with, base URL, all senders.
    pub service: String,
    /// Tenant, template → text.
    pub template: String,
    /// As e-mail's, with the number in place of the address.
    pub recipients: String,
    pub take_quota: String,
    pub give_quota: String,
    pub quota_drift: String,
    /// Messages of campaigns that were accepted: ids, tenants, campaigns, gateways, numbers, times.
    pub queued: String,
    pub sent: String,
    pub failed: String,
    pub sent_alone: String,
    /// What gateways report: ids, statuses, codes, times, in the order in which they became true.
    pub reported: String,
    pub finished: String,
    /// As e-mail's, with the gateway behind the template.
    pub store_schedule: String,
    pub schedule_ended: String,
}

impl TextStatements {
    /// Each statement as `text` gives it for its name. `None`: one was at fault.
    pub fn read(mut text: impl FnMut(&'static str) -> Option<String>) -> Option<Self> {
        // All of them first, so that each fault is told.
        let service = text("service");
        let template = text("template");
        let recipients = text("recipients");
        let take_quota = text("take_quota");
        let give_quota = text("give_quota");
        let quota_drift = text("quota_drift");
        let queued = text("queued");
        let sent = text("sent");
        let failed = text("failed");
        let sent_alone = text("sent_alone");
        let reported = text("reported");
        let finished = text("finished");
        let store_schedule = text("store_schedule");
        let schedule_ended = text("schedule_ended");
        Some(Self {
            service: service?,
            template: template?,
            recipients: recipients?,
            take_quota: take_quota?,
            give_quota: give_quota?,
            quota_drift: quota_drift?,
            queued: queued?,
            sent: sent?,
            failed: failed?,
            sent_alone: sent_alone?,
            reported: reported?,
            finished: finished?,
            store_schedule: store_schedule?,
            schedule_ended: schedule_ended?,
        })
    }
}

/// A tenant's gateway, as it is stored: nothing of it is checked, and what is secret is sealed. It does not print.
pub struct StoredService {
    pub gateway: String,
    pub key: Option<String>,
    pub secret: Option<String>,
    pub sender: Option<String>,
    pub signing: Option<String>,
    pub base: Option<String>,
    pub senders: Vec<String>,
}

/// A campaign's text that was accepted by us.
#[derive(Clone, Debug)]
pub struct QueuedText {
    pub id: MessageId,
    pub tenant: TenantId,
    pub campaign: i64,
    /// `None`: the tenant's first.
    pub gateway: Option<String>,
    pub number: String,
    pub at: DateTime<Utc>,
}

/// What a gateway says became of a text.
#[derive(Clone, Debug)]
pub struct Reported {
    pub id: MessageId,
    pub status: String,
    pub code: String,
    pub at: DateTime<Utc>,
}

impl Legacy {
    pub async fn sms_service(
        &self,
        tenant: TenantId,
        gateway: Option<Gateway>,
    ) -> Done<Option<StoredService>> {
        type Text = Option<String>;
        type Row = (String, Text, Text, Text, Text, Text, Vec<String>);
        let found: Option<Row> = sqlx::query_as(safe(&self.statements.sms.service))
            .bind(tenant.0)
            .bind(gateway.map(Gateway::as_str))
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.map(
            |(gateway, key, secret, sender, signing, base, senders)| StoredService {
                gateway,
                key,
                secret,
                sender,
                signing,
                base,
                senders,
            },
        ))
    }

    pub async fn sms_template(&self, tenant: TenantId, template: i64) -> Done<Option<String>> {
        sqlx::query_scalar(safe(&self.statements.sms.template))
            .bind(tenant.0)
            .bind(template)
            .fetch_optional(&self.pool)
            .await
    }

    /// Those beyond `after`, at most so many; fewer: there are no more. Who has no number is unwanted.
    pub async fn sms_recipients(
        &self,
        tenant: TenantId,
        campaign: i64,
        after: i64,
        most: i64,
    ) -> Done<Vec<Recipient>> {
        let statement = &self.statements.sms.recipients;
        self.read_recipients(statement, tenant, campaign, (after, most))
            .await
    }

    /// May be repeated.
    pub async fn sms_queued(&self, texts: &[QueuedText]) -> Done<()> {
        let numbers = texts.iter().map(|it| it.number.clone());
        let gateways = texts.iter().map(|it| it.gateway.clone());
        sqlx::query(safe(&self.statements.sms.queued))
            .bind(texts.iter().map(|it| it.id.0).collect::<Vec<_>>())
            .bind(texts.iter().map(|it| it.tenant.0).collect::<Vec<_>>())
            .bind(texts.iter().map(|it| it.campaign).collect::<Vec<_>>())
            .bind(gateways.collect::<Vec<_>>())
            .bind(numbers.collect::<Vec<_>>())
            .bind(times(texts.iter().map(|it| it.at)))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// May be repeated: what is counted is counted once.
    pub async fn sms_reported(&self, reports: &[Reported]) -> Done<()> {
        sqlx::query(safe(&self.statements.sms.reported))
            .bind(reports.iter().map(|it| it.id.0).collect::<Vec<_>>())
            .bind(
                reports
                    .iter()
                    .map(|it| it.status.clone())
                    .collect::<Vec<_>>(),
            )
            .bind(reports.iter().map(|it| it.code.clone()).collect::<Vec<_>>())
            .bind(times(reports.iter().map(|it| it.at)))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn times(times: impl Iterator<Item = DateTime<Utc>>) -> Vec<chrono::NaiveDateTime> {
    times.map(|at| at.naive_utc()).collect()
}
