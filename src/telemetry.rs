//! (skeleton) The telemetry's configuration; the rest is under construction.

use std::path::PathBuf;

/// What `[telemetry]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// A filter as `RUST_LOG` takes it, such as `info` or `ficus=debug,warn`.
    pub log: String,
    pub format: Format,
    pub access_log: AccessLog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Text,
}

/// Where the one line a request goes.
#[derive(Clone, Debug, PartialEq)]
pub enum AccessLog {
    Stdout,
    File(PathBuf),
    Off,
}

/// Every metric of the process, as handles that are resolved before they are needed.
pub struct Metrics {}

impl Metrics {
    /// OpenMetrics text.
    pub fn encode(&self) -> String {
        String::new()
    }
}
