//! Legacy's tables, as far as the engine needs them: campaigns and their recipients, servers, quotas, and the status written back.
//!
//! Its own folder, because it goes when legacy's tables go; the rest of the engine knows of a tenant's campaign what stands here.

mod handback;
mod schedules;
mod statements;
mod texts;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

pub use handback::{Place, Returned};
pub use statements::Statements;
pub use texts::{QueuedText, Reported, StoredService, TextStatements};

use super::message::{Channel, MessageId};
use crate::ids::TenantId;

/// Legacy's database with the statements that fit it.
#[derive(Clone)]
pub struct Legacy {
    pool: PgPool,
    statements: std::sync::Arc<Statements>,
}

/// What a campaign's mails are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub subject: String,
    pub html: String,
    /// Where a click leads.
    pub link: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    pub email: String,
    pub name: Option<String>,
    pub reply_to: Option<String>,
}

/// A tenant's server, as it is stored: nothing of it is checked. It does not print its password, which is sealed besides.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoredServer {
    /// `None`: the platform's relay.
    pub host: Option<String>,
    pub port: Option<i32>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub encryption: Option<String>,
    /// By whom the password is.
    pub sealed: Sealed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sealed {
    /// As its `encrypt()` writes it.
    #[default]
    ByLaravel,
    /// As [`crate::engine::sealed`] does.
    ByUs,
}

/// One recipient of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// By which the next are found.
    pub place: i64,
    /// Which stays when the address changes.
    pub contact: i64,
    /// An e-mail address, or a number. Empty: there is none, and the recipient is unwanted.
    pub address: String,
    pub name: Option<String>,
    /// Unsubscribed, or bounced before.
    pub is_unwanted: bool,
}

/// A campaign's message that was accepted by us.
#[derive(Clone, Debug)]
pub struct Queued {
    pub id: MessageId,
    pub tenant: TenantId,
    pub campaign: i64,
    pub email: String,
    pub link: Option<String>,
    pub at: DateTime<Utc>,
}

/// What a campaign came to.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    pub tenant: TenantId,
    pub campaign: i64,
    pub sent: i32,
    pub failed: i32,
    pub skipped: i32,
    pub at: DateTime<Utc>,
}

type Done<T> = Result<T, sqlx::Error>;

impl Legacy {
    pub fn new(pool: PgPool, statements: Statements) -> Self {
        Self {
            pool,
            statements: std::sync::Arc::new(statements),
        }
    }

    /// What both channels have, as this one has it.
    fn of<'a>(
        &'a self,
        channel: Channel,
        email: fn(&'a Statements) -> &'a String,
        sms: fn(&'a TextStatements) -> &'a String,
    ) -> &'a str {
        match channel {
            Channel::Email => email(&self.statements),
            Channel::Sms => sms(&self.statements.sms),
        }
    }

    /// The tables themselves, for what legacy's own pages show.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A campaign's channel. `None`: the tenant has no such campaign.
    pub async fn channel(&self, tenant: TenantId, campaign: i64) -> Done<Option<String>> {
        sqlx::query_scalar(safe(&self.statements.campaign))
            .bind(tenant.0)
            .bind(campaign)
            .fetch_optional(&self.pool)
            .await
    }

    pub async fn template(&self, tenant: TenantId, template: i64) -> Done<Option<Template>> {
        let found: Option<(String, String, Option<String>)> =
            sqlx::query_as(safe(&self.statements.template))
                .bind(tenant.0)
                .bind(template)
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.map(|(subject, html, link)| Template {
            subject,
            html,
            link,
        }))
    }

    pub async fn sender(&self, tenant: TenantId) -> Done<Option<Sender>> {
        let found: Option<(String, Option<String>, Option<String>)> =
            sqlx::query_as(safe(&self.statements.sender))
                .bind(tenant.0)
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.map(|(email, name, reply_to)| Sender {
            email,
            name,
            reply_to,
        }))
    }

    pub async fn server(&self, tenant: TenantId) -> Done<Option<StoredServer>> {
        type Row = (
            Option<String>,
            Option<i32>,
            Option<String>,
            Option<String>,
            Option<String>,
        );
        let found: Option<Row> = sqlx::query_as(safe(&self.statements.server))
            .bind(tenant.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.map(
            |(host, port, username, password, encryption)| StoredServer {
                host,
                port,
                username,
                password,
                encryption,
                sealed: Sealed::ByLaravel,
            },
        ))
    }

    /// Those beyond `after`, at most so many; fewer: there are no more.
    pub async fn recipients(
        &self,
        tenant: TenantId,
        campaign: i64,
        after: i64,
        most: i64,
    ) -> Done<Vec<Recipient>> {
        let statement = &self.statements.recipients;
        self.read_recipients(statement, tenant, campaign, (after, most))
            .await
    }

    async fn read_recipients(
        &self,
        statement: &str,
        tenant: TenantId,
        campaign: i64,
        (after, most): (i64, i64),
    ) -> Done<Vec<Recipient>> {
        type Row = (i64, i64, Option<String>, Option<String>, bool);
        let rows: Vec<Row> = sqlx::query_as(safe(statement))
            .bind(tenant.0)
            .bind(campaign)
            .bind(after)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|(place, contact, address, name, is_unwanted)| Recipient {
                place,
                contact,
                is_unwanted: is_unwanted || address.is_none(),
                address: address.unwrap_or_default(),
                name,
            })
            .collect())
    }

    /// Takes so many of each tenant's quota, or what is left of it: what each gets. Who is missing gets nothing.
    pub async fn take_quota(
        &self,
        channel: Channel,
        wanted: &[(TenantId, i32)],
    ) -> Done<Vec<(TenantId, i32)>> {
        let (tenants, counts): (Vec<i64>, Vec<i32>) = wanted
            .iter()
            .map(|(tenant, count)| (tenant.0, *count))
            .unzip();
        let granted: Vec<(i64, i32)> = sqlx::query_as(safe(self.of(
            channel,
            |it| &it.take_quota,
            |it| &it.take_quota,
        )))
        .bind(tenants)
        .bind(counts)
        .fetch_all(&self.pool)
        .await?;
        let granted = granted.into_iter();
        Ok(granted
            .map(|(tenant, count)| (TenantId(tenant), count))
            .collect())
    }

    pub async fn give_quota(&self, channel: Channel, back: &[(TenantId, i32)]) -> Done<()> {
        let (tenants, counts): (Vec<i64>, Vec<i32>) = back
            .iter()
            .map(|(tenant, count)| (tenant.0, *count))
            .unzip();
        sqlx::query(safe(self.of(
            channel,
            |it| &it.give_quota,
            |it| &it.give_quota,
        )))
        .bind(tenants)
        .bind(counts)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Of each tenant how many of its quota are neither sent nor left.
    pub async fn quota_drift(
        &self,
        channel: Channel,
        tenants: &[i64],
    ) -> Done<Vec<(TenantId, i64)>> {
        let found: Vec<(i64, i64)> = sqlx::query_as(safe(self.of(
            channel,
            |it| &it.quota_drift,
            |it| &it.quota_drift,
        )))
        .bind(tenants)
        .fetch_all(&self.pool)
        .await?;
        let found = found.into_iter();
        Ok(found
            .map(|(tenant, reserved)| (TenantId(tenant), reserved))
            .collect())
    }

    /// May be repeated.
    pub async fn queued(&self, messages: &[Queued]) -> Done<()> {
        sqlx::query(safe(&self.statements.queued))
            .bind(messages.iter().map(|it| it.id.0).collect::<Vec<_>>())
            .bind(messages.iter().map(|it| it.tenant.0).collect::<Vec<_>>())
            .bind(messages.iter().map(|it| it.campaign).collect::<Vec<_>>())
            .bind(
                messages
                    .iter()
                    .map(|it| it.email.clone())
                    .collect::<Vec<_>>(),
            )
            .bind(
                messages
                    .iter()
                    .map(|it| it.link.clone())
                    .collect::<Vec<_>>(),
            )
            .bind(
                messages
                    .iter()
                    .map(|it| it.at.naive_utc())
                    .collect::<Vec<_>>(),
            )
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// May be repeated: what is counted is counted once.
    pub async fn sent(
        &self,
        channel: Channel,
        messages: &[(MessageId, DateTime<Utc>)],
    ) -> Done<()> {
        self.ended(self.of(channel, |it| &it.sent, |it| &it.sent), messages)
            .await
    }

    /// May be repeated: quota goes back once.
    pub async fn failed(
        &self,
        channel: Channel,
        messages: &[(MessageId, DateTime<Utc>)],
    ) -> Done<()> {
        self.ended(self.of(channel, |it| &it.failed, |it| &it.failed), messages)
            .await
    }

    async fn ended(&self, statement: &str, messages: &[(MessageId, DateTime<Utc>)]) -> Done<()> {
        let (ids, times): (Vec<Uuid>, Vec<_>) = messages
            .iter()
            .map(|(id, at)| (id.0, at.naive_utc()))
            .unzip();
        sqlx::query(safe(statement))
            .bind(ids)
            .bind(times)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Of no campaign. Not to be repeated.
    pub async fn sent_alone(
        &self,
        channel: Channel,
        tenant: TenantId,
        times: &[DateTime<Utc>],
    ) -> Done<()> {
        sqlx::query(safe(self.of(
            channel,
            |it| &it.sent_alone,
            |it| &it.sent_alone,
        )))
        .bind(tenant.0)
        .bind(times.iter().map(DateTime::naive_utc).collect::<Vec<_>>())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// May be repeated with the same time.
    pub async fn finished(&self, channel: Channel, campaign: &Finished) -> Done<()> {
        sqlx::query(safe(self.of(channel, |it| &it.finished, |it| &it.finished)))
            .bind(campaign.tenant.0)
            .bind(campaign.campaign)
            .bind(campaign.sent)
            .bind(campaign.failed)
            .bind(campaign.skipped)
            .bind(campaign.at.naive_utc())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// They are the operator's, from the configuration, and take all values as parameters.
fn safe(statement: &str) -> AssertSqlSafe<&str> {
    AssertSqlSafe(statement)
}
