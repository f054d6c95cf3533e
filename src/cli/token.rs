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
use crate::control::Page;
use crate::rollout::{Role, Token};

const ROUTE: &str = "/api/v1/tokens";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token; it is shown this once
    #[command(after_help = "Examples:
  ficus token create me --role admin --direct          the first one, with DATABASE_URL
  export FICUS_TOKEN=$(ficus token create ci --role operator --output table)")]
    Create {
        /// Who will use it; it is the actor in the audit
        name: String,
        #[arg(long, value_enum)]
        role: Role,
    },
    /// List tokens, without their text
    #[command(after_help = "Example:\n  ficus token list")]
    List,
    /// Make a token worthless, within two seconds
    #[command(after_help = "Example:\n  ficus token revoke ci")]
    Revoke { name: String },
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Create { name, role } => {
            let body = json!({ "name": name, "role": role });
            issued::create(client, ROUTE, &body, "token").await
        }
        Command::List => list(client).await,
        Command::Revoke { name } => issued::revoke(client, ROUTE, &name).await,
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
                it.created_at.format("%F %T").to_string(),
                or_dash(revoked),
            ]
        };
        let titles = ["NAME", "ROLE", "CREATED (UTC)", "REVOKED (UTC)"];
        client
            .output
            .table(&titles, &page.items.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(ExitCode::SUCCESS)
}
