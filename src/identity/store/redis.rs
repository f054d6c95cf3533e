//! Sessions in Redis: `SESSION_DRIVER=redis`.
//!
//! Its own file, because the client lives behind it.

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, cmd};
use tokio::runtime::Handle;

use crate::identity::answers::DEADLINE;
use crate::identity::laravel::SessionId;
use crate::identity::laravel::payload::DATA_LIMIT;
use crate::secret::Secret;

/// One connection, which carries many commands at once and is made anew when it breaks.
pub struct Redis {
    connection: ConnectionManager,
    prefix: String,
}

impl Redis {
    /// Connects when first asked.
    pub fn new(url: &Secret, prefix: &str, runtime: &Handle) -> anyhow::Result<Self> {
        // Without its cause, which may quote the URL.
        let unreadable =
            || anyhow::anyhow!("redis_url cannot be read: expected redis://host:port/database");
        let client = Client::open(url.reveal()).map_err(|_| unreadable())?;
        // One attempt for each look-up that fails: whoever comes next tries again.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(DEADLINE));
        let _entered = runtime.enter();
        let connection =
            ConnectionManager::new_lazy_with_config(client, config).map_err(|_| unreadable())?;
        Ok(Self {
            connection,
            prefix: prefix.to_owned(),
        })
    }

    /// The session's value; empty when there is none. Cut behind what anybody would read of it.
    pub async fn get(&self, id: SessionId) -> anyhow::Result<Vec<u8>> {
        let value = cmd("GETRANGE")
            .arg(format!("{}{}", self.prefix, id.reveal()))
            .arg(0)
            .arg(DATA_LIMIT)
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(value)
    }
}
