//! `ficus message hold|release|holds`: a tenant's messages, or a campaign's, are kept back and let go.
//!
//! Its own file, because these concern no single message.

use std::process::ExitCode;

use axum::http::Method;
use clap::Args;
use serde_json::json;

use super::Client;
use super::backend::with_query;
use super::exit::Failure;
use super::message::WhyArgs;
use super::message_table as table;
use crate::control::{HoldWritten, Page, ReleaseWritten};
use crate::engine::operations::Hold;
use crate::ids::TenantRef;

const HOLDS: &str = "/api/v1/holds";

#[derive(Debug, Args)]
pub struct HoldArgs {
    /// An id or a slug
    #[arg(value_name = "T")]
    tenant: TenantRef,
    /// This campaign alone
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(i64).range(1..))]
    campaign: Option<i64>,
    #[command(flatten)]
    why: WhyArgs,
}

pub async fn list(client: &Client<'_>, tenant: Option<TenantRef>) -> Result<ExitCode, Failure> {
    let parameters = [("tenant", tenant.map(|it| it.to_string()))];
    let page: Page<Hold> = client.backend.get(&with_query(HOLDS, &parameters)).await?;
    client
        .output
        .data(&page, |page| table::holds(client.output, &page.items))?;
    Ok(ExitCode::SUCCESS)
}

pub async fn hold(client: &Client<'_>, args: HoldArgs) -> Result<ExitCode, Failure> {
    let done: HoldWritten = client
        .backend
        .call(Method::POST, HOLDS, Some(&args.body()))
        .await?;
    client.output.data(&done, table::held)?;
    Ok(ExitCode::SUCCESS)
}

pub async fn release(client: &Client<'_>, args: HoldArgs) -> Result<ExitCode, Failure> {
    let done: ReleaseWritten = client
        .backend
        .call(Method::DELETE, HOLDS, Some(&args.body()))
        .await?;
    client
        .output
        .data(&done, |done| table::released(client.output, done))?;
    Ok(ExitCode::SUCCESS)
}

impl HoldArgs {
    fn body(&self) -> serde_json::Value {
        json!({
            "tenant": self.tenant,
            "campaign": self.campaign,
            "reason": self.why.reason,
            "dry_run": self.why.dry_run,
        })
    }
}
