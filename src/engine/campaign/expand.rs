//! Makes messages of campaigns' recipients, a batch at a time, and ends campaigns that are cancelled.
//!
//! Its own file, because each recipient must become a message once: a batch and how far the campaign has come are one transaction.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{FromRow, PgPool};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine::address::Address;
use crate::engine::idempotency::{Fingerprint, Key, Purpose};
use crate::engine::legacy::{Legacy, Recipient};
use crate::engine::letter::Body;
use crate::engine::message::{Accepted, Channel, MessageId, NewMessage};
use crate::engine::quota::Quotas;
use crate::engine::sms::{Number, TextBody};
use crate::engine::submit;
use crate::engine::worker::Hints;
use crate::ids::TenantId;

/// Recipients of one transaction.
pub(super) const BATCH: i64 = 1_000;
/// Messages that one statement cancels.
const CANCELLED: i32 = 5_000;
/// How long a campaign stays with an engine that tells nothing.
const LEASE: Duration = Duration::from_secs(30);
/// Between two looks for campaigns that somebody else has begun, resumed or cancelled.
const POLL: Duration = Duration::from_secs(1);

/// Works on campaigns, one batch of each in its turn.
pub struct Expander {
    pub pool: PgPool,
    pub legacy: Legacy,
    pub quotas: Quotas,
    pub hints: Hints,
    /// Rung when a campaign was accepted here.
    pub bell: Arc<Notify>,
    pub engine: Uuid,
}

#[derive(Debug, FromRow)]
pub(super) struct Run {
    pub id: Uuid,
    pub tenant_id: i64,
    pub campaign_id: i64,
    template_id: i64,
    content_id: Uuid,
    state: String,
    pub position: i64,
    /// Which of a repeated schedule's sends this is.
    occurrence: Option<String>,
    channel: String,
}

/// What a batch of recipients is.
#[derive(Default)]
pub(super) struct Batch {
    pub messages: Vec<NewMessage>,
    /// Of each message, whom legacy knows its recipient as.
    pub contacts: Vec<i64>,
    pub skipped: i32,
    pub rejected: i32,
}

impl Run {
    /// What the same recipient may get beside this: each send of a repeated schedule is another one.
    fn step(&self) -> String {
        // Templates of texts are numbered by themselves. By which gateway is no matter: nobody gets the same twice.
        let template = match self.channel() {
            Channel::Email => format!("template-{}", self.template_id),
            Channel::Sms => format!("sms-template-{}", self.template_id),
        };
        match &self.occurrence {
            None => template,
            Some(occurrence) => format!("{template} at {occurrence}"),
        }
    }

    fn channel(&self) -> Channel {
        match self.channel == Channel::Sms.as_str() {
            true => Channel::Sms,
            false => Channel::Email,
        }
    }
}

impl Expander {
    /// Until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let worked = match self.work().await {
                Ok(worked) => worked,
                Err(error) => {
                    tracing::warn!(%error, "could not go on with a campaign; trying again");
                    false
                }
            };
            if stop.is_cancelled() {
                return self.leave().await;
            }
            if !worked {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.bell.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
    }

    /// Others need not wait for the leases to end. Should it fail, they do.
    async fn leave(&self) {
        let left = sqlx::query("select ficus.leave_runs($1)").bind(self.engine);
        if let Err(error) = left.execute(&self.pool).await {
            tracing::warn!(%error, "could not leave the campaigns to others");
        }
    }

    /// One batch of one campaign. False: there is none to work on.
    async fn work(&self) -> Result<bool, sqlx::Error> {
        let run: Option<Run> = sqlx::query_as(
            "select id, tenant_id, campaign_id, template_id, content_id, state, position, occurrence, channel from ficus.claim_run($1, $2)",
        )
        .bind(self.engine)
        .bind(LEASE)
        .fetch_optional(&self.pool)
        .await?;
        match run {
            None => Ok(false),
            Some(run) if run.state == "cancelling" => self.cancel(&run).await.map(|()| true),
            Some(run) => self.expand(&run).await.map(|()| true),
        }
    }

    async fn expand(&self, run: &Run) -> Result<(), sqlx::Error> {
        let tenant = TenantId(run.tenant_id);
        let (campaign, after) = (run.campaign_id, run.position);
        let recipients = match run.channel() {
            Channel::Email => self.legacy.recipients(tenant, campaign, after, BATCH).await,
            Channel::Sms => {
                let found = self.legacy.sms_recipients(tenant, campaign, after, BATCH);
                found.await
            }
        };
        let recipients = recipients?;
        let quota = self.quotas.of(run.channel());
        let is_last = (recipients.len() as i64) < BATCH;
        let reached = recipients.last().map_or(run.position, |it| it.place);
        let mut batch = batch(run, tenant, recipients);
        let wanted = u32::try_from(batch.messages.len()).unwrap_or(u32::MAX);
        let granted = quota.take(tenant, wanted).await;
        let granted = granted.map_err(|fault| sqlx::Error::Protocol(fault.to_string()))?;
        // As legacy: whom the quota does not reach is left out.
        batch.messages.truncate(granted as usize);
        batch.skipped += i32::try_from(wanted - granted).unwrap_or(i32::MAX);
        match self.accept(run, batch, reached, is_last).await {
            Ok(accepted) => {
                quota.give(tenant, granted - accepted.min(granted)).await;
                if accepted > 0 {
                    self.hints.due(tenant);
                }
                Ok(())
            }
            Err(error) => {
                // Refused by the database: surely nothing was stored. A lost connection may have stored it, and then it is paid for.
                if error.as_database_error().is_some() {
                    quota.give(tenant, granted).await;
                }
                Err(error)
            }
        }
    }

    /// Stores the messages and how far the campaign has come. How many are new.
    async fn accept(
        &self,
        run: &Run,
        batch: Batch,
        reached: i64,
        is_last: bool,
    ) -> Result<u32, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let is_there: bool = sqlx::query_scalar("select ficus.lock_run($1, $2)")
            .bind(run.id)
            .bind(run.position)
            .fetch_one(&mut *transaction)
            .await?;
        if !is_there {
            // Paused, cancelled, or another engine's meanwhile.
            return Ok(0);
        }
        let became = submit::accept(&mut *transaction, batch.messages).await?;
        let count = |is: fn(&Accepted) -> bool| {
            i32::try_from(became.iter().filter(|it| is(it)).count()).unwrap_or(i32::MAX)
        };
        let new = count(|it| matches!(it, Accepted::New(_)));
        let suppressed = count(|it| matches!(it, Accepted::Suppressed));
        let known = count(|it| matches!(it, Accepted::Duplicate(_) | Accepted::Conflict(_)));
        sqlx::query("select ficus.advance_run($1, $2, $3, $4, $5, $6)")
            .bind(run.id)
            .bind(reached)
            .bind(is_last)
            .bind(batch.skipped + suppressed)
            .bind(batch.rejected)
            .bind(known)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(u32::try_from(new).unwrap_or_default())
    }

    async fn cancel(&self, run: &Run) -> Result<(), sqlx::Error> {
        let ended: i32 = sqlx::query_scalar("select ficus.cancel_messages($1, $2, $3)")
            .bind(run.tenant_id)
            .bind(run.content_id)
            .bind(CANCELLED)
            .fetch_one(&self.pool)
            .await?;
        if ended == 0 {
            sqlx::query("select ficus.end_cancel($1)")
                .bind(run.id)
                .execute(&self.pool)
                .await?;
            tracing::info!(run = %run.id, tenant = run.tenant_id, campaign = run.campaign_id, "a campaign was cancelled");
        }
        Ok(())
    }
}

/// The messages of these recipients. An address that is none costs its own recipient the mail, and nobody else.
pub(super) fn batch(run: &Run, tenant: TenantId, recipients: Vec<Recipient>) -> Batch {
    let mut batch = Batch::default();
    for recipient in recipients {
        if recipient.is_unwanted {
            batch.skipped += 1;
            continue;
        }
        let contact = recipient.contact;
        match message(run, tenant, recipient) {
            Some(message) => {
                batch.messages.push(message);
                batch.contacts.push(contact);
            }
            None => batch.rejected += 1,
        }
    }
    batch
}

fn message(run: &Run, tenant: TenantId, recipient: Recipient) -> Option<NewMessage> {
    let (name, channel) = (recipient.name, run.channel());
    let (address, body) = match channel {
        Channel::Email => {
            let address = Address::parse(&recipient.address).ok()?;
            let body = Body {
                name,
                contact: Some(recipient.contact),
                ..Body::default()
            };
            (address.as_str().to_owned(), serde_json::to_string(&body))
        }
        Channel::Sms => {
            let number = Number::parse(&recipient.address).ok()?;
            let body = TextBody {
                name,
                ..TextBody::default()
            };
            (number.as_str().to_owned(), serde_json::to_string(&body))
        }
    };
    let key = Key::of(&Purpose {
        tenant,
        campaign: run.campaign_id,
        recipient: &recipient.contact.to_string(),
        step: &run.step(),
    });
    Some(NewMessage {
        id: MessageId::new(),
        tenant,
        key: key.digest(),
        // What the recipient gets is the campaign's: a second send of it is the same, whatever the template says by then.
        fingerprint: Fingerprint::of(&serde_json::Value::Null).0,
        channel,
        campaign: Some(run.campaign_id),
        recipient: address,
        body: body.ok()?,
        content: Some(run.content_id),
        due_at: None,
    })
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn recipient(email: &str, is_unwanted: bool) -> Recipient {
        Recipient {
            place: 1,
            contact: 9,
            address: email.to_owned(),
            name: None,
            is_unwanted,
        }
    }

    fn run(channel: &str) -> Run {
        Run {
            id: Uuid::now_v7(),
            tenant_id: 7,
            campaign_id: 71,
            template_id: 72,
            content_id: Uuid::now_v7(),
            state: "expanding".to_owned(),
            position: 0,
            occurrence: None,
            channel: channel.to_owned(),
        }
    }

    #[test]
    fn who_is_unwanted_is_left_out_and_who_has_no_address_is_refused_alone() {
        let run = run("email");
        let all = vec![
            recipient("ann@example.com", false),
            recipient("bob@example.com", true),
            recipient("nobody", false),
        ];
        let batch = batch(&run, TenantId(7), all);
        assert_eq!(
            (batch.messages.len(), batch.skipped, batch.rejected),
            (1, 1, 1)
        );
        assert_eq!(batch.messages[0].content, Some(run.content_id));
        assert!(batch.messages[0].id.made_at().unwrap() <= Utc::now());
    }

    #[test]
    fn texts_go_to_numbers_and_are_no_mails_of_the_same_campaign() {
        let recipients = vec![
            recipient("+1 555 000 0201", false),
            recipient("ann@example.com", false),
        ];
        let batch = batch(&run("sms"), TenantId(7), recipients);
        assert_eq!((batch.messages.len(), batch.rejected), (1, 1));
        let text = &batch.messages[0];
        assert_eq!(
            (text.channel, text.recipient.as_str()),
            (Channel::Sms, "+15550000201")
        );
        let mail = message(
            &run("email"),
            TenantId(7),
            recipient("a@example.com", false),
        );
        assert_ne!(mail.unwrap().key, text.key);
    }
}
