//! (skeleton) The whole configuration, checked; the reading is under construction.

/// Everything that a process is told, checked as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub proxy: crate::proxy::Config,
    pub tenant: Vec<crate::identity::Resolver>,
    pub flags: crate::flags::Config,
    pub control: crate::control::Config,
    pub database: crate::db::Config,
    pub dashboard: crate::dashboard::Config,
    pub engine: crate::engine::Config,
    pub telemetry: crate::telemetry::Config,
    /// The instance's name in `ficus status`. Default: host name and first port.
    pub instance: Option<String>,
}
