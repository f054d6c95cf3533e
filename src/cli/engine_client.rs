//! How `ficus message send` reaches the engine: its own API, on its own listener.
//!
//! Its own file, because the admin API accepts no messages: it does not stand in their way, and knows neither quotas nor keys.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::backend::{Fault, client, root_cause, send};
use super::exit::Failure;
use crate::control::Problem;
use crate::engine::TENANT_HEADER;
use crate::ids::TenantId;

/// The engine, which listens where only the proxy and operators reach it.
pub struct EngineClient {
    http: reqwest::Client,
    url: String,
}

/// What the engine's problem documents have, which have no code.
#[derive(Deserialize)]
struct Refusal {
    detail: String,
}

impl EngineClient {
    pub fn new(url: &str) -> Result<Self, Failure> {
        let http = client().build().map_err(anyhow::Error::from)?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { http, url })
    }

    /// Hands messages in, for a tenant.
    pub async fn hand_in<T: DeserializeOwned>(
        &self,
        tenant: TenantId,
        messages: &Value,
    ) -> Result<T, Failure> {
        let request = self.http.post(format!("{}/api/v1/messages", self.url));
        let request = request.header(TENANT_HEADER, tenant.0);
        let sent = send(request, Some(messages)).await;
        sent.map_err(|fault| match fault {
            Fault::Refused(problem) => Failure::Refused(told(problem)),
            Fault::Http(error) => Failure::Unreachable {
                what: format!(
                    "the engine at {} does not answer: {}",
                    self.url,
                    root_cause(&error)
                ),
                hint: "--engine names where `[engine] listen` is reached".to_owned(),
            },
        })
    }
}

/// An answer that is none of the admin API's is quoted in what is known of it.
fn told(problem: Problem) -> Problem {
    let quoted = problem.detail.find('{').map(|at| &problem.detail[at..]);
    let refusal = quoted.and_then(|text| serde_json::from_str::<Refusal>(text).ok());
    match (refusal, axum::http::StatusCode::from_u16(problem.status)) {
        (Some(refusal), Ok(status)) => Problem::new(status, "engine", refusal.detail),
        _ => problem,
    }
}
