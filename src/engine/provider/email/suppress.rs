//! Ends the sending to an address of which the tenant's server says that it does not exist.
//!
//! Its own file, because it is a bounce that came at once, and is written down as one that comes back: `ficus.bounce`, the suppression, and legacy's table.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::time::timeout;

use crate::engine::links::Links;
use crate::engine::queue::Due;

/// For it to be written. Should it fail, the address says the same at the next message.
const DEADLINE: Duration = Duration::from_secs(5);

pub struct Suppressor {
    pub pool: PgPool,
    pub links: Links,
}

impl Suppressor {
    /// `code` is the server's, and has no address in it.
    pub async fn suppress(&self, due: &Due, code: &str) {
        // One a message: another attempt at it is told the same.
        let report = Sha256::digest(format!("smtp {}", due.id));
        let written = sqlx::query_scalar(
            "select ficus.record_bounce($1, $2, $3, 'failed', $4, 'bounced', $4)",
        )
        .bind(due.id.0)
        .bind(due.tenant.0)
        .bind(report.as_slice())
        .bind(code)
        .fetch_one(&self.pool);
        let (id, tenant) = (due.id, due.tenant);
        match timeout(DEADLINE, written).await {
            Ok(Ok(true)) => {
                tracing::info!(%tenant, message = %id, code, "nothing more is sent to the message's recipient");
                self.links.tell();
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, %tenant, message = %id, "could not suppress an address that does not exist");
            }
            Err(_) => {
                tracing::warn!(%tenant, message = %id, "could not suppress an address that does not exist: no answer in time");
            }
        }
    }
}
