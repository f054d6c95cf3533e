//! `ficus capability`: list and show.
//!
//! Its own file: one a noun.

use std::process::ExitCode;

use clap::Subcommand;

use super::Client;
use super::backend::encode;
use super::exit::Failure;
use crate::control::Page;
use crate::rollout::Capability;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the capabilities; the configuration names them
    #[command(after_help = "Example:\n  ficus capability list")]
    List,
    /// Show one capability
    #[command(after_help = "Example:\n  ficus capability show dashboard")]
    Show { capability: String },
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
    }
    Ok(ExitCode::SUCCESS)
}

fn table(client: &Client<'_>, capabilities: &[Capability]) -> String {
    let row = |it: &Capability| {
        vec![
            it.name.clone(),
            it.effect.clone(),
            it.revision.to_string(),
            it.changed_at.format("%F %T").to_string(),
        ]
    };
    let titles = ["CAPABILITY", "EFFECT", "REVISION", "CHANGED (UTC)"];
    client
        .output
        .table(&titles, &capabilities.iter().map(row).collect::<Vec<_>>())
}
