//! What every write has in common: its conditions, and how its outcome is told.
//!
//! Its own file, because "confirmed on 2/2 proxies in 14 ms" is said after each write in the same words.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::exit::{Failure, UNCONFIRMED};
use super::output::{Paint, duration, or_dash};
use super::{Client, Output};
use crate::control::{Written, parse_patience, parse_reason};
use crate::rollout::{Proxy, ProxyState};

#[derive(Debug, Args)]
pub struct WriteArgs {
    /// Why; it stands in the audit
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", value_parser = parse_reason)]
    reason: Option<String>,
    /// Check everything, show what would change, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Refuse unless this is the newest revision
    #[arg(long, value_name = "N")]
    expect_revision: Option<i64>,
    /// Do not wait for the proxies
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the proxies, at most 25s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = |text: &str| parse_patience(text).map(|_| text.to_owned()))]
    timeout: String,
}

impl WriteArgs {
    /// A body with these conditions and the fields of `what`. Fields that are null are left out.
    pub fn body(&self, what: Value) -> Value {
        let mut body = json!({ "timeout": self.timeout });
        let given = [
            ("reason", json!(self.reason)),
            ("dry_run", json!(self.dry_run.then_some(true))),
            ("expect_revision", json!(self.expect_revision)),
            ("no_wait", json!(self.no_wait.then_some(true))),
        ];
        let what = match what {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        if let Some(body) = body.as_object_mut() {
            let all = given
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .chain(what);
            body.extend(all.filter(|(_, value)| !value.is_null()));
        }
        body
    }
}

/// Shows the outcome and answers with its exit code. `again`: the command that would do the same on one proxy.
pub fn tell(
    client: &Client<'_>,
    written: &Written,
    again: Option<&str>,
) -> Result<ExitCode, Failure> {
    tell_with(client, written, written, again)
}

/// The same of an answer that has more than the outcome in it.
pub fn tell_with<T: Serialize>(
    client: &Client<'_>,
    data: &T,
    written: &Written,
    again: Option<&str>,
) -> Result<ExitCode, Failure> {
    let output = client.output;
    output.data(data, |_| outcome(output, written))?;
    for proxy in written
        .proxies
        .iter()
        .filter(|p| p.state == ProxyState::Dead && !p.stopped)
    {
        let silent = duration(proxy.heartbeat_age_ms);
        output.say(&format!(
            "{} is dead: no heartbeat for {silent}; it was not waited for",
            proxy.name
        ));
        if let Some(again) = again {
            output.say(&format!(
                "next: if it still serves, on its machine: {again}"
            ));
        }
    }
    if !written.waited || written.confirmed {
        if let Some(fault) = &written.fault {
            output.say(&format!("note: {fault}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    output.say(&format!("not confirmed: {}", why_unconfirmed(written)));
    output.say("the change stands in the database; a proxy applies it as soon as it sees it");
    output.say("next: watch it with `ficus status --watch`; a proxy that hangs can be stopped or restarted");
    if let Some(again) = again {
        output.say(&format!("next: at once, on its machine: {again}"));
    }
    Ok(ExitCode::from(UNCONFIRMED))
}

fn outcome(output: &Output, written: &Written) -> String {
    let mut text = String::new();
    let rows = |n: u64| {
        if n == 1 {
            "1 row".to_owned()
        } else {
            format!("{n} rows")
        }
    };
    text += &match (written.changed, written.dry_run) {
        (Some(0), _) => format!(
            "no change: everything stood as asked already, revision {}\n",
            written.revision
        ),
        (Some(n), true) => format!("dry run: would change {}, nothing was changed\n", rows(n)),
        (Some(n), false) => format!("changed {}, revision {}\n", rows(n), written.revision),
        (None, _) => format!("in force, above revision {}\n", written.revision),
    };
    if !written.preview.is_empty() {
        text += &preview(output, written);
    }
    if !written.waited {
        return text;
    }
    text += &headline(output, written);
    let width = written
        .proxies
        .iter()
        .map(|proxy| proxy.name.chars().count())
        .max()
        .unwrap_or(0);
    for proxy in &written.proxies {
        text += &format!(
            "  {:width$}  {}\n",
            super::output::printable(&proxy.name),
            proxy_line(output, proxy)
        );
    }
    text
}

fn headline(output: &Output, written: &Written) -> String {
    let confirmed = written
        .proxies
        .iter()
        .filter(|p| p.state == ProxyState::Confirmed);
    let live = written
        .proxies
        .iter()
        .filter(|p| p.state != ProxyState::Dead)
        .count();
    let (paint, word) = if written.confirmed {
        (Paint::Good, "confirmed")
    } else {
        (Paint::Bad, "NOT confirmed: applied")
    };
    let slowest = confirmed
        .clone()
        .filter_map(|proxy| proxy.ms)
        .fold(0.0, f64::max);
    match (live, written.confirmed) {
        (0, true) => "stored; no proxy is running that could confirm it\n".to_owned(),
        (live, true) => format!(
            "{} on {live}/{live} proxies in {}\n",
            output.paint(paint, word),
            duration(slowest)
        ),
        (live, false) => {
            let waited = duration(written.elapsed_ms);
            format!(
                "{} on {}/{live} proxies after {waited}\n",
                output.paint(paint, word),
                confirmed.count()
            )
        }
    }
}

fn proxy_line(output: &Output, proxy: &Proxy) -> String {
    match proxy.state {
        ProxyState::Confirmed => {
            let ms = proxy.ms.map(duration);
            format!(
                "{}  {}",
                output.paint(Paint::Good, "confirmed"),
                or_dash(ms)
            )
        }
        ProxyState::Lagging => format!(
            "{}    at revision {}, last heartbeat {} ago",
            output.paint(Paint::Bad, "lagging"),
            proxy.applied_revision,
            duration(proxy.heartbeat_age_ms)
        ),
        ProxyState::Dead if proxy.stopped => output.paint(Paint::Faint, "stopped"),
        ProxyState::Dead => {
            format!(
                "{}       no heartbeat for {}",
                output.paint(Paint::Bad, "dead"),
                duration(proxy.heartbeat_age_ms)
            )
        }
    }
}

fn why_unconfirmed(written: &Written) -> String {
    if let Some(fault) = &written.fault {
        return format!("the database went away while waiting: {fault}");
    }
    let lags = written
        .proxies
        .iter()
        .filter(|proxy| proxy.state == ProxyState::Lagging)
        .map(|proxy| {
            let (at, silent) = (proxy.applied_revision, duration(proxy.heartbeat_age_ms));
            format!(
                "{} lags at revision {at} of {} (last heartbeat {silent} ago)",
                proxy.name, written.revision
            )
        });
    let lags = lags.collect::<Vec<_>>().join(", ");
    if lags.is_empty() {
        "no proxy is alive, and a dead one may still serve".to_owned()
    } else {
        lags
    }
}

fn preview(output: &Output, written: &Written) -> String {
    let words = |row: &Option<Value>| match row {
        None => "-".to_owned(),
        Some(row) => row
            .get("state")
            .or(row.get("action"))
            .or(row.get("class"))
            .or(row.get("until"))
            .or(row.get("percent"))
            .map_or("-".to_owned(), |word| match word {
                Value::String(word) => word.clone(),
                other => other.to_string(),
            }),
    };
    let rows: Vec<_> = written
        .preview
        .iter()
        .map(|item| {
            vec![
                item.entity.clone(),
                or_dash(item.tenant),
                item.capability.clone().unwrap_or_else(|| "-".to_owned()),
                words(&item.before),
                words(&item.after),
            ]
        })
        .collect();
    let mut text = output.table(&["ENTITY", "TENANT", "CAPABILITY", "NOW", "THEN"], &rows);
    let unseen = written
        .changed
        .unwrap_or(0)
        .saturating_sub(rows.len() as u64);
    if unseen > 0 {
        text += &format!("and {unseen} more\n");
    }
    text
}
