//! Which message a callback is about, and the function that writes down what it says.
//!
//! Its own file, because what is believed is decided elsewhere, and this is only where it is kept (migrations/0015_sms.sql).

use sqlx::PgPool;
use uuid::Uuid;

use super::report::Report;
use crate::engine::sms::Gateway;
use crate::ids::TenantId;

/// A text that was sent, as far as a callback is held against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub tenant: TenantId,
    /// What vendors have called it, in all its attempts. Empty: none has answered.
    pub references: Vec<String>,
}

impl Sent {
    /// Where the vendor's name for the message is known, a report has to have it; parts beyond the first have names that are not. What was
    /// signed over may not say whose report it is.
    pub fn is_about(&self, report: &Report) -> bool {
        let is_part = !report.part.is_empty() && report.part == report.reference;
        self.references.is_empty() || is_part || self.references.contains(&report.reference)
    }
}

/// A text of ours. `None`: no such, or no text.
pub async fn find_message(pool: &PgPool, id: Uuid) -> Result<Option<Sent>, sqlx::Error> {
    let found: Option<(i64, Vec<String>)> = sqlx::query_as(
        "select m.tenant_id, array(select e.reference from ficus.attempt_end as e where e.id = m.id and e.reference is not null)
         from ficus.message as m where m.id = $1 and m.channel = 'sms'",
    )
    .bind(id)
    .fetch_optional(pool)
    .await?;
    Ok(found.map(|(tenant, references)| Sent {
        tenant: TenantId(tenant),
        references,
    }))
}

/// By our id, which some vendors repeat, or by the vendor's.
pub async fn find_named(
    pool: &PgPool,
    gateway: Gateway,
    ours: Option<Uuid>,
    theirs: Option<&str>,
) -> Result<Option<(Uuid, Sent)>, sqlx::Error> {
    if let Some(id) = ours
        && let Some(sent) = find_message(pool, id).await?
    {
        return Ok(Some((id, sent)));
    }
    let Some(theirs) = theirs else {
        return Ok(None);
    };
    let id: Option<Uuid> = sqlx::query_scalar(
        "select e.id from ficus.attempt_end as e join ficus.attempt as a on a.id = e.id and a.number = e.number
         where e.reference = $1 and a.connection = $2 limit 1",
    )
    .bind(theirs)
    .bind(gateway.as_str())
    .fetch_optional(pool)
    .await?;
    let Some(id) = id else {
        return Ok(None);
    };
    Ok(find_message(pool, id).await?.map(|sent| (id, sent)))
}

/// `recorded`, or `replayed`, and then nothing has changed.
pub async fn record(
    pool: &PgPool,
    gateway: Gateway,
    message: Uuid,
    tenant: TenantId,
    report: &Report,
) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("select ficus.record_callback($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(message)
        .bind(tenant.0)
        .bind(gateway.as_str())
        .bind(report.digest.as_slice())
        .bind(&report.part)
        .bind(&report.said)
        .bind(report.delivery.rank())
        .bind(&report.code)
        .bind(report.cause.suppresses())
        .fetch_one(pool)
        .await
}
