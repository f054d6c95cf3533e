//! `ficus capability`: list, show, split.
//!
//! Its own file: one a noun.

use std::process::ExitCode;

use axum::http::Method;
use clap::Subcommand;
use serde_json::json;

use super::Client;
use super::backend::encode;
use super::exit::Failure;
use super::write::{WriteArgs, tell};
use crate::control::{Page, Written};
use crate::flags::split::Percent;
use crate::rollout::Capability;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the capabilities; the configuration names them
    #[command(after_help = "Example:\n  ficus capability list")]
    List,
    /// Show one capability
    #[command(after_help = "Example:\n  ficus capability show dashboard")]
    Show { capability: String },
    /// Let the modern side serve a share of a capability's traffic; raising it drops nobody
    #[command(after_help = "Examples:
  ficus capability split dashboard 10 --reason 'week 13'
  ficus capability split dashboard 0.05 --reason 'a first look'
  ficus capability split dashboard 0 --reason 'back'

For a capability with by = \"split\". A tenant's flag stands above the share, so a tenant with a legacy flag stays on legacy;
`ficus rollback` stands above both. Lowering the share moves back those above it and nobody else.")]
    Split {
        capability: String,
        /// 0 to 100, in steps of 0.01
        #[arg(value_parser = |text: &str| Percent::parse(text).map(|it| it.to_string()))]
        percent: String,
        #[command(flatten)]
        how: WriteArgs,
    },
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List => {
            let page: Page<Capability> = client.backend.get("/api/v1/capabilities").await?;
            client
                .output
                .data(&page, |page| table(client, &page.items))?;
        }
        Command::Show { capability } => {
            let route = format!("/api/v1/capabilities/{}", encode(&capability));
            let capability: Capability = client.backend.get(&route).await?;
            client
                .output
                .data(&capability, |it| table(client, std::slice::from_ref(it)))?;
        }
        Command::Split {
            capability,
            percent,
            how,
        } => {
            let route = format!("/api/v1/capabilities/{}/split", encode(&capability));
            let body = how.body(json!({ "percent": percent }));
            let written: Written = client
                .backend
                .call(Method::PUT, &route, Some(&body))
                .await?;
            return tell(client, &written, None);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(client: &Client<'_>, capabilities: &[Capability]) -> String {
    let row = |it: &Capability| {
        vec![
            it.name.clone(),
            it.effect.clone(),
            split(it.split_by.as_deref(), it.split_percent),
            it.revision.to_string(),
            it.changed_at.format("%F %T").to_string(),
        ]
    };
    let titles = ["CAPABILITY", "EFFECT", "SPLIT", "REVISION", "CHANGED (UTC)"];
    client
        .output
        .table(&titles, &capabilities.iter().map(row).collect::<Vec<_>>())
}

/// A share with what it keeps together; `-` where the capability moves by tenant.
pub fn split(by: Option<&str>, percent: Option<f64>) -> String {
    match (by, percent) {
        (Some(by), Some(percent)) => format!("{percent} % by {by}"),
        (Some(by), None) => format!("none, by {by}"),
        (None, _) => "-".to_owned(),
    }
}
