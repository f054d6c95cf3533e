//! (skeleton) Answers "which side, and why" for one request, with the very functions that route it.

use serde::{Deserialize, Serialize};

/// A request as an operator describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainRequest {
    pub method: String,
    /// A path with query, or a whole URL.
    pub url: String,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

/// The whole chain of reasons, in the order in which they are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// `legacy` or `modern`.
    pub side: String,
    /// The upstream's name.
    pub upstream: String,
    /// The decision's reason, as in the log and in the metrics.
    pub reason: String,
    pub revision: i64,
    /// One line a step: what was asked and what it answered.
    pub steps: Vec<ExplainStep>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainStep {
    /// `route`, `tenant`, `override`, `flag`, `default`.
    pub step: String,
    pub outcome: String,
    /// True for the step that decided.
    pub decided: bool,
}

/// Holds the routes, the resolvers and the flags that the proxy itself uses.
pub struct Explainer {}

impl Explainer {
    pub async fn explain(&self, _request: &ExplainRequest) -> Result<Explanation, String> {
        Err("under construction".to_owned())
    }
}
