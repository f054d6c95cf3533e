//! `ficus status`: the migration at a glance, once or watched.
//!
//! Its own file: one a noun.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::backend::Backend;
use super::capability::split;
use super::exit::Failure;
use super::output::{Paint, duration, or_dash};
use super::{Client, Output};
use crate::control::{LocalStatus, Overview};
use crate::proxy::upstream::Standing;
use crate::rollout::{Instance, Status};

/// Between two looks of `--watch`.
const EVERY: Duration = Duration::from_secs(1);
const ROUTE: &str = "/api/v1/status";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ficus status
  ficus status --watch
  ficus status --local .ficus/ficus.sock")]
pub struct StatusArgs {
    /// Look again every second, until Ctrl-C; as JSON, one document after the other
    #[arg(long)]
    watch: bool,
}

pub async fn run(client: &Client<'_>, args: StatusArgs) -> Result<ExitCode, Failure> {
    if !args.watch {
        show(client, "").await?;
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        // Home, draw over, and clear what is left: without the flicker of an empty screen.
        let home = if client.output.is_terminal && !client.output.is_json() {
            "\x1b[H\x1b[J"
        } else {
            ""
        };
        match show(client, home).await {
            // Wrong usage will not become right; anything else may.
            Err(Failure::Usage(what)) => return Err(Failure::Usage(what)),
            Err(failure) => client.output.failure(&failure),
            Ok(()) => {}
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn show(client: &Client<'_>, before: &str) -> Result<(), Failure> {
    let output = client.output;
    if let Backend::Local(_) = client.backend {
        let status: LocalStatus = client.backend.get(ROUTE).await?;
        return output.data(&status, |status| {
            let upstreams = upstreams(output, status.upstreams.as_deref());
            format!("{before}{}{upstreams}", local(status))
        });
    }
    let overview: Overview = client.backend.get(ROUTE).await?;
    output.data(&overview, |overview| {
        let upstreams = upstreams(output, overview.upstreams.as_deref());
        format!("{before}{}{upstreams}", page(output, &overview.status))
    })?;
    std::io::stdout().flush().ok();
    Ok(())
}

fn local(status: &LocalStatus) -> String {
    let ready = if status.ready {
        "ready"
    } else {
        "not ready: no snapshot"
    };
    let age = or_dash(status.age_seconds.map(|seconds| duration(seconds * 1000.0)));
    format!(
        "{ready}\nrevision {}, confirmed by the database {age} ago\n",
        status.revision
    )
}

fn page(output: &Output, status: &Status) -> String {
    let mut text = format!(
        "revision {}, {} {}\n",
        status.revision,
        status.tenants,
        if status.tenants == 1 {
            "tenant"
        } else {
            "tenants"
        }
    );
    for standing in &status.overrides {
        let scope = standing
            .capability
            .as_deref()
            .map_or("ALL CAPABILITIES".to_owned(), |name| {
                format!("capability {name}")
            });
        let why = standing.reason.as_deref().unwrap_or("no reason given");
        let line = format!(
            "OVERRIDE {} on {scope} since {}: {why}",
            standing.action,
            standing.changed_at.format("%F %T UTC")
        );
        text += &output.paint(Paint::Bad, &super::output::printable(&line));
        text.push('\n');
    }
    for freeze in status.freezes.iter().filter(|it| it.seconds_left > 0.0) {
        let scope = match (freeze.tenant, freeze.capability.as_deref()) {
            (Some(tenant), _) => format!("tenant {tenant}"),
            (None, Some(name)) => format!("capability {name}"),
            (None, None) => "EVERYTHING".to_owned(),
        };
        let why = freeze.reason.as_deref().unwrap_or("no reason given");
        let left = duration(freeze.seconds_left * 1000.0);
        let line = format!("FROZEN {scope} for {left} more, to read only: {why}");
        text += &output.paint(Paint::Bad, &super::output::printable(&line));
        text.push('\n');
    }
    let capabilities: Vec<_> = status
        .capabilities
        .iter()
        .map(|it| {
            let forced = if it.forced_legacy { "legacy" } else { "-" };
            vec![
                it.name.clone(),
                it.effect.clone(),
                it.modern.to_string(),
                it.shadow.to_string(),
                it.legacy.to_string(),
                split(it.split_by.as_deref(), it.split_percent),
                forced.into(),
            ]
        })
        .collect();
    text += &format!(
        "\n{}",
        output.table(
            &[
                "CAPABILITY",
                "EFFECT",
                "MODERN",
                "SHADOW",
                "LEGACY",
                "SPLIT",
                "FORCED"
            ],
            &capabilities
        )
    );
    let instances: Vec<_> = status
        .instances
        .iter()
        .map(|it| instance(status, it))
        .collect();
    text += &format!(
        "\n{}",
        output.table(
            &[
                "PROCESS",
                "STATE",
                "ROLES",
                "REVISION",
                "BEHIND",
                "HEARTBEAT",
                "VERSION"
            ],
            &instances
        )
    );
    text
}

/// What the proxy that answered sees; another may see it otherwise.
fn upstreams(output: &Output, upstreams: Option<&[Standing]>) -> String {
    let Some(upstreams) = upstreams else {
        return String::new();
    };
    let mut rows = Vec::new();
    for upstream in upstreams {
        let breaker = or_dash(upstream.breaker.clone());
        if upstream.addresses.is_empty() {
            let row = [&*upstream.name, "-", "no address", "-", &*breaker];
            rows.push(row.map(ToOwned::to_owned).to_vec());
        }
        for it in &upstream.addresses {
            let state = match it.ejected_seconds {
                Some(seconds) => format!("{}, {} more", it.state, duration(seconds * 1000.0)),
                None => it.state.clone(),
            };
            rows.push(vec![
                upstream.name.clone(),
                it.address.clone(),
                state,
                it.in_flight.to_string(),
                breaker.clone(),
            ]);
        }
    }
    let table = output.table(
        &["UPSTREAM", "ADDRESS", "STATE", "IN FLIGHT", "BREAKER"],
        &rows,
    );
    format!("\n{table}")
}

fn instance(status: &Status, it: &Instance) -> Vec<String> {
    let state = match (it.stopped_at.is_some(), it.is_live()) {
        (true, _) => "stopped",
        (false, true) => "live",
        (false, false) => "dead",
    };
    vec![
        it.name.clone(),
        state.to_owned(),
        it.roles.join(","),
        it.applied_revision.to_string(),
        (status.revision.0 - it.applied_revision.0)
            .max(0)
            .to_string(),
        format!("{} ago", duration(it.heartbeat_age_ms.max(0.0))),
        it.version.clone(),
    ]
}
