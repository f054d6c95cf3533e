//! `/api/v1/mail-servers`: the servers that tenants have with us. A password goes in, is sealed at once, and comes out nowhere.
//!
//! Its own file, because it is the one resource that takes a credential of somebody else's.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::{Json as Body, Query, tenant_named};
use super::messages::{author, by, note};
use super::{Caller, Page, Problem, State};
use crate::engine::operations::{self, MailServer, NewMailServer};
use crate::engine::sealed::{Keyring, Place, SMTP_PASSWORD};
use crate::ids::{TenantId, TenantRef};
use crate::rollout::{self, Beside, Error, MAX_PAGE};
use crate::secret::Secret;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// An id or a slug.
    tenant: Option<String>,
}

/// It does not print.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetBody {
    tenant: TenantRef,
    host: String,
    port: u16,
    username: Option<String>,
    /// In plain text: it is sealed before it is stored.
    password: Option<String>,
    encryption: Option<Encryption>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// As legacy's rows have it.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encryption {
    /// STARTTLS.
    Tls,
    /// TLS from the first byte.
    Ssl,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UnsetBody {
    tenant: TenantRef,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// The answer to both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MailServerWritten {
    pub changed: bool,
    pub tenant_id: i64,
    /// `None`: legacy's row counts.
    pub server: Option<MailServer>,
    pub dry_run: bool,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<MailServer>>, Problem> {
    let tenant = match &query.tenant {
        Some(text) => Some(rollout::tenant(&state.db, &tenant_named(text)?).await?.id),
        None => None,
    };
    let found = operations::mail_servers(&state.db, tenant, i64::from(MAX_PAGE)).await;
    Ok(Json(Page::whole(found.map_err(Error::from)?)))
}

pub(super) async fn set(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<SetBody>,
) -> Result<Json<MailServerWritten>, Problem> {
    let tenant = rollout::tenant(&state.db, &body.tenant).await?.id;
    let password = body.password.map(Secret::new);
    let sealed = match (&password, &body.username) {
        (None, _) => None,
        (Some(_), None) => return Err(Problem::invalid("a password needs a username")),
        (Some(password), Some(_)) => Some(seal(state.keyring.as_ref(), tenant, password)?),
    };
    if body.host.trim().is_empty() || body.port == 0 {
        return Err(Problem::invalid("a server has a host and a port"));
    }
    let author = author(caller, body.reason, body.dry_run)?;
    let mut write = Beside::begin(&state.db, &author).await?;
    let server = NewMailServer {
        host: body.host.trim(),
        port: body.port,
        username: body.username.as_deref(),
        sealed: sealed.as_deref(),
        encryption: body.encryption.map(|it| match it {
            Encryption::Tls => "tls",
            Encryption::Ssl => "ssl",
        }),
    };
    let set = operations::set_mail_server(write.connection(), tenant, &server, by(&author)).await;
    set.map_err(Error::from)?;
    let stored = operations::mail_servers(write.connection(), Some(tenant), 1).await;
    let stored = stored.map_err(Error::from)?.pop();
    write.finish(body.dry_run).await?;
    note(&author, "server-set", body.dry_run);
    Ok(Json(MailServerWritten {
        changed: true,
        tenant_id: tenant.0,
        server: stored,
        dry_run: body.dry_run,
    }))
}

pub(super) async fn unset(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<UnsetBody>,
) -> Result<Json<MailServerWritten>, Problem> {
    let tenant = rollout::tenant(&state.db, &body.tenant).await?.id;
    let author = author(caller, body.reason, body.dry_run)?;
    let mut write = Beside::begin(&state.db, &author).await?;
    let unset = operations::unset_mail_server(write.connection(), tenant, by(&author)).await;
    let changed = unset.map_err(Error::from)?;
    write.finish(body.dry_run).await?;
    note(&author, "server-unset", body.dry_run || !changed);
    Ok(Json(MailServerWritten {
        changed,
        tenant_id: tenant.0,
        server: None,
        dry_run: body.dry_run,
    }))
}

fn seal(
    keyring: Option<&Arc<Keyring>>,
    tenant: TenantId,
    password: &Secret,
) -> Result<String, Problem> {
    let keyring = keyring.ok_or_else(|| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no-sealing-key",
            "there is no key to seal the password with",
        )
        .hint("engine.sealing_keys has it; with --direct the environment variable FICUS__ENGINE__SEALING_KEYS")
    })?;
    let place = Place {
        tenant,
        name: SMTP_PASSWORD,
    };
    let sealed = keyring.seal(place, password);
    sealed.map_err(|fault| Problem::invalid(format!("the password cannot be sealed: {fault}")))
}
