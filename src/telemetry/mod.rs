//! Logs, metrics and traces: how they are set up.
//!
//! This file starts the log; what is counted stands in [`metrics`], what is recorded of single requests in [`traces`].

mod capability;
mod engine;
mod exemplars;
mod guard;
mod histogram;
mod metrics;
pub mod traces;
mod upstream;

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use capability::CapabilityMetrics;
pub use engine::EngineMetrics;
pub use guard::GuardMetrics;
pub use histogram::Histogram;
pub use metrics::Metrics;
pub use upstream::UpstreamMetrics;

/// What `[telemetry]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// A filter as `RUST_LOG` takes it, such as `info` or `ficus=debug,warn`.
    pub log: String,
    pub format: Format,
    pub access_log: AccessLog,
    pub traces: traces::Config,
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

/// Changes the log's filter while the process runs.
pub type SetFilter = Box<dyn Fn(&str) -> anyhow::Result<()> + Send + Sync>;

/// Starts logging to stderr. Once a process.
pub fn start_logging(config: &Config) -> anyhow::Result<SetFilter> {
    let (filter, handle) = tracing_subscriber::reload::Layer::new(EnvFilter::try_new(&config.log)?);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(true);
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init()?,
        Format::Text => registry
            .with(layer.with_ansi(std::env::var_os("NO_COLOR").is_none()))
            .try_init()?,
    }
    Ok(Box::new(move |text| {
        Ok(handle.reload(EnvFilter::try_new(text)?)?)
    }))
}
