//! `ficus alert`: list.
//!
//! Its own file: one a noun.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::Client;
use super::backend::with_query;
use super::exit::Failure;
use super::output::or_dash;
use crate::alerts::Standing;
use crate::control::Page;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List alerts, newest first: what people were told of, and are still to be
    #[command(after_help = "Examples:
  ficus alert list --state open
  ficus alert list --severity critical --limit 10

An alert is open until what it tells of has ended; raised again meanwhile, it is the same, seen once more.
What has ended is kept for 90 days.")]
    List(ListArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SeverityArg {
    /// Somebody gets up
    Critical,
    /// Somebody looks within the hour
    Warning,
    /// Somebody reads it tomorrow
    Info,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    /// What it tells of goes on
    Open,
    /// It has ended
    Closed,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this severity
    #[arg(long, value_enum)]
    severity: Option<SeverityArg>,
    /// In this state
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Begin before this alert, by its id
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// Alerts at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    let Command::List(args) = command;
    let severity = args.severity.map(|it| match it {
        SeverityArg::Critical => "critical",
        SeverityArg::Warning => "warning",
        SeverityArg::Info => "info",
    });
    let state = args.state.map(|it| match it {
        StateArg::Open => "open",
        StateArg::Closed => "closed",
    });
    let parameters = [
        ("severity", severity.map(str::to_owned)),
        ("state", state.map(str::to_owned)),
        ("before", args.before),
        ("limit", Some(args.limit.to_string())),
    ];
    let route = with_query("/api/v1/alerts", &parameters);
    let page: Page<Standing> = client.backend.get(&route).await?;
    client
        .output
        .data(&page, |page| table(client, &page.items))?;
    if let Some(next) = &page.next {
        client
            .output
            .say(&format!("there may be more: --before {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(client: &Client<'_>, alerts: &[Standing]) -> String {
    let row = |it: &Standing| {
        let state = match it.resolved_at {
            None => "open".to_owned(),
            Some(at) => at.format("%F %T").to_string(),
        };
        vec![
            it.raised_at.format("%F %T").to_string(),
            it.severity.clone(),
            state,
            it.seen.to_string(),
            or_dash(it.capability.as_ref()),
            it.title.clone(),
            told(it),
        ]
    };
    let titles = [
        "RAISED (UTC)",
        "SEVERITY",
        "ENDED (UTC)",
        "SEEN",
        "CAPABILITY",
        "TITLE",
        "TOLD",
    ];
    let rows: Vec<_> = alerts.iter().map(row).collect();
    client.output.table(&titles, &rows)
}

/// The channels, with what has not reached them.
fn told(alert: &Standing) -> String {
    let told = alert.told.iter().cloned();
    let waiting = alert.waiting.iter().map(|it| format!("{it} waits"));
    let given_up = alert.given_up.iter().map(|it| format!("{it} given up"));
    let all: Vec<String> = told.chain(waiting).chain(given_up).collect();
    match all.is_empty() {
        true => "nobody".to_owned(),
        false => all.join(", "),
    }
}
