//! `ficus wave`: plan, list, show, start, pause, resume, go, advance, abort.
//!
//! Its own file: one a noun.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::backend::{encode, with_query};
use super::exit::Failure;
use super::wave_table::{page, plan_table, row};
use super::write::{WriteArgs, tell_with};
use super::{Client, wave_file};
use crate::control::{Page, PlanWritten, WaveWritten};
use crate::rollout::wave::{Defaults, Outcome, Wave, WaveDetail};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Propose waves and show what each step would move; with a reason, store them
    #[command(after_help = "Examples:
  ficus wave plan messaging
  ficus wave plan messaging --bake 7d --gate guard --gate go --reason 'weeks 9 to 12'
  ficus wave plan billing --steps 5,20,50,100 --dry-run
  ficus wave plan messaging --file waves.toml --reason 'as agreed'
  ficus wave plan messaging --file waves.csv --reason 'chosen by support'

Without --file: a wave for each class that has tenants left, internal, low, medium, high; internal at once, the others in
--steps. Without --reason nothing is stored. A file is TOML with [[wave]] of name, classes or tenants, steps, bake, gates
and auto (docs/MIGRATING.md), or CSV with the header wave,tenant.")]
    Plan(PlanArgs),
    /// List waves in their order
    #[command(
        after_help = "Examples:\n  ficus wave list\n  ficus wave list --capability messaging"
    )]
    List {
        /// Of this capability only
        #[arg(long, value_name = "CAP")]
        capability: Option<String>,
        /// Waves at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show a wave: its steps, who has moved, what its gates say
    #[command(after_help = "Example:\n  ficus wave show messaging-low")]
    Show {
        /// Its name
        wave: String,
    },
    /// Store who belongs to the wave, and move its first step
    #[command(after_help = "Examples:
  ficus wave start messaging-internal --dry-run
  ficus wave start messaging-internal --reason 'week 9'")]
    Start(StepArgs),
    /// Stand still until resumed; nobody moves
    #[command(after_help = "Example:\n  ficus wave pause messaging-low --reason 'release night'")]
    Pause(StepArgs),
    /// Go on after a pause; after a rollback, move those again that it took back
    #[command(after_help = "Examples:
  ficus wave resume messaging-low --dry-run
  ficus wave resume messaging-low --reason 'fixed in 1.4.2'")]
    Resume(StepArgs),
    /// Say go, where a wave waits for a person
    #[command(
        after_help = "Example:\n  ficus wave go messaging-low --reason 'support has seen no ticket'"
    )]
    Go(StepArgs),
    /// Enter the next step, or complete the wave, if its gates let it
    #[command(after_help = "Examples:
  ficus wave advance messaging-low --dry-run
  ficus wave advance messaging-low --reason 'a quiet week'
  ficus wave advance messaging-low --skip-gate bake --skip-gate guard --reason 'INC-42: only two tenants send at night'")]
    Advance {
        #[command(flatten)]
        step: StepArgs,
        /// Go past a gate; for administrators, and audited; repeatable
        #[arg(long = "skip-gate", value_name = "NAME")]
        skip_gates: Vec<String>,
    },
    /// End a wave: who has moved stays, the others are free for another
    #[command(
        after_help = "Example:\n  ficus wave abort messaging-high --reason 'they move by hand'"
    )]
    Abort(StepArgs),
}

#[derive(Debug, Args)]
pub struct StepArgs {
    /// Its name
    wave: String,
    #[command(flatten)]
    how: WriteArgs,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// What the waves move
    capability: String,
    /// The waves, as TOML or CSV
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Percents of each wave, rising
    #[arg(
        long,
        value_name = "P,P…",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    steps: Option<Vec<f64>>,
    /// How long each step serves before the next: 30m, 24h, 7d [default: 24h]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    bake: Option<String>,
    /// guard, shadow, go or reconcile:NAME; repeatable [default: guard]
    #[arg(long = "gate", value_name = "GATE")]
    gates: Option<Vec<String>>,
    /// Let the waves go on by themselves when their gates let them
    #[arg(long)]
    auto: bool,
    /// Decides the order of the tenants; the same for all capabilities unless given
    #[arg(long, value_name = "TEXT")]
    salt: Option<String>,
    /// Why; it stands in the audit. Without it nothing is stored
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Check everything and show it, store nothing
    #[arg(long)]
    dry_run: bool,
    /// Refuse unless this is the newest revision
    #[arg(long, value_name = "N")]
    expect_revision: Option<i64>,
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Plan(args) => plan(client, args).await,
        Command::List { capability, limit } => list(client, capability, limit).await,
        Command::Show { wave } => show(client, &wave).await,
        Command::Start(step) => act(client, "start", step, json!({})).await,
        Command::Pause(step) => act(client, "pause", step, json!({})).await,
        Command::Resume(step) => act(client, "resume", step, json!({})).await,
        Command::Go(step) => act(client, "go", step, json!({})).await,
        Command::Abort(step) => act(client, "abort", step, json!({})).await,
        Command::Advance { step, skip_gates } if skip_gates.is_empty() => {
            act(client, "advance", step, json!({})).await
        }
        Command::Advance { step, skip_gates } => {
            act(client, "skip-gates", step, json!({ "gates": skip_gates })).await
        }
    }
}

async fn plan(client: &Client<'_>, args: PlanArgs) -> Result<ExitCode, Failure> {
    let mut file = wave_file::File::default();
    if let Some(path) = &args.file {
        let text =
            std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        let is_csv = path
            .extension()
            .is_some_and(|it| it.eq_ignore_ascii_case("csv"));
        file = wave_file::parse(&text, is_csv)
            .map_err(|fault| Failure::Usage(format!("{}: {fault}", path.display())))?;
    }
    let defaults = Defaults {
        steps: args.steps.or(file.defaults.steps),
        bake: args.bake.or(file.defaults.bake),
        gates: args.gates.or(file.defaults.gates),
        auto: args.auto || file.defaults.auto,
    };
    let only_looks = args.dry_run || args.reason.is_none();
    let mut body = json!({ "capability": args.capability, "waves": file.waves, "defaults": defaults, "no_wait": true });
    let given = [
        ("salt", json!(args.salt.or(file.salt))),
        ("reason", json!(args.reason)),
        ("dry_run", json!(only_looks.then_some(true))),
        ("expect_revision", json!(args.expect_revision)),
    ];
    if let Some(body) = body.as_object_mut() {
        let given = given.into_iter().filter(|(_, value)| !value.is_null());
        body.extend(given.map(|(name, value)| (name.to_owned(), value)));
    }
    let planned: PlanWritten = client
        .backend
        .call(Method::POST, "/api/v1/waves", Some(&body))
        .await?;
    let output = client.output;
    output.data(&planned, |planned| plan_table(output, planned))?;
    match planned.waves.first() {
        _ if only_looks => output.say("nothing was stored: with --reason TEXT these waves are"),
        Some(first) => output.say(&format!(
            "next: ficus wave start {} --reason TEXT",
            first.name
        )),
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(
    client: &Client<'_>,
    capability: Option<String>,
    limit: u32,
) -> Result<ExitCode, Failure> {
    let parameters = [
        ("capability", capability),
        ("limit", Some(limit.to_string())),
    ];
    let page: Page<Wave> = client
        .backend
        .get(&with_query("/api/v1/waves", &parameters))
        .await?;
    client.output.data(&page, |page| {
        client.output.table(
            &[
                "WAVE",
                "CAPABILITY",
                "STATE",
                "STEP",
                "ON MODERN",
                "BAKES",
                "GATES",
                "BY",
                "REASON",
            ],
            &page.items.iter().map(row).collect::<Vec<_>>(),
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show(client: &Client<'_>, name: &str) -> Result<ExitCode, Failure> {
    let route = format!("/api/v1/waves/{}", encode(name));
    let detail: WaveDetail = client.backend.get(&route).await?;
    client
        .output
        .data(&detail, |detail| page(client.output, detail))?;
    Ok(ExitCode::SUCCESS)
}

async fn act(
    client: &Client<'_>,
    verb: &str,
    step: StepArgs,
    what: Value,
) -> Result<ExitCode, Failure> {
    let route = format!("/api/v1/waves/{}/{verb}", encode(&step.wave));
    let body = step.how.body(what);
    let done: WaveWritten = client
        .backend
        .call(Method::POST, &route, Some(&body))
        .await?;
    let code = tell_with(client, &done, &done.written, None)?;
    let wave = &done.wave;
    let would = if done.written.dry_run {
        "would be"
    } else {
        "is"
    };
    client.output.say(&format!(
        "wave {} {would} {}, step {} of {}, {} of {} members on modern",
        wave.name,
        wave.state.as_str(),
        wave.step,
        wave.steps.len(),
        wave.on_modern,
        wave.size.unwrap_or(0)
    ));
    let skipped = done
        .gates
        .iter()
        .filter(|it| it.outcome == Outcome::Skipped);
    for gate in skipped {
        client
            .output
            .say(&format!("went past {}: {}", gate.gate, gate.detail));
    }
    Ok(code)
}
