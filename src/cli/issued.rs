//! What `ficus token` and `ficus apikey` have in common: a text that is shown once, and its end.
//!
//! Its own file: one a noun is the rule, and these two are made and revoked alike.

use std::process::ExitCode;

use axum::http::Method;
use serde_json::{Value, json};

use super::Client;
use super::backend::encode;
use super::exit::Failure;

/// Makes one, and shows `field` of the answer: the text, which nobody can show again.
pub async fn create(
    client: &Client<'_>,
    route: &str,
    body: &Value,
    field: &str,
) -> Result<ExitCode, Failure> {
    let made: Value = client.backend.call(Method::POST, route, Some(body)).await?;
    client.output.data(&made, |made| {
        format!("{}\n", made[field].as_str().unwrap_or_default())
    })?;
    client
        .output
        .say("keep it now: it is shown this once, and stored only as a hash");
    Ok(ExitCode::SUCCESS)
}

pub async fn revoke(
    client: &Client<'_>,
    route: &str,
    name: &str,
    reason: &str,
) -> Result<ExitCode, Failure> {
    let route = format!("{route}/{}", encode(name));
    let body = json!({ "reason": reason });
    let answer: Value = client
        .backend
        .call(Method::DELETE, &route, Some(&body))
        .await?;
    client
        .output
        .data(&answer, |answer| match answer["changed"].as_u64() {
            Some(0) => "no change: it was revoked already\n".to_owned(),
            _ => "revoked\n".to_owned(),
        })?;
    Ok(ExitCode::SUCCESS)
}
