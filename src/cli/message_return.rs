//! `ficus message return` and `ficus message returns`: a tenant's unsent messages go back to legacy.
//!
//! Its own file, because the word is given in an instant and the work takes longer: the command follows it, and says what stays here.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::http::Method;
use clap::Args;
use serde_json::json;

use super::backend::encode;
use super::exit::{Failure, UNCONFIRMED};
use super::message::WhyArgs;
use super::output::{Output, or_dash, printable};
use super::{Client, message_table};
use crate::control::{Page, ReturnDetail, ReturnWritten, parse_patience};
use crate::engine::operations::{Handback, Return, Unsent};
use crate::ids::TenantRef;

const ROUTE: &str = "/api/v1/returns";
/// Between two looks how far it has come.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub struct ReturnArgs {
    /// An id or a slug
    #[arg(value_name = "T")]
    tenant: TenantRef,
    /// Do not wait until legacy has everything
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for that, at most 25s
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = |text: &str| parse_patience(text))]
    timeout: Duration,
    #[command(flatten)]
    why: WhyArgs,
}

pub async fn run(client: &Client<'_>, args: ReturnArgs) -> Result<ExitCode, Failure> {
    let why = &args.why;
    let body = json!({ "tenant": args.tenant, "reason": why.reason, "dry_run": why.dry_run });
    let done: ReturnWritten = client
        .backend
        .call(Method::POST, ROUTE, Some(&body))
        .await?;
    if done.dry_run || args.no_wait {
        client.output.data(&done, asked)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !client.output.is_json() {
        client.output.say(asked(&done).trim_end());
    }
    let until = Instant::now() + args.timeout;
    let route = format!("{ROUTE}/{}", encode(&args.tenant.to_string()));
    let detail = loop {
        let detail: ReturnDetail = client.backend.get(&route).await?;
        if detail.standing.is_done || Instant::now() >= until {
            break detail;
        }
        tokio::time::sleep(LOOK).await;
    };
    client
        .output
        .data(&detail, |detail| story(client.output, detail))?;
    match detail.standing.is_done {
        true => Ok(ExitCode::SUCCESS),
        false => {
            client.output.say(
                "not everything is legacy's yet: an engine goes on with it. next: `ficus message returns`",
            );
            Ok(ExitCode::from(UNCONFIRMED))
        }
    }
}

pub async fn list(client: &Client<'_>, tenant: Option<TenantRef>) -> Result<ExitCode, Failure> {
    if let Some(tenant) = tenant {
        let route = format!("{ROUTE}/{}", encode(&tenant.to_string()));
        let detail: ReturnDetail = client.backend.get(&route).await?;
        client
            .output
            .data(&detail, |detail| story(client.output, detail))?;
        return Ok(ExitCode::SUCCESS);
    }
    let page: Page<Return> = client.backend.get(ROUTE).await?;
    client
        .output
        .data(&page, |page| table(client.output, &page.items))?;
    Ok(ExitCode::SUCCESS)
}

fn asked(done: &ReturnWritten) -> String {
    let tenant = done.tenant_id;
    let head = match (done.changed, done.dry_run) {
        (true, false) => format!("held and being returned: tenant {tenant}\n"),
        (true, true) => {
            format!("dry run: tenant {tenant} would be returned, nothing was changed\n")
        }
        (false, _) => format!("no change: tenant {tenant} is being returned, or has been\n"),
    };
    head + &queued(done.unsent) + &message_table::under_way(done.under_way)
}

fn queued(unsent: Unsent) -> String {
    let most = if unsent.whole { "" } else { "at least " };
    let (campaigns, alone) = (unsent.of_campaigns, unsent.alone);
    let stays = match alone {
        0 => String::new(),
        _ => format!(
            "{most}{alone} of no campaign: legacy has no place for them, they stay held here\n"
        ),
    };
    format!("{most}{campaigns} of campaigns queued\n{stays}")
}

fn story(output: &Output, detail: &ReturnDetail) -> String {
    let it = &detail.standing;
    let mut text = String::new();
    for (title, value) in [
        ("tenant", it.tenant_id.to_string()),
        ("state", state(it).to_owned()),
        (
            "since",
            format!("{} UTC: {}", message_table::shown(it.since), it.reason),
        ),
        ("returned", it.returned.to_string()),
        ("open", it.open.to_string()),
        ("kept", it.kept.to_string()),
        ("uncertain", it.uncertain.to_string()),
    ] {
        text += &format!("{title:<12}{}\n", printable(&value));
    }
    text += &queued(detail.unsent);
    if !detail.handbacks.is_empty() {
        let row = |it: &Handback| {
            vec![
                it.campaign_id.to_string(),
                or_dash(it.legacy_campaign),
                it.recipients.to_string(),
                it.state.clone(),
                or_dash(it.told_at.map(message_table::shown)),
            ]
        };
        let titles = [
            "CAMPAIGN",
            "LEGACY'S",
            "RECIPIENTS",
            "STATE",
            "LEGACY SENDS SINCE (UTC)",
        ];
        let rows: Vec<_> = detail.handbacks.iter().map(row).collect();
        text += &format!("\n{}", output.table(&titles, &rows));
    }
    if it.kept > 0 {
        text += "\ncampaigns that are held or paused by themselves stay here: release, resume or cancel them\n";
    }
    if it.uncertain > 0 {
        text += &format!(
            "\nuncertain messages may have been accepted: ficus message list --tenant {} --state uncertain\n",
            it.tenant_id
        );
    }
    text
}

fn table(output: &Output, returns: &[Return]) -> String {
    let row = |it: &Return| {
        vec![
            it.tenant_id.to_string(),
            state(it).to_owned(),
            it.returned.to_string(),
            it.open.to_string(),
            it.kept.to_string(),
            it.uncertain.to_string(),
            message_table::shown(it.since),
            it.reason.clone(),
        ]
    };
    let titles = [
        "TENANT",
        "STATE",
        "RETURNED",
        "OPEN",
        "KEPT",
        "UNCERTAIN",
        "SINCE (UTC)",
        "REASON",
    ];
    output.table(&titles, &returns.iter().map(row).collect::<Vec<_>>())
}

fn state(it: &Return) -> &'static str {
    match (it.wish.as_str(), it.is_done) {
        ("hold", _) => "held",
        (_, true) => "returned",
        (_, false) => "being returned",
    }
}
