//! The arguments of the commands that run a process: serve, check, demo.
//!
//! Its own file, because `app` reads these structs and nothing else of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::app::{Role, Serve};
use crate::flags::ColdStart;

#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:
  ficus serve --embedded --legacy http://127.0.0.1:8000
  ficus serve --config /etc/ficus/ficus.toml
  ficus serve --config ficus.toml --roles proxy,control

Signals:
  TERM, INT  stop: answer what has begun, at most for proxy.drain; again: now
  QUIT       start the binary that now stands at the same path, and hand over to it")]
pub struct ServeArgs {
    /// Overlays the built-in configuration; watched, and reloaded when it changes
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What this process does [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROLES")]
    pub roles: Vec<ProcessRole>,
    /// Start a private PostgreSQL in the state folder
    #[arg(long)]
    pub embedded: bool,
    /// Take over from the ficus that runs in the same state folder: no connection is refused, no request cut off
    #[arg(long)]
    pub upgrade: bool,
    /// The legacy application
    #[arg(long, value_name = "URL")]
    pub legacy: Option<String>,
    /// Where the proxy listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Snapshots, the break-glass socket and the embedded database [default: .ficus]
    #[arg(long, value_name = "FOLDER")]
    pub state_dir: Option<PathBuf>,
    /// What to do with requests while there is no control state anywhere
    #[arg(long, value_enum, value_name = "WHAT")]
    pub cold_start: Option<ColdStartArg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProcessRole {
    Proxy,
    Control,
    Engine,
    Dashboard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColdStartArg {
    /// Answer 503 until there is one
    Refuse,
    /// Send everything to legacy
    Legacy,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an address with a port, such as 0.0.0.0:8080".to_owned())
}

impl From<ServeArgs> for Serve {
    fn from(args: ServeArgs) -> Self {
        let role = |role: &ProcessRole| match role {
            ProcessRole::Proxy => Role::Proxy,
            ProcessRole::Control => Role::Control,
            ProcessRole::Engine => Role::Engine,
            ProcessRole::Dashboard => Role::Dashboard,
        };
        let roles = if args.roles.is_empty() {
            Role::ALL.into()
        } else {
            args.roles.iter().map(role).collect()
        };
        Self {
            config: args.config,
            roles,
            embedded: args.embedded,
            upgrade: args.upgrade,
            legacy: args.legacy,
            listen: args.listen,
            state_dir: args.state_dir,
            cold_start: args.cold_start.map(|what| match what {
                ColdStartArg::Refuse => ColdStart::Refuse,
                ColdStartArg::Legacy => ColdStart::Legacy,
            }),
        }
    }
}

#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:
  ficus check --config /etc/ficus/ficus.toml
  ficus check --config ficus.toml --embedded --legacy http://127.0.0.1:8000")]
pub struct CheckArgs {
    /// Overlays the built-in configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The file is for `serve --embedded`, which brings its own database
    #[arg(long)]
    pub embedded: bool,
    /// The legacy application, as `serve` would be told
    #[arg(long, value_name = "URL")]
    pub legacy: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Example:\n  ficus demo --check")]
pub struct DemoArgs {
    /// Verify every step, then exit with 0 or 1
    #[arg(long)]
    pub check: bool,
}

/// 0 when every step of the story was as it should be, otherwise 1.
pub fn demo(args: DemoArgs) -> Result<ExitCode, super::exit::Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)?;
    let held = runtime.block_on(crate::demo::run(args.check))?;
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
