//! What the guard tells people: one alert an episode, in the table of alerts.
//!
//! Its own file, because telling must never keep it from acting.

use sqlx::{PgConnection, PgPool};

use crate::alerts::{Alert, Severity, raise};

pub(super) async fn tell(pool: &PgPool, key: &str, capability: &str, title: &str, body: &str) {
    match pool.acquire().await {
        Ok(mut db) => {
            alert(
                &mut db,
                Severity::Critical,
                key,
                Some(capability),
                title,
                body,
            )
            .await;
        }
        Err(e) => tracing::error!(error = %e, title, body, "an alert of the guard is not stored"),
    }
}

/// An alert that is not stored must not keep the guard from its work: then the log has it.
pub(super) async fn alert(
    db: &mut PgConnection,
    severity: Severity,
    key: &str,
    capability: Option<&str>,
    title: &str,
    body: &str,
) {
    tracing::warn!(capability, title, body, "the guard");
    let alert = Alert {
        severity,
        key,
        capability,
        title,
        body,
    };
    if let Err(e) = raise(db, &alert).await {
        tracing::error!(error = %e, title, "an alert of the guard is not stored");
    }
}
