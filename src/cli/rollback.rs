//! `ficus rollback`: the command of 3 a.m.
//!
//! Its own file, because it is the one that must be short to type, never ask for approval, and say at the end
//! whether it holds everywhere.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use axum::http::Method;
use clap::Args;
use futures_util::future::join_all;
use serde_json::Value;

use super::Client;
use super::backend::{Backend, Socket};
use super::exit::{FAILED, Failure, UNCONFIRMED};
use super::write::{WriteArgs, tell};
use crate::control::{RollbackScope, Written};
use crate::ids::TenantRef;

const ROUTE: &str = "/api/v1/rollback";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ficus rollback --tenant acme --reason 'orders missing'
  ficus rollback --tenant 2 --tenant 3 --reason 'INC-42'
  ficus rollback --wave messaging-low --reason 'INC-42'
  ficus rollback --capability dashboard --reason 'INC-42'
  ficus rollback --all --yes --reason 'INC-42'
  ficus rollback --all --yes --reason 'INC-42' --local /run/ficus/a.sock --local /run/ficus/b.sock

Tenants and waves go back by their flags; a capability and --all by an override that stands above the flags:
`ficus override clear` ends it.")]
pub struct RollbackArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    how: WriteArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ScopeArgs {
    /// An id or a slug; repeatable
    #[arg(long = "tenant", value_name = "T", num_args = 1..)]
    tenants: Vec<TenantRef>,
    /// Everyone whom this wave has moved; the wave is put on hold
    #[arg(long, value_name = "W")]
    wave: Option<String>,
    /// One capability, of every tenant
    #[arg(long, value_name = "CAP")]
    capability: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
}

pub async fn run(client: &Client<'_>, args: RollbackArgs) -> Result<ExitCode, Failure> {
    if args.scope.all && !args.how.dry_run && !client.yes && !agreed()? {
        client.output.say("nothing was changed");
        return Ok(ExitCode::from(FAILED));
    }
    // A proxy by itself knows no waves.
    let again = (args.scope.wave.is_none()).then(|| on_one_proxy(&args.scope));
    let scope = RollbackScope {
        tenants: args.scope.tenants,
        wave: args.scope.wave,
        capability: args.scope.capability,
        all: args.scope.all,
    };
    let body = args
        .how
        .body(serde_json::to_value(scope).map_err(anyhow::Error::from)?);
    match &client.backend {
        Backend::Local(sockets) => on_each(client, sockets, &body).await,
        backend => {
            let written: Written = backend.call(Method::POST, ROUTE, Some(&body)).await?;
            tell(client, &written, again.as_deref())
        }
    }
}

/// The same on one proxy, to be typed on its machine.
fn on_one_proxy(scope: &ScopeArgs) -> String {
    let what = match &scope.capability {
        Some(capability) => format!("--capability {capability}"),
        None if scope.all => "--all --yes".to_owned(),
        None => scope
            .tenants
            .iter()
            .map(|tenant| format!("--tenant {tenant}"))
            .collect::<Vec<_>>()
            .join(" "),
    };
    format!("ficus rollback {what} --reason TEXT --local .ficus/ficus.sock")
}

/// The one question. Without a terminal there is nobody to ask.
#[expect(
    clippy::print_stderr,
    reason = "a question stays on its line, which `say` would end"
)]
fn agreed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(
            "--all wants --yes where nobody can be asked".to_owned(),
        ));
    }
    eprint!("Send every request of every tenant to legacy? [y/N] ");
    io::stderr().flush().ok();
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(anyhow::Error::from)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Each proxy by its own socket, all at once. One that does not answer keeps none of the others from it.
async fn on_each(
    client: &Client<'_>,
    sockets: &[Socket],
    body: &Value,
) -> Result<ExitCode, Failure> {
    let answers = join_all(
        sockets
            .iter()
            .map(|socket| socket.call::<Written>(Method::POST, ROUTE, Some(body))),
    )
    .await;
    let mut together: Option<Written> = None;
    let mut failures = Vec::new();
    for (socket, answer) in sockets.iter().zip(answers) {
        match (answer, &mut together) {
            (Ok(written), None) => together = Some(written),
            (Ok(written), Some(together)) => {
                together.proxies.extend(written.proxies);
                together.fault = together.fault.take().or(written.fault);
                together.elapsed_ms = together.elapsed_ms.max(written.elapsed_ms);
                together.revision = together.revision.min(written.revision);
            }
            (Err(failure), _) => failures.push((socket, failure)),
        }
    }
    let Some(together) = together else {
        let first = failures.into_iter().next().map(|(_, failure)| failure);
        return Err(first.unwrap_or_else(|| Failure::Usage("no --local was given".to_owned())));
    };
    let code = tell(client, &together, None)?;
    for (socket, failure) in &failures {
        client
            .output
            .say(&format!("not rolled back on {}:", socket.path.display()));
        client.output.failure(failure);
    }
    Ok(if failures.is_empty() {
        code
    } else {
        ExitCode::from(UNCONFIRMED)
    })
}
