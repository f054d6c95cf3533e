//! `ficus flag`: list, get, set, history.
//!
//! Its own file: one a noun.

use std::process::ExitCode;

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Client;
use super::backend::{encode, with_query};
use super::exit::Failure;
use super::output::or_dash;
use super::write::{WriteArgs, tell};
use crate::control::{Page, Written};
use crate::ids::TenantRef;
use crate::rollout::{Flag, FlagChange};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List flags; a tenant without one is on legacy
    #[command(
        after_help = "Examples:\n  ficus flag list --tenant acme\n  ficus flag list --capability dashboard --state modern"
    )]
    List(ListArgs),
    /// Show one flag
    #[command(after_help = "Example:\n  ficus flag get acme dashboard")]
    Get {
        /// An id or a slug
        tenant: TenantRef,
        /// One that the configuration names
        capability: String,
    },
    /// Flip one tenant's capability
    #[command(after_help = "Examples:
  ficus flag set acme dashboard modern --reason 'first tenant'
  ficus flag set 2 messaging shadow --reason 'compare' --expect-revision 41")]
    Set(SetArgs),
    /// What happened to a tenant's flags, newest first
    #[command(after_help = "Example:\n  ficus flag history acme dashboard")]
    History(HistoryArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    /// Legacy answers
    Legacy,
    /// Legacy answers, modern gets a copy to compare
    Shadow,
    /// Modern answers
    Modern,
}

impl StateArg {
    fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Shadow => "shadow",
            Self::Modern => "modern",
        }
    }
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this tenant
    #[arg(long)]
    tenant: Option<TenantRef>,
    /// Of this capability
    #[arg(long)]
    capability: Option<String>,
    /// In this state
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Begin after this flag: TENANT,CAPABILITY
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Flags at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// An id or a slug
    tenant: TenantRef,
    /// One that the configuration names
    capability: String,
    /// Who answers from now on
    #[arg(value_enum)]
    state: StateArg,
    #[command(flatten)]
    how: WriteArgs,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// An id or a slug
    tenant: TenantRef,
    /// Of this capability only
    capability: Option<String>,
    /// Begin before this revision
    #[arg(long, value_name = "N")]
    before: Option<i64>,
    /// Changes at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(args) => list(client, args).await,
        Command::Get { tenant, capability } => get(client, &tenant, &capability).await,
        Command::Set(args) => set(client, args).await,
        Command::History(args) => history(client, args).await,
    }
}

async fn list(client: &Client<'_>, args: ListArgs) -> Result<ExitCode, Failure> {
    let parameters = [
        ("tenant", args.tenant.map(|tenant| tenant.to_string())),
        ("capability", args.capability),
        ("state", args.state.map(|state| state.as_str().to_owned())),
        ("after", args.after),
        ("limit", Some(args.limit.to_string())),
    ];
    let page: Page<Flag> = client
        .backend
        .get(&with_query("/api/v1/flags", &parameters))
        .await?;
    client
        .output
        .data(&page, |page| table(client, &page.items))?;
    if let Some(next) = &page.next {
        client
            .output
            .say(&format!("there may be more: --after {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(
    client: &Client<'_>,
    tenant: &TenantRef,
    capability: &str,
) -> Result<ExitCode, Failure> {
    let flag: Flag = client.backend.get(&route(tenant, capability)).await?;
    client
        .output
        .data(&flag, |flag| table(client, std::slice::from_ref(flag)))?;
    Ok(ExitCode::SUCCESS)
}

async fn set(client: &Client<'_>, args: SetArgs) -> Result<ExitCode, Failure> {
    let body = args.how.body(json!({ "state": args.state.as_str() }));
    let written: Written = client
        .backend
        .call(
            Method::PUT,
            &route(&args.tenant, &args.capability),
            Some(&body),
        )
        .await?;
    tell(client, &written, None)
}

async fn history(client: &Client<'_>, args: HistoryArgs) -> Result<ExitCode, Failure> {
    let parameters = [
        ("capability", args.capability),
        ("before", args.before.map(|revision| revision.to_string())),
        ("limit", Some(args.limit.to_string())),
    ];
    let route = format!("/api/v1/flags/{}/history", args.tenant);
    let page: Page<FlagChange> = client.backend.get(&with_query(&route, &parameters)).await?;
    client.output.data(&page, |page| {
        let row = |it: &FlagChange| {
            vec![
                it.revision.to_string(),
                it.at.format("%F %T").to_string(),
                or_dash(it.capability.as_ref()),
                format!(
                    "{} → {}",
                    or_dash(it.before.as_ref()),
                    or_dash(it.after.as_ref())
                ),
                it.actor.clone(),
                it.source.clone(),
                or_dash(it.reason.as_ref()),
            ]
        };
        let titles = [
            "REVISION",
            "AT (UTC)",
            "CAPABILITY",
            "CHANGE",
            "ACTOR",
            "SOURCE",
            "REASON",
        ];
        client
            .output
            .table(&titles, &page.items.iter().map(row).collect::<Vec<_>>())
    })?;
    if let Some(next) = &page.next {
        client
            .output
            .say(&format!("there may be more: --before {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn route(tenant: &TenantRef, capability: &str) -> String {
    format!("/api/v1/flags/{tenant}/{}", encode(capability))
}

fn table(client: &Client<'_>, flags: &[Flag]) -> String {
    let row = |flag: &Flag| {
        vec![
            flag.tenant.to_string(),
            or_dash(flag.slug.as_ref()),
            flag.capability.clone(),
            flag.state.0.as_str().to_owned(),
            flag.revision.to_string(),
            or_dash(flag.changed_at.map(|at| at.format("%F %T").to_string())),
        ]
    };
    let titles = [
        "TENANT",
        "SLUG",
        "CAPABILITY",
        "STATE",
        "REVISION",
        "CHANGED (UTC)",
    ];
    client
        .output
        .table(&titles, &flags.iter().map(row).collect::<Vec<_>>())
}
