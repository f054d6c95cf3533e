//! `ficus message runs|pause|resume|cancel`: campaigns that were sent, each time.
//!
//! Its own file, because a run is no message: it has its own id, and what is done with it touches those that are none yet.

use std::process::ExitCode;

use axum::http::Method;
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::Client;
use super::backend::with_query;
use super::exit::Failure;
use super::message::WhyArgs;
use super::message_table::shown;
use super::output::{Output, or_dash};
use crate::control::{Page, RunWritten};
use crate::engine::operations::{Run, RunOperation};
use crate::ids::TenantRef;

const ROUTE: &str = "/api/v1/runs";

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// An id or a slug
    #[arg(long, value_name = "T")]
    tenant: Option<TenantRef>,
    /// Also those that are over
    #[arg(long)]
    all: bool,
    /// Begin before this run, by its id
    #[arg(long, value_name = "RUN")]
    before: Option<Uuid>,
    /// Runs at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// As `ficus message runs` and the answer to the send have it
    #[arg(value_name = "RUN")]
    run: Uuid,
    #[command(flatten)]
    why: WhyArgs,
}

pub async fn list(client: &Client<'_>, args: RunsArgs) -> Result<ExitCode, Failure> {
    let parameters = [
        ("tenant", args.tenant.map(|it| it.to_string())),
        ("all", args.all.then(|| "true".to_owned())),
        ("before", args.before.map(|it| it.to_string())),
        ("limit", Some(args.limit.to_string())),
    ];
    let page: Page<Run> = client.backend.get(&with_query(ROUTE, &parameters)).await?;
    client
        .output
        .data(&page, |page| table(client.output, &page.items))?;
    if let Some(next) = &page.next {
        client
            .output
            .say(&format!("there may be more: --before {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn operate(
    client: &Client<'_>,
    args: RunArgs,
    operation: RunOperation,
) -> Result<ExitCode, Failure> {
    let body = json!({ "reason": args.why.reason, "dry_run": args.why.dry_run });
    let route = format!("{ROUTE}/{}/{}", args.run, operation.as_str());
    let done: RunWritten = client
        .backend
        .call(Method::POST, &route, Some(&body))
        .await?;
    client.output.data(&done, told)?;
    Ok(ExitCode::SUCCESS)
}

fn told(done: &RunWritten) -> String {
    let run = &done.run;
    let (state, campaign) = (standing(run), run.campaign_id);
    let scope = format!("campaign {campaign} of tenant {}", run.tenant_id);
    let head = match (done.changed, done.dry_run) {
        (true, false) => format!("{scope} is {state}"),
        (true, true) => format!("dry run: {scope} would be {state}, nothing was changed"),
        (false, _) => format!("no change: {scope} is {state}"),
    };
    format!("{head}: {} of {} sent\n", run.sent, run.accepted)
}

fn table(output: &Output, runs: &[Run]) -> String {
    let row = |it: &Run| {
        vec![
            it.id.to_string(),
            it.tenant_id.to_string(),
            it.campaign_id.to_string(),
            standing(it),
            it.accepted.to_string(),
            it.sent.to_string(),
            (it.failed - it.returned).to_string(),
            it.returned.to_string(),
            it.skipped.to_string(),
            shown(it.requested_at),
            or_dash(it.finished_at.map(shown)),
        ]
    };
    let titles = [
        "RUN",
        "TENANT",
        "CAMPAIGN",
        "STATE",
        "ACCEPTED",
        "SENT",
        "FAILED",
        "RETURNED",
        "SKIPPED",
        "ASKED FOR (UTC)",
        "ENDED (UTC)",
    ];
    output.table(&titles, &runs.iter().map(row).collect::<Vec<_>>())
}

fn standing(run: &Run) -> String {
    let lasts = matches!(run.state.as_str(), "expanding" | "sending");
    match run.is_paused && lasts {
        true => format!("{}, paused", run.state),
        false => run.state.clone(),
    }
}
