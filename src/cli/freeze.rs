//! `ficus freeze` and `ficus unfreeze`: writing stops for a while, reading goes on.
//!
//! Their own file, because a freeze is done only when nothing that it covers is under way, and says what still is.

use std::process::ExitCode;

use axum::http::Method;
use clap::Args;
use serde_json::{Value, json};

use super::Client;
use super::exit::{Failure, UNCONFIRMED};
use super::output::{Output, Paint, duration, or_dash};
use super::write::{WriteArgs, tell};
use crate::control::{FreezeWritten, Written, parse_span};
use crate::ids::TenantRef;
use crate::rollout::Drain;

const ROUTE: &str = "/api/v1/freezes";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ficus freeze --tenant acme --for 15m --reason 'moving their invoices'
  ficus freeze --capability billing --for 15m --timeout 25s --reason 'cutover'
  ficus freeze --all --for 90s --reason 'INC-42'

Writes and sends get 503 with Retry-After and the code \"frozen\"; reads go on. The freeze ends by itself, on each proxy, also
when the database is away. The command returns when every proxy has it and nothing that it covers is under way any more;
with exit code 5 when that was not so in time: then it names what still is, and `ficus freeze` again waits on.")]
pub struct FreezeArgs {
    #[command(flatten)]
    scope: Scope,
    /// For how long, at most 24h; again: from now on anew
    #[arg(long = "for", value_name = "TIME", value_parser = |text: &str| parse_span(text).map(|_| text.to_owned()))]
    span: String,
    #[command(flatten)]
    how: WriteArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ficus unfreeze --tenant acme --reason 'moved'
  ficus unfreeze --all --reason 'INC-42 is over'

It ends the freeze of exactly this scope: one of everything stays when a tenant is unfrozen.")]
pub struct UnfreezeArgs {
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    how: WriteArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// An id or a slug
    #[arg(long, value_name = "T")]
    tenant: Option<TenantRef>,
    /// One capability, of every tenant
    #[arg(long, value_name = "CAP")]
    capability: Option<String>,
    /// Everything that goes through the proxies, whether a route names it or not
    #[arg(long)]
    all: bool,
}

impl Scope {
    fn body(&self) -> Value {
        json!({ "tenant": self.tenant, "capability": self.capability, "all": self.all })
    }
}

pub async fn freeze(client: &Client<'_>, args: FreezeArgs) -> Result<ExitCode, Failure> {
    let mut what = args.scope.body();
    what["for"] = json!(args.span);
    let body = args.how.body(what);
    let done: FreezeWritten = client
        .backend
        .call(Method::POST, ROUTE, Some(&body))
        .await?;
    if client.output.is_json() {
        client.output.data(&done, |_| String::new())?;
        return Ok(code(&done));
    }
    let told = tell(client, &done.written, None)?;
    if let Some(until) = done.until {
        let until = until.format("%F %T UTC");
        client
            .output
            .say(&format!("frozen until {until}, at the latest"));
    }
    if let Some(drain) = &done.drain {
        client
            .output
            .data(drain, |drain| under_way(client.output, drain))?;
        if !drain.drained {
            client
                .output
                .say("next: the same command again waits for them; no new ones are let in");
        }
    }
    Ok(match done.drain {
        Some(Drain { drained: false, .. }) => code(&done),
        _ => told,
    })
}

pub async fn unfreeze(client: &Client<'_>, args: UnfreezeArgs) -> Result<ExitCode, Failure> {
    let body = args.how.body(args.scope.body());
    let written: Written = client
        .backend
        .call(Method::DELETE, ROUTE, Some(&body))
        .await?;
    tell(client, &written, None)
}

fn code(done: &FreezeWritten) -> ExitCode {
    let confirmed = !done.written.waited || done.written.confirmed;
    let drained = done.drain.as_ref().is_none_or(|drain| drain.drained);
    match confirmed && drained {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(UNCONFIRMED),
    }
}

fn under_way(output: &Output, drain: &Drain) -> String {
    if drain.drained {
        let took = duration(drain.elapsed_ms);
        return format!(
            "{}: no write is under way, after {took}\n",
            output.paint(Paint::Good, "drained")
        );
    }
    let writes = match drain.writes {
        0 => "not every proxy has said what is under way".to_owned(),
        1 => "1 write is under way".to_owned(),
        n => format!("{n} writes are under way"),
    };
    let rows: Vec<_> = drain
        .listed
        .iter()
        .map(|it| {
            vec![
                it.proxy.clone(),
                it.write.request_id.clone(),
                it.write.method.clone(),
                or_dash(it.write.tenant),
                or_dash(it.write.capability.as_ref()),
                duration(it.write.ms as f64),
            ]
        })
        .collect();
    let titles = ["PROXY", "REQUEST", "METHOD", "TENANT", "CAPABILITY", "FOR"];
    let table = match rows.is_empty() {
        true => String::new(),
        false => output.table(&titles, &rows),
    };
    format!(
        "{}: {writes}\n{table}",
        output.paint(Paint::Bad, "NOT drained")
    )
}
