//! `ficus apikey`: create, list, revoke.
//!
//! Its own file: one a noun.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;

use super::Client;
use super::exit::Failure;
use super::issued;
use super::output::or_dash;
use crate::control::{Page, parse_reason};
use crate::ids::TenantRef;
use crate::rollout::ApiKey;

const ROUTE: &str = "/api/v1/api-keys";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key of a tenant; it is shown this once
    #[command(after_help = "Examples:
  ficus apikey create nightly-import --tenant acme --reason 'imports at night'
  ficus apikey create partner --tenant 2 --expires 2027-01-01T00:00:00Z --reason 'trial'")]
    Create {
        /// Who will use it; it stands in the audit
        name: String,
        /// Whose requests it names: an id or a slug
        #[arg(long)]
        tenant: TenantRef,
        /// When it ends (RFC 3339); without it, when it is revoked
        #[arg(long, value_name = "TIME")]
        expires: Option<DateTime<Utc>>,
        /// Why; it stands in the audit
        #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
        reason: String,
    },
    /// List keys, without their text
    #[command(after_help = "Example:\n  ficus apikey list")]
    List,
    /// Make a key worthless, within cache_ttl of its resolver
    #[command(after_help = "Example:\n  ficus apikey revoke partner --reason 'contract ended'")]
    Revoke {
        name: String,
        /// Why; it stands in the audit
        #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
        reason: String,
    },
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Create {
            name,
            tenant,
            expires,
            reason,
        } => {
            let body =
                json!({ "name": name, "tenant": tenant, "expires_at": expires, "reason": reason });
            issued::create(client, ROUTE, &body, "key").await
        }
        Command::List => list(client).await,
        Command::Revoke { name, reason } => issued::revoke(client, ROUTE, &name, &reason).await,
    }
}

async fn list(client: &Client<'_>) -> Result<ExitCode, Failure> {
    let page: Page<ApiKey> = client.backend.get(ROUTE).await?;
    client.output.data(&page, |page| {
        let shown = |at: DateTime<Utc>| at.format("%F %T").to_string();
        let row = |it: &ApiKey| {
            vec![
                it.name.clone(),
                it.tenant_id.to_string(),
                shown(it.created_at),
                or_dash(it.expires_at.map(shown)),
                or_dash(it.revoked_at.map(shown)),
            ]
        };
        let titles = [
            "NAME",
            "TENANT",
            "CREATED (UTC)",
            "EXPIRES (UTC)",
            "REVOKED (UTC)",
        ];
        client
            .output
            .table(&titles, &page.items.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(ExitCode::SUCCESS)
}
