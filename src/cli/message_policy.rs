//! `ficus message policy`: what becomes of a tenant's uncertain messages when nobody settles them.
//!
//! Its own file, because it is a rule, and every other command here is done at once.

use std::process::ExitCode;

use axum::http::Method;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::Client;
use super::exit::Failure;
use super::message_table::shown;
use super::output::Output;
use crate::control::{Page, PolicyWritten, parse_reason};
use crate::engine::operations::{Policy, SettlingPolicy};
use crate::ids::TenantRef;

const ROUTE: &str = "/api/v1/settling";

#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// An id or a slug; without it those that have a policy of their own are listed
    #[arg(value_name = "T", requires = "policy")]
    tenant: Option<TenantRef>,
    #[arg(value_enum, value_name = "POLICY")]
    policy: Option<PolicyArg>,
    /// Why; it stands in the trace
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<String>,
    /// Check everything, show what would become of it, change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PolicyArg {
    /// Unknown for ever
    AtMostOnce,
    /// Sent again, and it may arrive twice
    AtLeastOnce,
    /// As engine.on_uncertain says
    Default,
}

pub async fn run(client: &Client<'_>, args: PolicyArgs) -> Result<ExitCode, Failure> {
    let (Some(tenant), Some(policy)) = (args.tenant, args.policy) else {
        let page: Page<Policy> = client.backend.get(ROUTE).await?;
        client
            .output
            .data(&page, |page| table(client.output, &page.items))?;
        return Ok(ExitCode::SUCCESS);
    };
    if args.reason.is_none() && !args.dry_run {
        return Err(Failure::Usage(
            "say why with --reason, or look first with --dry-run".to_owned(),
        ));
    }
    let policy = match policy {
        PolicyArg::AtMostOnce => Some(SettlingPolicy::AtMostOnce),
        PolicyArg::AtLeastOnce => Some(SettlingPolicy::AtLeastOnce),
        PolicyArg::Default => None,
    };
    let body = json!({ "tenant": tenant, "policy": policy, "reason": args.reason, "dry_run": args.dry_run });
    let done: PolicyWritten = client.backend.call(Method::PUT, ROUTE, Some(&body)).await?;
    client.output.data(&done, told)?;
    Ok(ExitCode::SUCCESS)
}

fn told(done: &PolicyWritten) -> String {
    let policy = done.policy.map_or("default", SettlingPolicy::as_str);
    let tenant = done.tenant_id;
    match (done.changed, done.dry_run) {
        (true, false) => format!("tenant {tenant}: {policy}\n"),
        (true, true) => {
            format!("dry run: tenant {tenant} would have {policy}, nothing was changed\n")
        }
        (false, _) => format!("no change: tenant {tenant} has {policy}\n"),
    }
}

fn table(output: &Output, policies: &[Policy]) -> String {
    let row = |it: &Policy| {
        vec![
            it.tenant_id.to_string(),
            it.policy.as_str().to_owned(),
            shown(it.since),
        ]
    };
    let titles = ["TENANT", "POLICY", "SINCE (UTC)"];
    output.table(&titles, &policies.iter().map(row).collect::<Vec<_>>())
}
