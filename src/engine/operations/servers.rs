//! Mail servers that tenants have with us, in place of legacy's row: stored with their passwords sealed.
//!
//! Its own file, because it holds credentials: they come in sealed, and nothing here can open them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};

use super::By;
use crate::ids::TenantId;

/// A tenant's server, without its password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct MailServer {
    pub tenant_id: i64,
    pub host: String,
    pub port: i32,
    pub username: Option<String>,
    /// By which key its password is sealed. `None`: it has none.
    pub key: Option<String>,
    /// `tls`, `ssl`, or none.
    pub encryption: Option<String>,
    pub changed_at: DateTime<Utc>,
}

/// What is to be stored. It does not print.
pub struct NewMailServer<'a> {
    pub host: &'a str,
    pub port: u16,
    pub username: Option<&'a str>,
    /// As [`crate::engine::sealed::Keyring::seal`] writes it.
    pub sealed: Option<&'a str>,
    pub encryption: Option<&'a str>,
}

const COLUMNS: &str = "select s.tenant_id, s.host, s.port, s.username, split_part(s.password, '.', 2) as key, s.encryption, s.changed_at
    from ficus.mail_server as s";

/// In place of what the tenant had.
pub async fn set_mail_server(
    connection: &mut PgConnection,
    tenant: TenantId,
    server: &NewMailServer<'_>,
    by: By<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query("select ficus.set_mail_server($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(tenant.0)
        .bind(server.host)
        .bind(i32::from(server.port))
        .bind(server.username)
        .bind(server.sealed)
        .bind(server.encryption)
        .bind(by.actor)
        .bind(by.source)
        .bind(by.reason)
        .execute(connection)
        .await
        .map(drop)
}

/// Legacy's row counts again. False: there was none of ours.
pub async fn unset_mail_server(
    connection: &mut PgConnection,
    tenant: TenantId,
    by: By<'_>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select ficus.unset_mail_server($1, $2, $3, $4)")
        .bind(tenant.0)
        .bind(by.actor)
        .bind(by.source)
        .bind(by.reason)
        .fetch_one(connection)
        .await
}

/// Of one tenant, or of all, at most `most`.
pub async fn mail_servers(
    db: impl PgExecutor<'_>,
    tenant: Option<TenantId>,
    most: i64,
) -> Result<Vec<MailServer>, sqlx::Error> {
    let sql = format!(
        "{COLUMNS} where $1::bigint is null or s.tenant_id = $1 order by s.tenant_id limit $2"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(tenant.map(|it| it.0))
        .bind(most)
        .fetch_all(db)
        .await
}
