//! Which server a tenant's mails go through, and the connections to it.
//!
//! Its own file, because settings change while messages wait: they are read again every few seconds, and what changed gets new connections.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::own::OwnServers;
use crate::engine::legacy::{Legacy, Sealed, StoredServer};
use crate::engine::letter::NamedServer;
use crate::engine::provider::smtp::{Credentials, Limits, Pool, Security, Server};
use crate::engine::retry::Class;
use crate::ids::TenantId;
use crate::laravel;
use crate::laravel::envelope::Opener;
use crate::secret::Secret;

/// How long a tenant's settings are believed.
const SETTINGS: Duration = Duration::from_secs(5);
/// How long connections are kept that nobody uses.
const IDLE: Duration = Duration::from_secs(120);
/// Servers with connections at once.
const MOST_SERVERS: u64 = 10_000;
/// As legacy's SwiftMailer has it when a row names no port.
const DEFAULT_PORT: u16 = 25;

/// What is the same for all servers.
pub struct Settings {
    /// The platform's relay, for tenants that have stored no host.
    pub relay: Option<(String, u16)>,
    pub local_name: String,
    pub connections: usize,
    /// Opens what Laravel has sealed.
    pub opener: Option<Opener>,
}

pub struct Servers {
    legacy: Legacy,
    own: OwnServers,
    settings: Settings,
    stored: Cache<TenantId, Arc<StoredServer>>,
    pools: Cache<Key, Found>,
}

/// What makes two servers the same. The password as it is sealed: another text, another pool.
type Key = (TenantId, StoredServer);

#[derive(Clone)]
pub struct Found {
    pub pool: Pool,
    /// As attempts name it.
    pub name: String,
}

/// Why there is no server to send through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Legacy's database did not answer.
    Database,
    /// The tenant has stored none, or one that cannot be used.
    None,
    /// Its password does not open with the key.
    Password,
    Unusable,
}

impl Missing {
    pub fn code(self) -> &'static str {
        match self {
            Self::Database => "no-database",
            Self::None => "no-server",
            Self::Password => "bad-password",
            Self::Unusable => "bad-server",
        }
    }
}

impl From<Missing> for Class {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Database => Self::NotSent,
            Missing::None | Missing::Password | Missing::Unusable => Self::Account,
        }
    }
}

impl Servers {
    pub fn new(legacy: Legacy, own: OwnServers, settings: Settings) -> Self {
        let stored = Cache::builder()
            .max_capacity(MOST_SERVERS)
            .time_to_live(SETTINGS)
            .build();
        let pools = Cache::builder()
            .max_capacity(MOST_SERVERS)
            .time_to_idle(IDLE)
            .build();
        Self {
            legacy,
            own,
            settings,
            stored,
            pools,
        }
    }

    /// The server that a message names, or its tenant's.
    pub async fn find(
        &self,
        tenant: TenantId,
        named: Option<&NamedServer>,
    ) -> Result<Found, Missing> {
        let stored = match named {
            Some(named) => Arc::new(StoredServer::from(named)),
            None => self.stored(tenant).await?,
        };
        let key = (tenant, StoredServer::clone(&stored));
        if let Some(found) = self.pools.get(&key).await {
            return Ok(found);
        }
        // One pool, however many messages find that there is none.
        let made = self
            .pools
            .try_get_with(key, async { self.connect(tenant, &stored) })
            .await;
        made.map_err(|missing| *missing)
    }

    async fn stored(&self, tenant: TenantId) -> Result<Arc<StoredServer>, Missing> {
        let read = async {
            let away = |error: sqlx::Error| {
                tracing::warn!(%error, %tenant, "could not read a tenant's mail server");
                Missing::Database
            };
            let found = match self.own.find(tenant).await.map_err(away)? {
                Some(own) => Some(own),
                None => self.legacy.server(tenant).await.map_err(away)?,
            };
            found.map(Arc::new).ok_or(Missing::None)
        };
        let found = self.stored.try_get_with(tenant, read).await;
        found.map_err(|missing| *missing)
    }

    fn connect(&self, tenant: TenantId, stored: &StoredServer) -> Result<Found, Missing> {
        let (host, port) = match (&stored.host, &self.settings.relay) {
            (Some(host), _) => {
                let port = stored.port.unwrap_or(DEFAULT_PORT.into());
                let port = u16::try_from(port).map_err(|_| Missing::Unusable)?;
                (host.clone(), port)
            }
            (None, Some((host, port))) => (host.clone(), *port),
            (None, None) => return Err(Missing::None),
        };
        let name = format!("{host}:{port}");
        let mut server = Server::new(host, port);
        server.local_name.clone_from(&self.settings.local_name);
        server.security = security(stored.encryption.as_deref()).ok_or(Missing::Unusable)?;
        server.credentials = self.credentials(tenant, stored)?;
        let limits = Limits {
            connections: self.settings.connections,
            ..Limits::default()
        };
        let pool = Pool::new(server, limits).map_err(|_| Missing::Unusable)?;
        Ok(Found { pool, name })
    }

    fn credentials(
        &self,
        tenant: TenantId,
        stored: &StoredServer,
    ) -> Result<Option<Credentials>, Missing> {
        let Some(user) = stored.username.clone().filter(|user| !user.is_empty()) else {
            return Ok(None);
        };
        let sealed = stored.password.as_deref().unwrap_or_default();
        let password = match stored.sealed {
            Sealed::ByLaravel => {
                let opener = self.settings.opener.as_ref().ok_or(Missing::Password)?;
                laravel::decrypt(opener, sealed).map_err(|_| Missing::Password)?
            }
            Sealed::ByUs if sealed.is_empty() => Secret::default(),
            Sealed::ByUs => self.own.open(tenant, sealed).map_err(|fault| {
                tracing::warn!(%fault, %tenant, "the password of a tenant's mail server does not open");
                Missing::Password
            })?,
        };
        Ok(Some(Credentials::Password { user, password }))
    }
}

/// As SwiftMailer means it. `None`: it knows no such word.
fn security(encryption: Option<&str>) -> Option<Security> {
    match encryption.map(str::to_ascii_lowercase).as_deref() {
        None | Some("") => Some(Security::Plain),
        Some("tls") => Some(Security::StartTls),
        Some("ssl") => Some(Security::Implicit),
        Some(_) => None,
    }
}

impl From<&NamedServer> for StoredServer {
    fn from(named: &NamedServer) -> Self {
        Self {
            host: Some(named.host.clone()),
            port: Some(named.port.into()),
            username: named.username.clone(),
            password: named.password.clone(),
            encryption: named.encryption.clone(),
            sealed: Sealed::ByLaravel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_is_what_swiftmailer_means_by_it() {
        assert_eq!(security(None), Some(Security::Plain));
        assert_eq!(security(Some("")), Some(Security::Plain));
        assert_eq!(security(Some("tls")), Some(Security::StartTls));
        assert_eq!(security(Some("SSL")), Some(Security::Implicit));
        assert_eq!(security(Some("starttls")), None);
    }
}
