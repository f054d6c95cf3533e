//! `ficus explain`: the chain of reasons for one request, with the step that decided.
//!
//! Its own file: one a noun.

use std::process::ExitCode;

use axum::http::Method;
use clap::Args;
use serde_json::json;

use super::Client;
use super::exit::Failure;
use super::output::{Paint, printable};
use crate::proxy::explain::Explanation;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ficus explain GET https://acme.example.com/dashboard
  ficus explain POST /campaign/send-email/7 -H 'x-tenant-id: 2'")]
pub struct ExplainArgs {
    /// The request's method
    method: String,
    // Not `url`, which is the admin API's.
    /// A path with query, or a whole URL
    #[arg(value_name = "URL")]
    target: String,
    /// A header of the request; repeatable
    #[arg(short = 'H', long = "header", value_name = "K: V", value_parser = header)]
    headers: Vec<(String, String)>,
}

pub async fn run(client: &Client<'_>, args: ExplainArgs) -> Result<ExitCode, Failure> {
    let asked = json!({ "method": args.method.to_uppercase(), "url": args.target, "headers": args.headers });
    let explanation: Explanation = client
        .backend
        .call(Method::POST, "/api/v1/explain", Some(&asked))
        .await?;
    client.output.data(&explanation, |it| {
        let side = client.output.paint(Paint::Good, &it.side);
        let mut text = format!(
            "{side}: upstream {}, {}, revision {}\n",
            printable(&it.upstream),
            printable(&it.reason),
            it.revision
        );
        for step in &it.steps {
            let mark = if step.decided { "→" } else { " " };
            text += &format!(
                "{mark} {:<9} {}\n",
                printable(&step.step),
                printable(&step.outcome)
            );
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected 'Name: value'")?;
    if name.trim().is_empty() {
        return Err("expected a name before the colon".to_owned());
    }
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
