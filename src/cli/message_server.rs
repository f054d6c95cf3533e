//! `ficus message server set|show|unset|list`: a tenant's own mail server, stored with us in place of legacy's row.
//!
//! Its own file, because it reads a password, which never stands in an argument: others see those.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Client;
use super::backend::with_query;
use super::exit::{FAILED, Failure};
use super::message::WhyArgs;
use super::message_table::shown;
use super::output::{Output, or_dash, printable};
use crate::control::{MailServerWritten, Page};
use crate::engine::operations::MailServer;
use crate::ids::TenantRef;

const ROUTE: &str = "/api/v1/mail-servers";
/// Bytes of a password's file.
const LONGEST: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Store a tenant's server, in place of the one that it had here
    #[command(after_help = "Examples:
  ficus message server set acme --host mail.acme.example --port 587 --encryption tls --username acme --password-file acme.pw --reason 'their own relay'
  pass acme/smtp | ficus message server set acme --host mail.acme.example --port 465 --encryption ssl --username acme --password-file - --reason 'INC-42'

The password is sealed with engine.sealing_keys before it is stored. Mails go through the server within 5 s.")]
    Set(SetArgs),
    /// Show a tenant's server, without its password
    #[command(after_help = "Example:\n  ficus message server show acme")]
    Show {
        /// An id or a slug
        #[arg(value_name = "T")]
        tenant: TenantRef,
    },
    /// List the servers that are stored here, without their passwords
    #[command(after_help = "Example:\n  ficus message server list")]
    List,
    /// Take a tenant's server away: legacy's row counts again
    #[command(after_help = "Example:\n  ficus message server unset acme --reason 'back to legacy'")]
    Unset {
        /// An id or a slug
        #[arg(value_name = "T")]
        tenant: TenantRef,
        #[command(flatten)]
        why: WhyArgs,
    },
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// An id or a slug
    #[arg(value_name = "T")]
    tenant: TenantRef,
    #[arg(long, value_name = "HOST")]
    host: String,
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// tls: STARTTLS; ssl: TLS from the first byte [default: none]
    #[arg(long, value_enum)]
    encryption: Option<EncryptionArg>,
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// A file with the password in its first line; "-": standard input
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    why: WhyArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EncryptionArg {
    Tls,
    Ssl,
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Set(args) => set(client, args).await,
        Command::Show { tenant } => {
            let parameters = [("tenant", Some(tenant.to_string()))];
            let page: Page<MailServer> =
                client.backend.get(&with_query(ROUTE, &parameters)).await?;
            let Some(server) = page.items.first() else {
                client
                    .output
                    .say("the tenant has no server here: legacy's row counts");
                return Ok(ExitCode::from(FAILED));
            };
            client
                .output
                .data(server, |it| table(client.output, std::slice::from_ref(it)))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::List => {
            let page: Page<MailServer> = client.backend.get(ROUTE).await?;
            client
                .output
                .data(&page, |page| table(client.output, &page.items))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Unset { tenant, why } => {
            let body = json!({ "tenant": tenant, "reason": why.reason, "dry_run": why.dry_run });
            write(client, Method::DELETE, &body).await
        }
    }
}

async fn set(client: &Client<'_>, args: SetArgs) -> Result<ExitCode, Failure> {
    let password = args.password_file.as_ref().map(password).transpose()?;
    let encryption = args.encryption.and_then(|it| it.to_possible_value());
    let body = json!({
        "tenant": args.tenant,
        "host": args.host,
        "port": args.port,
        "username": args.username,
        "password": password,
        "encryption": encryption.map(|it| it.get_name().to_owned()),
        "reason": args.why.reason,
        "dry_run": args.why.dry_run,
    });
    write(client, Method::PUT, &body).await
}

async fn write(
    client: &Client<'_>,
    method: Method,
    body: &serde_json::Value,
) -> Result<ExitCode, Failure> {
    let done: MailServerWritten = client.backend.call(method, ROUTE, Some(body)).await?;
    client.output.data(&done, told)?;
    Ok(ExitCode::SUCCESS)
}

/// The first line, without its end: what editors add is no part of a password.
fn password(path: &PathBuf) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().take(LONGEST).read_to_string(&mut text),
        false => {
            std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        }
    };
    read.map_err(|fault| {
        Failure::Other(anyhow::anyhow!(
            "could not read the password from {}: {fault}",
            path.display()
        ))
    })?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::Usage("the password's file is empty".to_owned())),
    }
}

fn told(done: &MailServerWritten) -> String {
    let tenant = done.tenant_id;
    let state = match &done.server {
        Some(server) => format!("{}:{}", printable(&server.host), server.port),
        None => "legacy's row counts".to_owned(),
    };
    match (done.changed, done.dry_run) {
        (true, false) => format!("tenant {tenant}: {state}\n"),
        (true, true) => format!("dry run: tenant {tenant}: {state}, nothing was changed\n"),
        (false, _) => format!("no change: tenant {tenant} had no server here\n"),
    }
}

fn table(output: &Output, servers: &[MailServer]) -> String {
    let row = |it: &MailServer| {
        vec![
            it.tenant_id.to_string(),
            format!("{}:{}", it.host, it.port),
            or_dash(it.encryption.as_ref()),
            or_dash(it.username.as_ref()),
            or_dash(it.key.as_ref()),
            shown(it.changed_at),
        ]
    };
    let titles = [
        "TENANT",
        "SERVER",
        "ENCRYPTION",
        "USERNAME",
        "SEALED BY",
        "CHANGED (UTC)",
    ];
    output.table(&titles, &servers.iter().map(row).collect::<Vec<_>>())
}
