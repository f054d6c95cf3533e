//! A write beside the control state: no revision, no proxy that follows, and its key all the same.
//!
//! Its own file, because the engine's operations are done in the API's way and are none of the control state's: they must not wait for
//! `ficus.clock`, and it must not wait for them.

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{PgPool, Transaction};
use tokio::time::timeout;

use super::idempotency::take_beside;
use super::transaction::{PATIENCE, within};
use super::{Author, Error};

/// Begun, and taken back unless it is finished.
pub struct Beside(Transaction<'static, Postgres>);

impl Beside {
    /// Takes the author's key, if there is one: of two requests with the same the second waits, and is told that it was done.
    pub async fn begin(pool: &PgPool, author: &Author) -> Result<Self, Error> {
        let mut tx = within(pool.begin()).await?;
        let bound = sqlx::query("set local lock_timeout = '3s'");
        within(bound.execute(&mut *tx)).await?;
        if let Some(key) = &author.key
            && !take_beside(&mut tx, &author.actor, key).await?
        {
            return Err(Error::Repeated);
        }
        Ok(Self(tx))
    }

    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    /// Commits, or takes everything back after a dry run, the key too.
    pub async fn finish(self, dry_run: bool) -> Result<(), Error> {
        if dry_run {
            return Ok(self.0.rollback().await?);
        }
        match timeout(PATIENCE, self.0.commit()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(sqlx::Error::Io(_))) | Err(_) => Err(Error::Unsure),
            Ok(Err(refused)) => Err(refused.into()),
        }
    }
}
