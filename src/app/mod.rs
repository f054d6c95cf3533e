//! The composition root: builds what the chosen roles need, starts it, and stops it without losing a request.
//!
//! Its own folder, because who owns what and who stops before whom is decided here and nowhere else: [`process`]
//! starts the parts on their [`listeners`], [`life`] is what they wait for and how they stop, [`reload`] replaces what may change while they run, [`handover`] gives the sockets to the next
//! process and [`supervisor`] says so, [`embedded`] brings a database along.

mod embedded;
mod handover;
mod jobs;
mod life;
mod listeners;
mod process;
mod reload;
mod supervisor;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Builder;

use crate::config::{Needs, Source, Watch, process_environment};
use crate::embedded::StopMode;
use crate::flags::ColdStart;
use crate::telemetry;
use embedded::start_embedded;
use handover::Inheritance;
use process::{Descent, LOCK, Process};

/// Threads of everything but the proxy, whose own are counted by `proxy.threads`.
const CONTROL_THREADS: usize = 2;
/// After the proxy, what is left gets this long to stop.
const CONTROL_STOP: Duration = Duration::from_secs(3);

/// One part of what a process can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Proxy,
    Control,
    Engine,
    Dashboard,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Proxy, Self::Control, Self::Engine, Self::Dashboard];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Control => "control",
            Self::Engine => "engine",
            Self::Dashboard => "dashboard",
        }
    }
}

/// What `ficus serve` was told on its command line.
#[derive(Clone, Debug, Default)]
pub struct Serve {
    pub config: Option<PathBuf>,
    pub roles: BTreeSet<Role>,
    pub embedded: bool,
    /// Take over from the process that runs in the same state folder.
    pub upgrade: bool,
    /// `upstream.legacy.url`.
    pub legacy: Option<String>,
    /// `proxy.listen`.
    pub listen: Option<SocketAddr>,
    pub state_dir: Option<PathBuf>,
    pub cold_start: Option<ColdStart>,
}

/// Serves until SIGTERM or SIGINT, and has answered every request by then, or says which it gave up.
pub fn serve(args: Serve) -> anyhow::Result<ExitCode> {
    let needs = Needs {
        upstream: args.roles.contains(&Role::Proxy),
        database: !args.embedded,
    };
    let source = Source::new(
        args.config.as_deref(),
        environment(&args).into_iter(),
        needs,
    );
    let read = source
        .load()
        .map_err(|faults| {
            let hint = match (&args.config, args.embedded) {
                (None, false) => "\nnext: give --config FILE; to try it without one: ficus serve --embedded --legacy URL",
                _ => "",
            };
            anyhow::anyhow!("the configuration is not good:\n{faults}{hint}")
        })?;
    let set_filter = telemetry::start_logging(&read.telemetry)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()?;
    if args.upgrade && args.embedded {
        anyhow::bail!(
            "an embedded database belongs to the process that started it: stop that one, then start without --upgrade"
        );
    }
    let mut inherited = match args.upgrade {
        true => Some(Inheritance::ask(&read.flags.state_dir)?),
        false => None,
    };
    // The predecessor's lock is the same open file: it is held until the last of both has ended.
    let lock = match inherited.as_mut().and_then(|it| it.take(LOCK)) {
        Some(lock) => File::from(lock),
        None => lock_state(&read.flags.state_dir)?,
    };

    let mut config = read.clone();
    let postgres = if args.embedded {
        Some(runtime.block_on(start_embedded(&mut config))?)
    } else {
        None
    };
    let ended = Process::start(
        &runtime,
        Watch::start(source, read)?,
        config,
        &args.roles,
        set_filter,
        Descent {
            inherited,
            lock,
            may_be_succeeded: !args.embedded,
        },
    )
    .and_then(|process| process.run(&runtime));
    if let Some(postgres) = postgres {
        runtime.block_on(postgres.stop(StopMode::Fast))?;
    }
    runtime.shutdown_timeout(CONTROL_STOP);
    ended
}

/// The command line as environment variables: it overlays the file as they do, and beats them.
fn environment(args: &Serve) -> Vec<(String, String)> {
    let mut variables: Vec<_> = process_environment().collect();
    if args.embedded && args.config.is_none() && std::io::stderr().is_terminal() {
        // Someone trying it out reads the log; before the rest, so that a variable of theirs beats it.
        variables.insert(
            0,
            ("FICUS__TELEMETRY__FORMAT".to_owned(), "text".to_owned()),
        );
    }
    let mut set = |name: &str, value: Option<String>| {
        variables.extend(value.map(|value| (name.to_owned(), value)))
    };
    set("FICUS__UPSTREAM__LEGACY__URL", args.legacy.clone());
    set(
        "FICUS__PROXY__LISTEN",
        args.listen.map(|a| format!("[\"{a}\"]")),
    );
    set(
        "FICUS__FLAGS__STATE_DIR",
        args.state_dir.as_ref().map(|d| d.display().to_string()),
    );
    let cold_start = args.cold_start.map(|c| match c {
        ColdStart::Refuse => "refuse",
        ColdStart::Legacy => "legacy",
    });
    set("FICUS__FLAGS__COLD_START", cold_start.map(str::to_owned));
    variables
}

/// Two processes in one state folder would be one instance to the fleet, and overwrite each other's files.
fn lock_state(folder: &Path) -> anyhow::Result<File> {
    crate::flags::disk::StateDir::open(folder)
        .with_context(|| format!("opening the state folder {}", folder.display()))?;
    let path = folder.join(LOCK);
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    file.try_lock().map_err(|_| {
        anyhow::anyhow!(
            "another ficus uses the state folder {}; give this one its own with --state-dir",
            folder.display()
        )
    })?;
    Ok(file)
}
