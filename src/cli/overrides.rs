//! `ficus override`: list, set, clear.
//!
//! Its own file: one a noun.

use std::process::ExitCode;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::json;

use super::Client;
use super::exit::Failure;
use super::output::or_dash;
use super::write::{WriteArgs, tell};
use crate::control::{Page, Written};
use crate::rollout::Override;

const ROUTE: &str = "/api/v1/overrides";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what is forced to legacy, and why
    #[command(after_help = "Example:\n  ficus override list")]
    List,
    /// Force a capability, or everything, to legacy; flags stay as they are beneath it
    #[command(
        after_help = "Example:\n  ficus override set --capability dashboard --reason 'INC-42'"
    )]
    Set(OverrideArgs),
    /// Let the flags decide again
    #[command(after_help = "Example:\n  ficus override clear --all --reason 'INC-42 is over'")]
    Clear(OverrideArgs),
}

#[derive(Debug, Args)]
pub struct OverrideArgs {
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    how: WriteArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// One capability
    #[arg(long, value_name = "CAP")]
    capability: Option<String>,
    /// Every capability, by the one override that covers all
    #[arg(long)]
    all: bool,
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    let (method, args) = match command {
        Command::List => return list(client).await,
        Command::Set(args) => (Method::POST, args),
        Command::Clear(args) => (Method::DELETE, args),
    };
    let body = args
        .how
        .body(json!({ "capability": args.scope.capability, "all": args.scope.all }));
    let written: Written = client.backend.call(method, ROUTE, Some(&body)).await?;
    tell(client, &written, None)
}

async fn list(client: &Client<'_>) -> Result<ExitCode, Failure> {
    let page: Page<Override> = client.backend.get(ROUTE).await?;
    client.output.data(&page, |page| {
        let row = |it: &Override| {
            vec![
                it.capability.clone().unwrap_or_else(|| "(all)".to_owned()),
                it.action.clone(),
                it.changed_at.format("%F %T").to_string(),
                or_dash(it.actor.as_ref()),
                or_dash(it.reason.as_ref()),
            ]
        };
        let titles = ["CAPABILITY", "ACTION", "SINCE (UTC)", "ACTOR", "REASON"];
        client
            .output
            .table(&titles, &page.items.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(ExitCode::SUCCESS)
}
