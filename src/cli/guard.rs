//! `ficus guard`: what the guard says now, why, and what it would have said of a recording.
//!
//! Its own file: one a noun.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Client;
use super::backend::encode;
use super::exit::Failure;
use super::output::Output;
use crate::config::{Config, process_environment};
use crate::control::Page;
use crate::rollout::guard::replay::{Step, play, read_trace};
use crate::rollout::guard::scope::Extent;
use crate::rollout::guard::words::describe;
use crate::rollout::guard::{Guarded, GuardedDetail};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The newest verdict on every capability: pass, fail, insufficient or no-data
    #[command(after_help = "Example:\n  ficus guard status")]
    Status,
    /// One capability: what was measured, which tenants failed, what was taken back
    #[command(after_help = "Example:\n  ficus guard show dashboard --output json")]
    Show { capability: String },
    /// Replay recorded buckets and print each change of verdict; asks no server
    #[command(after_help = TEST_HELP)]
    Test(TestArgs),
}

const TEST_HELP: &str = "\
The file is CSV with a heading and these columns, one row a bucket of 10 s, side and tenant:
  at                RFC 3339, or seconds since 1970
  capability,side   side is legacy or modern
  tenant            0 or empty: nobody in particular
  requests,errors
  connect_failures,misses   may be left out
  latency           may be left out: \"50:180 500:20 inf:1\" (up to so many ms: so many), or the counts of the cells
                    as PostgreSQL writes them: \"{0,3,…}\"

Examples:
  ficus guard test trace.csv
  ficus guard test trace.csv --config ficus.toml
  psql -c \"\\copy (select at, capability, side, tenant_id as tenant, requests, errors, connect_failures, misses, latency
           from ficus.bucket order by at) to trace.csv csv header\"";

#[derive(Debug, Args)]
pub struct TestArgs {
    /// The recording
    file: PathBuf,
    /// Takes the limits from this configuration in place of the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Status => {
            let page: Page<Guarded> = client.backend.get("/api/v1/guard").await?;
            client
                .output
                .data(&page, |page| table(client.output, &page.items))?;
        }
        Command::Show { capability } => {
            let route = format!("/api/v1/guard/{}", encode(&capability));
            let detail: GuardedDetail = client.backend.get(&route).await?;
            client.output.data(&detail, |it| show(client.output, it))?;
        }
        Command::Test(args) => return test(client.output, &args),
    }
    Ok(ExitCode::SUCCESS)
}

/// Without a server: a recording is judged where it lies.
pub fn test(output: &Output, args: &TestArgs) -> Result<ExitCode, Failure> {
    let config = Config::load(args.config.as_deref(), process_environment())
        .map_err(|faults| Failure::Usage(format!("the configuration is not good:\n{faults}")))?;
    let steps = play_file(&args.file, config)?;
    output.data(&steps, |steps| steps_table(output, steps))?;
    Ok(ExitCode::SUCCESS)
}

fn play_file(file: &Path, config: Config) -> Result<Vec<Step>, Failure> {
    let usage = |problem: String| Failure::Usage(format!("{}: {problem}", file.display()));
    let text = std::fs::File::open(file).map_err(|e| usage(format!("cannot be read: {e}")))?;
    let buckets = read_trace(text).map_err(|e| usage(e.to_string()))?;
    Ok(play(&buckets, config.guard))
}

fn table(output: &Output, guarded: &[Guarded]) -> String {
    let row = |it: &Guarded| {
        let at = it.newest.at.map(|at| at.format("%F %T").to_string());
        vec![
            it.capability.clone(),
            it.newest.verdict.as_str().to_owned(),
            at.unwrap_or_else(|| "never".to_owned()),
            words(&it.newest.evidence),
        ]
    };
    let titles = ["CAPABILITY", "VERDICT", "JUDGED (UTC)", "WHY"];
    output.table(&titles, &guarded.iter().map(row).collect::<Vec<_>>())
}

fn words(evidence: &serde_json::Value) -> String {
    let text = |key: &str| evidence.get(key).and_then(serde_json::Value::as_str);
    text("why").or(text("words")).unwrap_or_default().to_owned()
}

fn show(output: &Output, it: &GuardedDetail) -> String {
    let mut text = table(output, std::slice::from_ref(&it.guarded));
    let side = |side: &str| {
        let of = |q: &str| {
            let ms = it.guarded.newest.evidence.get(side).and_then(|s| s.get(q));
            match ms.and_then(serde_json::Value::as_u64) {
                Some(ms) => format!("{ms} ms"),
                None => "-".to_owned(),
            }
        };
        vec![side.to_owned(), of("p50_ms"), of("p95_ms"), of("p99_ms")]
    };
    text.push('\n');
    text.push_str(&output.table(
        &["SIDE", "P50 UP TO", "P95 UP TO", "P99 UP TO"],
        &[side("modern"), side("legacy")],
    ));
    let failing: Vec<_> = it
        .failing
        .iter()
        .map(|f| {
            vec![
                f.tenant.to_string(),
                f.at.format("%F %T").to_string(),
                words(&f.evidence),
            ]
        })
        .collect();
    if !failing.is_empty() {
        text.push('\n');
        text.push_str(&output.table(&["FAILED TENANT", "AT (UTC)", "WHY"], &failing));
    }
    let rollbacks: Vec<_> = it
        .rollbacks
        .iter()
        .map(|r| {
            vec![
                r.revision.to_string(),
                r.at.format("%F %T").to_string(),
                r.rows.to_string(),
                r.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    if !rollbacks.is_empty() {
        text.push('\n');
        text.push_str(&output.table(&["ROLLBACK", "AT (UTC)", "ROWS", "WHY"], &rollbacks));
    }
    text
}

fn steps_table(output: &Output, steps: &[Step]) -> String {
    let row = |step: &Step| {
        let taken = step.taken_back.iter().map(|extent| match extent {
            Extent::Tenants(tenants) => {
                let ids: Vec<String> = tenants.iter().take(5).map(i64::to_string).collect();
                let more = if tenants.len() > 5 { ", …" } else { "" };
                format!("tenant {}{more}", ids.join(", "))
            }
            Extent::Wave(wave) => format!("wave {wave}"),
            Extent::Capability => "the capability".to_owned(),
        });
        vec![
            step.at.format("%F %T").to_string(),
            step.capability.clone(),
            step.verdict.as_str().to_owned(),
            taken.collect::<Vec<_>>().join(", "),
            describe(&step.finding),
        ]
    };
    let titles = ["AT (UTC)", "CAPABILITY", "VERDICT", "TAKEN BACK", "WHY"];
    output.table(&titles, &steps.iter().map(row).collect::<Vec<_>>())
}
