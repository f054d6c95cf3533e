//! Whose turn a task is that one engine at a time does: a lease in the database, which ends by itself with whoever dies.
//!
//! Its own file, because whoever stops lets go of its own turn, and of no other's: what another task of the same engine has in its hands is not over.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

/// One engine's view of one task.
#[derive(Clone, Debug)]
pub struct Turn {
    pub pool: PgPool,
    /// As `ficus.event_reader` names it.
    pub task: &'static str,
    pub engine: Uuid,
    pub lease: Duration,
}

impl Turn {
    /// Takes it or prolongs it. False: it is another engine's.
    pub async fn take(&self) -> Result<bool, sqlx::Error> {
        let taken: Option<Option<bool>> =
            sqlx::query_scalar("select ficus.take_reader($1, $2, $3)")
                .bind(self.task)
                .bind(self.engine)
                .bind(self.lease)
                .fetch_optional(&self.pool)
                .await?;
        Ok(taken.flatten() == Some(true))
    }

    /// Another engine need not wait for the lease to end. Should it fail, it does.
    pub async fn leave(&self) {
        let left = sqlx::query("select ficus.leave_turn($1, $2)")
            .bind(self.task)
            .bind(self.engine);
        if let Err(error) = left.execute(&self.pool).await {
            tracing::warn!(%error, task = self.task, "could not leave a task to other engines");
        }
    }
}
