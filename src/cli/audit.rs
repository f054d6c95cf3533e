//! `ficus audit`: list, show, undo; verify and export stand in [`super::audit_chain`].
//!
//! Its own file: one a noun.

use std::process::ExitCode;

use axum::http::Method;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Client;
use super::audit_chain::{self, VerifyArgs};
use super::backend::with_query;
use super::exit::Failure;
use super::output::{or_dash, printable};
use super::write::{WriteArgs, tell};
use crate::control::{Page, Written};
use crate::rollout::{ChangeDetail, ChangeItem, ChangeRow};

const ROUTE: &str = "/api/v1/changes";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the changes, newest first
    #[command(after_help = "Examples:\n  ficus audit list\n  ficus audit list --before 1200")]
    List(ListArgs),
    /// Show one change, row by row
    #[command(after_help = "Example:\n  ficus audit show 42")]
    Show { revision: i64 },
    /// Check the chain of hashes over every change, and name what is not as it was written
    #[command(
        after_help = "Exit code 1 when anything was edited, deleted, inserted, swapped, cut or rewritten.\n\nExamples:
  ficus audit verify --anchor /var/lib/ficus/audit.anchors
  ficus audit verify --file audit.ndjson --anchor audit.anchors"
    )]
    Verify(VerifyArgs),
    /// Print every change as it was hashed, one JSON object a line
    #[command(
        after_help = "docs/AUDIT.md says how to check it without ficus.\n\nExample:\n  ficus audit export > audit.ndjson"
    )]
    Export,
    /// Make a new change that restores what this one replaced
    #[command(after_help = "Example:\n  ficus audit undo 42 --reason 'wrong tenant'")]
    Undo {
        revision: i64,
        #[command(flatten)]
        how: WriteArgs,
    },
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Begin before this revision
    #[arg(long, value_name = "N")]
    before: Option<i64>,
    /// Changes at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(args) => list(client, args).await,
        Command::Show { revision } => {
            let detail: ChangeDetail = client.backend.get(&format!("{ROUTE}/{revision}")).await?;
            client.output.data(&detail, |detail| page(client, detail))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify(args) => audit_chain::verify(client, args).await,
        Command::Export => audit_chain::export(client).await,
        Command::Undo { revision, how } => {
            let body = how.body(json!({}));
            let route = format!("{ROUTE}/{revision}/undo");
            let written: Written = client
                .backend
                .call(Method::POST, &route, Some(&body))
                .await?;
            tell(client, &written, None)
        }
    }
}

async fn list(client: &Client<'_>, args: ListArgs) -> Result<ExitCode, Failure> {
    let parameters = [
        ("before", args.before.map(|it| it.to_string())),
        ("limit", Some(args.limit.to_string())),
    ];
    let page: Page<ChangeRow> = client.backend.get(&with_query(ROUTE, &parameters)).await?;
    client.output.data(&page, |page| {
        let row = |it: &ChangeRow| {
            vec![
                it.revision.to_string(),
                it.at.format("%F %T").to_string(),
                it.entity.clone(),
                it.rows.to_string(),
                it.actor.clone(),
                it.source.clone(),
                or_dash(it.reason.as_ref()),
            ]
        };
        let titles = [
            "REVISION", "AT (UTC)", "ENTITY", "ROWS", "ACTOR", "SOURCE", "REASON",
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

fn page(client: &Client<'_>, detail: &ChangeDetail) -> String {
    let change = &detail.change;
    let mut text = format!(
        "revision    {}\nat          {}\n",
        change.revision,
        change.at.format("%F %T%.3f UTC")
    );
    if let Some(requested) = detail.requested_at {
        text += &format!("requested   {}\n", requested.format("%F %T%.3f UTC"));
    }
    if let Some(seen) = &detail.confirmation {
        let shown = |at: DateTime<Utc>| at.format("%F %T%.3f UTC").to_string();
        text += &format!("committed   {}\n", shown(seen.committed_at));
        text += &format!("first ack   {}\n", or_dash(seen.first_ack_at.map(shown)));
        text += &format!(
            "last ack    {}{}\n",
            or_dash(seen.last_ack_at.map(shown)),
            if seen.confirmed {
                ""
            } else {
                "  NOT confirmed"
            }
        );
    }
    if let Some(acted) = change.acted_at {
        text += &format!("taken at    {}\n", acted.format("%F %T%.3f UTC"));
    }
    let login = format!(
        "{} ({})",
        change.db_user,
        or_dash(Some(&change.application).filter(|it| !it.is_empty()))
    );
    for (title, value) in [
        ("actor", &change.actor),
        ("source", &change.source),
        ("reason", &or_dash(change.reason.as_ref())),
        ("login", &login),
    ] {
        text += &format!("{title:<12}{}\n", printable(value));
    }
    if let Some(evidence) = &detail.evidence {
        text += &format!("evidence    {}\n", printable(&evidence.to_string()));
    }
    let row = |it: &ChangeItem| {
        vec![
            it.entity.clone(),
            or_dash(it.tenant),
            or_dash(it.capability.as_ref()),
            brief(&it.before),
            brief(&it.after),
        ]
    };
    let rows: Vec<_> = detail.items.iter().map(row).collect();
    text += &format!(
        "\n{}",
        client.output.table(
            &["ENTITY", "TENANT", "CAPABILITY", "BEFORE", "AFTER"],
            &rows
        )
    );
    let unseen = change.rows - rows.len() as i64;
    if unseen > 0 {
        text += &format!("and {unseen} more\n");
    }
    text
}

/// The word that says most of a row.
fn brief(row: &Option<Value>) -> String {
    let Some(row) = row else {
        return "-".to_owned();
    };
    let word = row
        .get("state")
        .or(row.get("action"))
        .and_then(Value::as_str);
    word.map_or_else(|| row.to_string(), str::to_owned)
}
