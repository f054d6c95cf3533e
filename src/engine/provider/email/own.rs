//! The server that a tenant has stored with us, which comes before legacy's row; its password opens for the connection alone.
//!
//! Its own file, because it is asked of our database and opened with our key: nothing of legacy is in it.

use sqlx::PgPool;

use crate::engine::legacy::{Sealed, StoredServer};
use crate::engine::sealed::{Fault, Keyring, Place, SMTP_PASSWORD};
use crate::ids::TenantId;
use crate::secret::Secret;

/// Our own servers of tenants.
pub struct OwnServers {
    pub pool: PgPool,
    /// `None`: there is no key, and what has a password cannot be used.
    pub keyring: Option<Keyring>,
}

impl OwnServers {
    /// `None`: legacy's row counts.
    pub async fn find(&self, tenant: TenantId) -> Result<Option<StoredServer>, sqlx::Error> {
        type Row = (String, i32, Option<String>, Option<String>, Option<String>);
        let found: Option<Row> = sqlx::query_as(
            "select s.host, s.port, s.username, s.password, s.encryption from ficus.mail_server as s where s.tenant_id = $1",
        )
        .bind(tenant.0)
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(
            |(host, port, username, password, encryption)| StoredServer {
                host: Some(host),
                port: Some(port),
                username,
                password,
                encryption,
                sealed: Sealed::ByUs,
            },
        ))
    }

    pub fn open(&self, tenant: TenantId, sealed: &str) -> Result<Secret, Fault> {
        let keyring = self.keyring.as_ref();
        let keyring = keyring.ok_or_else(|| Fault::UnknownKey(String::new()))?;
        let place = Place {
            tenant,
            name: SMTP_PASSWORD,
        };
        keyring.open(place, sealed)
    }
}
