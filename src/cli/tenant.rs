//! `ficus tenant`: list, show, set, import, sync.
//!
//! Its own file: one a noun.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::json;

use super::backend::{encode, with_query};
use super::exit::Failure;
use super::output::or_dash;
use super::write::{WriteArgs, tell};
use super::{Client, tenant_file};
use crate::control::{Page, Written};
use crate::ids::TenantRef;
use crate::rollout::{Class, Tenant};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List tenants by id
    #[command(
        after_help = "Examples:\n  ficus tenant list\n  ficus tenant list --after 1200 --limit 1000"
    )]
    List(ListArgs),
    /// Show one tenant
    #[command(after_help = "Examples:\n  ficus tenant show 2\n  ficus tenant show acme")]
    Show {
        /// An id or a slug
        tenant: TenantRef,
    },
    /// Set a tenant's class, slug or name; makes the tenant if an id is given that is unknown
    #[command(
        after_help = "Example:\n  ficus tenant set acme --class internal --reason 'our own account'"
    )]
    Set(SetArgs),
    /// Import tenants from a CSV file with the header id,slug,name,class; all or nothing
    #[command(after_help = "Examples:
  ficus tenant import tenants.csv --dry-run
  ficus tenant import tenants.csv --reason 'first import'

An empty slug, name or class keeps what is there; a new tenant without a class is low.")]
    Import {
        file: PathBuf,
        #[command(flatten)]
        how: WriteArgs,
    },
    /// Take the classes over from legacy's own records of volume; what was set by hand stays
    #[command(after_help = "Examples:
  ficus tenant sync --dry-run
  ficus tenant sync --reason 'before the waves'

The query is rollout.volume_query: below 1,000 sends a day a tenant is low, up to 10,000 medium, above high.")]
    Sync {
        #[command(flatten)]
        how: WriteArgs,
    },
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Begin after this id
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// Tenants at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// An id or a slug
    tenant: TenantRef,
    /// Its size; set by hand, it is not recomputed from volume
    #[arg(long, value_enum, required_unless_present_any = ["slug", "name"])]
    class: Option<Class>,
    /// Another name for the id
    #[arg(long)]
    slug: Option<String>,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    how: WriteArgs,
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(args) => list(client, args).await,
        Command::Show { tenant } => show(client, &tenant).await,
        Command::Set(args) => set(client, args).await,
        Command::Import { file, how } => import(client, file, how).await,
        Command::Sync { how } => {
            let body = how.body(json!({}));
            let route = "/api/v1/tenants/sync";
            let written: Written = client
                .backend
                .call(Method::POST, route, Some(&body))
                .await?;
            tell(client, &written, None)
        }
    }
}

async fn list(client: &Client<'_>, args: ListArgs) -> Result<ExitCode, Failure> {
    let parameters = [
        ("after", args.after.map(|id| id.to_string())),
        ("limit", Some(args.limit.to_string())),
    ];
    let page: Page<Tenant> = client
        .backend
        .get(&with_query("/api/v1/tenants", &parameters))
        .await?;
    client.output.data(&page, |page| {
        client.output.table(
            &["ID", "SLUG", "NAME", "CLASS"],
            &page.items.iter().map(row).collect::<Vec<_>>(),
        )
    })?;
    if let Some(next) = &page.next {
        client
            .output
            .say(&format!("there may be more: --after {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(tenant: &Tenant) -> Vec<String> {
    let pinned = if tenant.class_pinned {
        " (set by hand)"
    } else {
        ""
    };
    let class = format!("{}{pinned}", tenant.class);
    vec![
        tenant.id.to_string(),
        or_dash(tenant.slug.as_ref()),
        tenant.name.clone(),
        class,
    ]
}

async fn show(client: &Client<'_>, tenant: &TenantRef) -> Result<ExitCode, Failure> {
    let tenant: Tenant = client
        .backend
        .get(&format!("/api/v1/tenants/{tenant}"))
        .await?;
    client.output.data(&tenant, |tenant| {
        client
            .output
            .table(&["ID", "SLUG", "NAME", "CLASS"], &[row(tenant)])
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn set(client: &Client<'_>, args: SetArgs) -> Result<ExitCode, Failure> {
    let body = args
        .how
        .body(json!({ "class": args.class, "slug": args.slug, "name": args.name }));
    let route = format!("/api/v1/tenants/{}", encode(&args.tenant.to_string()));
    let written: Written = client
        .backend
        .call(Method::PUT, &route, Some(&body))
        .await?;
    tell(client, &written, None)
}

async fn import(client: &Client<'_>, file: PathBuf, how: WriteArgs) -> Result<ExitCode, Failure> {
    let text =
        std::fs::read(&file).with_context(|| format!("could not read {}", file.display()))?;
    let tenants = match tenant_file::parse(&text) {
        Ok(tenants) => tenants,
        Err(faults) => {
            for fault in &faults {
                client.output.say(&format!(
                    "{}:{}: {}",
                    file.display(),
                    fault.line,
                    fault.fault
                ));
            }
            let lines = if faults.len() == 1 {
                "1 fault".to_owned()
            } else {
                format!("{} faults", faults.len())
            };
            return Err(
                anyhow::anyhow!("{} has {lines}; nothing was imported", file.display()).into(),
            );
        }
    };
    let body = how.body(json!({ "tenants": tenants }));
    let written: Written = client
        .backend
        .call(Method::POST, "/api/v1/tenants/import", Some(&body))
        .await?;
    tell(client, &written, None)
}
