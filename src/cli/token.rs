//! `ficus token`: create, list, revoke.
//!
//! Its own file: one a noun.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::Client;
use super::exit::Failure;
use super::issued;
use super::output::or_dash;
use crate::control::{Page, parse_reason};
use crate::ids::TenantRef;
use crate::rollout::{Role, Token};

const ROUTE: &str = "/api/v1/tokens";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token; it is shown this once
    #[command(after_help = "Examples:
  ficus token create me --role admin --reason 'first token' --direct      the first one, with DATABASE_URL
  export FICUS_TOKEN=$(ficus token create ci --role operator --reason 'deploys' --output table)
  ficus token create acme-app --role ofrep --tenant acme --reason 'asks where acme is'")]
    Create {
        /// Who will use it; it is the actor in the audit
        name: String,
        #[arg(long, value_enum)]
        role: Role,
        /// Of role ofrep: a tenant that it may ask for; give it again for more
        #[arg(long = "tenant", value_name = "T", required_if_eq("role", "ofrep"))]
        tenants: Vec<TenantRef>,
        /// Why; it stands in the audit
        #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
        reason: String,
    },
    /// List tokens, without their text
    #[command(after_help = "Example:\n  ficus token list")]
    List,
    /// Make a token worthless, within two seconds
    #[command(after_help = "Example:\n  ficus token revoke ci --reason 'no longer used'")]
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
            role,
            tenants,
            reason,
        } => {
            let body = json!({ "name": name, "role": role, "tenants": tenants, "reason": reason });
            issued::create(client, ROUTE, &body, "token").await
        }
        Command::List => list(client).await,
        Command::Revoke { name, reason } => issued::revoke(client, ROUTE, &name, &reason).await,
    }
}

async fn list(client: &Client<'_>) -> Result<ExitCode, Failure> {
    let page: Page<Token> = client.backend.get(ROUTE).await?;
    client.output.data(&page, |page| {
        let row = |it: &Token| {
            let revoked = it.revoked_at.map(|at| at.format("%F %T").to_string());
            vec![
                it.name.clone(),
                it.role.as_str().to_owned(),
                or_dash(tenants(it)),
                it.created_at.format("%F %T").to_string(),
                or_dash(revoked),
            ]
        };
        let titles = ["NAME", "ROLE", "TENANTS", "CREATED (UTC)", "REVOKED (UTC)"];
        client
            .output
            .table(&titles, &page.items.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Of a token that is bound to some.
fn tenants(token: &Token) -> Option<String> {
    let ids: Vec<String> = token.tenants.iter().map(i64::to_string).collect();
    (!ids.is_empty()).then(|| ids.join(","))
}
