//! A provider that takes everything and sends nothing: for the demo, for load, for trying a migration before it is one.
//!
//! Its own file, because it is the measure of what the engine costs without anybody's server.

use std::time::Duration;

use super::{Intent, Outcome, Provider};
use crate::engine::queue::Due;
use crate::engine::retry::Class;

/// Takes each message after a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sandbox {
    /// As a server takes its time. Zero: none.
    pub latency: Duration,
}

impl Provider for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    async fn send(&self, due: &Due, intent: Intent) -> Outcome {
        if intent.record("sandbox".to_owned()).await.is_err() {
            return Outcome::not_sent("withheld");
        }
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        Outcome {
            class: Class::Accepted,
            code: "sandbox".to_owned(),
            reference: Some(due.id.to_string()),
            server: None,
        }
    }
}
