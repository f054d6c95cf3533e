//! What became of one attempt to tell somebody.
//!
//! Its own file, because the vendors answer in HTTP and the mail server does not, and the plan asks the same of both.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::RETRY_AFTER;

/// Bytes of a vendor's complaint that are kept.
const MAX_FAULT: usize = 300;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    Failed {
        fault: String,
        /// The vendor said to wait for so long.
        wait: Option<Duration>,
    },
}

impl Outcome {
    pub fn failed(fault: impl std::fmt::Display) -> Self {
        let fault = fault.to_string();
        Self::Failed {
            fault: fault.chars().take(MAX_FAULT).collect(),
            wait: None,
        }
    }

    /// Reads a vendor's answer: any success is one.
    pub async fn of(answer: reqwest::Result<Response>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            // Its text has the URL, which may be a secret.
            Err(e) => return Self::failed(e.without_url()),
        };
        let status = answer.status();
        if status.is_success() {
            return Self::Delivered;
        }
        let wait = answer.headers().get(RETRY_AFTER);
        let wait = wait.and_then(|it| it.to_str().ok()?.trim().parse().ok());
        let said = answer.text().await.unwrap_or_default();
        let fault: String = format!("{}: {}", status.as_u16(), said.trim());
        Self::Failed {
            fault: fault.chars().take(MAX_FAULT).collect(),
            wait: wait.map(Duration::from_secs),
        }
    }
}
