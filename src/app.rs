//! The composition root: builds what the chosen roles need, starts it, and stops it without losing a request.
//!
//! Its own file, because who owns what and who stops before whom is decided here and nowhere else.

use std::collections::BTreeSet;
use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::Router;
use sqlx::PgPool;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Needs, Source, Watch, needs_restart, process_environment};
use crate::embedded::{Options, Postgres, StopMode};
use crate::flags::store::Instance;
use crate::flags::sync::Sync;
use crate::flags::{ColdStart, Flags, Origin};
use crate::identity::{Chain, store::session_lookup};
use crate::proxy::access_log::AccessLog;
use crate::proxy::edge::Edge;
use crate::proxy::explain::Explainer;
use crate::proxy::gateway::Gateway;
use crate::proxy::upstream::RESOLVE_EVERY;
use crate::rollout::{self, Author, Source as ChangeSource, Terms};
use crate::secret::Secret;
use crate::telemetry::{self, Metrics, SetFilter};
use crate::{control, dashboard, db, engine, proxy};

/// Threads of everything but the proxy, whose own are counted by `proxy.threads`.
const CONTROL_THREADS: usize = 2;
/// The flags' own connections: one listens, one asks, one spare for an acknowledgement.
const SYNC_POOL: u32 = 3;
/// A whole load of a million tenants, on a slow day.
const SYNC_STATEMENT: Duration = Duration::from_secs(60);
/// After the proxy, what is left gets this long to stop.
const CONTROL_STOP: Duration = Duration::from_secs(3);
/// Between two looks whether the proxy takes connections.
const LOOK_FOR_PROXY: Duration = Duration::from_millis(5);
/// The database that `--embedded` makes.
const EMBEDDED_DATABASE: &str = "ficus";

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
        .map_err(|faults| anyhow::anyhow!("the configuration is not good:\n{faults}"))?;
    let set_filter = telemetry::start_logging(&read.telemetry)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()?;
    let _lock = lock_state(&read.flags.state_dir)?;

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
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    file.try_lock().map_err(|_| {
        anyhow::anyhow!(
            "another ficus uses the state folder {}; give this one its own with --state-dir",
            folder.display()
        )
    })?;
    Ok(file)
}

/// Starts the private PostgreSQL, brings its schema up to date, and tells a newcomer what to type.
async fn start_embedded(config: &mut Config) -> anyhow::Result<Postgres> {
    let postgres =
        Postgres::start(&config.flags.state_dir.join("postgres"), Options::default()).await?;
    postgres.create_database(EMBEDDED_DATABASE).await?;
    let url = postgres.url(EMBEDDED_DATABASE);
    db::migrate(&url).await?;
    config.database.url = Secret::new(&url);
    let pool = db::connect(&url, &config.database).await?;
    welcome(config, &pool, &url).await?;
    Ok(postgres)
}

/// Prints the first token, once: it is stored hashed, and nobody can print it again.
async fn welcome(config: &Config, pool: &PgPool, url: &str) -> anyhow::Result<()> {
    let (listen, admin) = (config.proxy.listen.first().copied(), config.control.listen);
    if let Some(listen) = listen {
        eprintln!("ficus: in front of the legacy application at http://{listen}");
    }
    eprintln!("ficus: admin API at http://{admin}, PostgreSQL at {url}");
    if rollout::list_tokens(pool).await?.is_empty() {
        let author = Author {
            actor: "ficus serve --embedded".to_owned(),
            source: ChangeSource::Config,
            reason: Some("first start".to_owned()),
        };
        let token = rollout::create_token(pool, &author, "first", rollout::Role::Admin).await?;
        eprintln!(
            "ficus: the first token, shown this once:\n\n    export FICUS_URL=http://{admin} FICUS_TOKEN={token}\n"
        );
    }
    if config.proxy.capabilities.is_empty() {
        eprintln!(
            "ficus: every request goes to legacy. Next: name the new service, a capability and its routes in a file, such as\n\n    \
             [upstream.modern]\n    url = \"http://127.0.0.1:3000\"\n\n    [capability.dashboard]\n    modern = \"modern\"\n\n    \
             [[route]]\n    path = \"/dashboard/{{*rest}}\"\n    capability = \"dashboard\"\n\n    \
             [[tenant]]\n    resolver = \"host\"\n    pattern = \"{{tenant}}.example.com\"\n\n\
             start with --config FILE beside --embedded, and then\n\n    \
             ficus tenant set 2 --class low --reason \"first tenant\"\n    ficus flag set 2 dashboard modern --reason \"try it\"\n    \
             ficus rollback --tenant 2 --reason \"seen enough\"\n"
        );
    }
    Ok(())
}

/// Everything that runs in this process, and what stops it.
struct Process {
    config: Config,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
    proxy: Option<proxy::Running>,
}

impl Process {
    fn start(
        runtime: &Runtime,
        watch: Watch,
        config: Config,
        roles: &BTreeSet<Role>,
        set_filter: SetFilter,
    ) -> anyhow::Result<Self> {
        let name = config
            .instance
            .clone()
            .unwrap_or_else(|| default_name(&config, roles));
        let (flags, origin) = Flags::open(&config.flags, &name)?;
        match origin {
            Origin::Nowhere => tracing::info!(
                instance = name,
                "starting without control state: not ready until the database answers"
            ),
            _ => {
                tracing::info!(instance = name, origin = ?origin, revision = flags.revision().0, "starting from the control state on disk")
            }
        }
        let metrics = Arc::new(Metrics::new());
        metrics.revision.set(flags.revision().0);
        let builder = EdgeBuilder {
            runtime: runtime.handle().clone(),
            metrics: Arc::clone(&metrics),
        };
        let edge = Arc::new(ArcSwap::from_pointee(builder.build(&config)?));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let _entered = runtime.enter();

        let proxy = if roles.contains(&Role::Proxy) {
            let gateway = Gateway::new(
                Arc::clone(&edge),
                flags.clone(),
                Arc::clone(&metrics),
                AccessLog::start(
                    &config.telemetry.access_log,
                    metrics.log_lines_dropped.clone(),
                )?,
            );
            check_ports(&config.proxy.listen)?;
            Some(proxy::server(&config.proxy, gateway))
        } else {
            None
        };

        let mut own = config.database.clone();
        (own.pool, own.statement_timeout) = (SYNC_POOL, SYNC_STATEMENT);
        let sync = Sync {
            flags: flags.clone(),
            config: config.flags.clone(),
            pool: db::connect_lazily(config.database.url.reveal(), &own)?,
            instance: Instance {
                id: crate::flags::disk::StateDir::open(&config.flags.state_dir)?.instance_id()?,
                name,
                roles: roles.iter().map(|r| r.as_str().to_owned()).collect(),
                listen: config
                    .proxy
                    .listen
                    .iter()
                    .filter(|_| roles.contains(&Role::Proxy))
                    .map(SocketAddr::to_string)
                    .collect(),
            },
            metrics: Arc::clone(&metrics),
        };
        tasks.spawn(sync.run(stop.clone()));
        tasks.spawn(resolve_names(Arc::clone(&edge), stop.clone()));

        let explainer = Arc::new(Explainer {
            edge: Arc::clone(&edge),
            flags: flags.clone(),
        });
        let pool = db::connect_lazily(config.database.url.reveal(), &config.database)?;
        let admin = control::State::new(
            pool.clone(),
            flags.clone(),
            Some(Arc::clone(&explainer)),
            Arc::clone(&metrics),
        );
        let admin = if roles.contains(&Role::Control) {
            control::router(admin)
        } else {
            control::probe_router(admin)
        };
        serve_tcp(
            runtime,
            &tasks,
            &stop,
            "control.listen",
            config.control.listen,
            admin,
            until_listening(match roles.contains(&Role::Proxy) {
                true => config.proxy.listen.clone(),
                false => Vec::new(),
            }),
        )?;
        if roles.contains(&Role::Proxy) {
            let socket = config
                .control
                .socket
                .clone()
                .unwrap_or_else(|| config.flags.state_dir.join("ficus.sock"));
            let listener = bind_private(&socket)
                .with_context(|| format!("binding the break-glass socket {}", socket.display()))?;
            let router = control::local_router(flags, Some(explainer));
            tasks.spawn(report(
                "the break-glass socket",
                axum::serve(listener, router)
                    .with_graceful_shutdown(stop.clone().cancelled_owned())
                    .into_future(),
            ));
        }
        if roles.contains(&Role::Dashboard) || roles.contains(&Role::Engine) {
            let legacy = match config.database.legacy_url.is_empty() {
                true => pool.clone(),
                false => db::connect_lazily(config.database.legacy_url.reveal(), &config.database)?,
            };
            if roles.contains(&Role::Dashboard) {
                serve_tcp(
                    runtime,
                    &tasks,
                    &stop,
                    "dashboard.listen",
                    config.dashboard.listen,
                    dashboard::router(legacy.clone()),
                    std::future::ready(()),
                )?;
            }
            if roles.contains(&Role::Engine) {
                serve_tcp(
                    runtime,
                    &tasks,
                    &stop,
                    "engine.listen",
                    config.engine.listen,
                    engine::router(pool.clone(), legacy),
                    std::future::ready(()),
                )?;
            }
        }
        if roles.contains(&Role::Control) {
            tasks.spawn(register_capabilities(
                pool,
                config.proxy.clone(),
                stop.clone(),
            ));
        }
        tasks.spawn(reload(
            watch,
            config.clone(),
            builder,
            edge,
            set_filter,
            stop.clone(),
        ));
        Ok(Self {
            config,
            metrics,
            tasks,
            stop,
            proxy,
        })
    }

    /// Runs until a signal. First the proxy takes no more connections and answers what it has; then the rest stops.
    fn run(mut self, runtime: &Runtime) -> anyhow::Result<ExitCode> {
        let (close, ended) = (CancellationToken::new(), CancellationToken::new());
        if let Some(proxy) = self.proxy.take() {
            let (close, ended) = (close.clone(), ended.clone().drop_guard());
            std::thread::Builder::new()
                .name("proxy".to_owned())
                .spawn(move || {
                    proxy.run(close);
                    drop(ended);
                })?;
        }
        runtime.block_on(async {
            let (mut term, mut int) = (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
            );
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
                () = ended.cancelled() => anyhow::bail!("the proxy ended by itself"),
            }
            tracing::info!("stopping: no new connections; waiting for the requests in flight");
            close.cancel();
            let left = tokio::select! {
                left = self.drain() => left,
                // A second signal means now.
                _ = term.recv() => self.metrics.in_flight.get(),
                _ = int.recv() => self.metrics.in_flight.get(),
            };
            if left > 0 {
                tracing::warn!(requests = left, "gave up waiting for requests in flight");
            }
            self.stop.cancel();
            self.tasks.close();
            if timeout(CONTROL_STOP, self.tasks.wait()).await.is_err() {
                tracing::warn!("some tasks did not stop in {CONTROL_STOP:?}");
            }
            tracing::info!("stopped");
            Ok(if left > 0 {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            })
        })
    }

    /// Waits until no request has been in flight for a moment, at most `proxy.drain`. Answers how many are left.
    async fn drain(&self) -> i64 {
        let deadline = Instant::now() + self.config.proxy.drain;
        // An answer is counted as done when its last byte is handed to the kernel, and a request as begun when its
        // head is read: a few quiet looks in a row cover what lies between.
        let mut look = interval(Duration::from_millis(20));
        let mut quiet = 0;
        while quiet < 5 {
            look.tick().await;
            let left = self.metrics.in_flight.get();
            quiet = if left == 0 { quiet + 1 } else { 0 };
            if Instant::now() >= deadline {
                return left;
            }
        }
        0
    }
}

/// Host name and first port, as an operator would point at it.
fn default_name(config: &Config, roles: &BTreeSet<Role>) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "ficus",
        host => host,
    };
    let listen = if roles.contains(&Role::Proxy) {
        config.proxy.listen.first()
    } else {
        None
    };
    format!("{host}:{}", listen.unwrap_or(&config.control.listen).port())
}

/// pingora ends the process when a port is taken; asked first, we can say which and why.
fn check_ports(listen: &[SocketAddr]) -> anyhow::Result<()> {
    for address in listen {
        std::net::TcpListener::bind(address)
            .with_context(|| format!("proxy.listen: cannot listen on {address}"))?;
    }
    Ok(())
}

/// Binds at once, and answers when `gate` opens; who connects before that waits.
fn serve_tcp(
    runtime: &Runtime,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    key: &'static str,
    listen: SocketAddr,
    router: Router,
    gate: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = runtime
        .block_on(TcpListener::bind(listen))
        .with_context(|| format!("{key}: cannot listen on {listen}"))?;
    let stop = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = gate => {}
            () = stop.cancelled() => return,
        }
        let server = axum::serve(listener, router);
        report(
            key,
            server
                .with_graceful_shutdown(stop.cancelled_owned())
                .into_future(),
        )
        .await;
    });
    Ok(())
}

/// Waits until the proxy takes connections: before that, nobody may be told that this process is ready. pingora
/// binds its ports on a thread of its own and tells nobody.
async fn until_listening(addresses: Vec<SocketAddr>) {
    // Port 0 is for the kernel to choose, and nobody is told which it chose.
    for address in addresses.into_iter().filter(|a| a.port() != 0) {
        while TcpStream::connect(address).await.is_err() {
            sleep(LOOK_FOR_PROXY).await;
        }
    }
}

async fn report(what: &'static str, server: impl Future<Output = std::io::Result<()>>) {
    if let Err(e) = server.await {
        tracing::error!(error = %e, "{what} ended");
    }
}

/// A socket that only this user can open, from its first moment: it is made under another name and moved into place.
/// What a process that died left behind is replaced; the state folder's lock says that nobody uses it.
fn bind_private(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    if fresh.exists() {
        std::fs::remove_file(&fresh)?;
    }
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

/// Builds an [`Edge`] from a configuration; used at the start and at each reload.
struct EdgeBuilder {
    runtime: Handle,
    metrics: Arc<Metrics>,
}

impl EdgeBuilder {
    fn build(&self, config: &Config) -> anyhow::Result<Edge> {
        let lookup = |session: &_| session_lookup(session, &config.database.url, &self.runtime);
        let chain = Chain::new(&config.tenant, &self.runtime, lookup)?;
        Ok(Edge::build(&config.proxy, chain, &self.metrics)?)
    }
}

/// Applies each good change of the configuration. Bound: one at a time.
async fn reload(
    mut watch: Watch,
    mut in_force: Config,
    builder: EdgeBuilder,
    edge: Arc<ArcSwap<Edge>>,
    set_filter: SetFilter,
    stop: CancellationToken,
) {
    loop {
        let read = tokio::select! {
            read = watch.next() => read,
            () = stop.cancelled() => return,
        };
        let refused = |problem: String| {
            builder.metrics.config_refused.inc();
            tracing::error!(
                "the changed configuration is refused, the last good one stays:\n{problem}"
            );
        };
        let mut config = match read {
            Ok(config) => config,
            Err(faults) => {
                refused(faults.to_string());
                continue;
            }
        };
        if config.database.url.is_empty() {
            // Embedded: the address is ours, not the file's.
            config.database.url = in_force.database.url.clone();
        }
        let fresh = match builder.build(&config) {
            Ok(fresh) => fresh,
            Err(e) => {
                refused(format!("{e:#}"));
                continue;
            }
        };
        resolve_all(&fresh).await;
        if let Err(e) = set_filter(&config.telemetry.log) {
            tracing::error!(error = %e, "telemetry.log is not applied");
        }
        for key in needs_restart(&in_force, &config) {
            tracing::warn!(key, "this change takes effect at the next start");
        }
        edge.store(Arc::new(fresh));
        builder.metrics.config_reloads.inc();
        tracing::info!("the changed configuration is in force");
        in_force = config;
    }
}

/// Keeps the addresses of named upstreams current, off the request path.
async fn resolve_names(edge: Arc<ArcSwap<Edge>>, stop: CancellationToken) {
    let mut every = interval(RESOLVE_EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => resolve_all(&edge.load_full()).await,
            () = stop.cancelled() => return,
        }
    }
}

async fn resolve_all(edge: &Edge) {
    for upstream in edge.upstreams.iter().filter(|u| u.is_named()) {
        if let Err(problem) = upstream.resolve().await {
            tracing::warn!(
                upstream = upstream.name,
                host = upstream.config.host,
                problem,
                "the upstream's name does not resolve; its last address stays"
            );
        }
    }
}

/// Tells the database of the configured capabilities, so that flags can name them. Tries until it is done.
async fn register_capabilities(pool: PgPool, config: proxy::Config, stop: CancellationToken) {
    let wanted: Vec<_> = config
        .capabilities
        .iter()
        .map(|(name, c)| (name.clone(), c.effect))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let terms = Terms::of(Author {
        actor: "ficus serve".to_owned(),
        source: ChangeSource::Config,
        reason: Some("registered from the configuration".to_owned()),
    });
    let mut retry = interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            _ = retry.tick() => {}
            () = stop.cancelled() => return,
        }
        match rollout::register_capabilities(&pool, &terms, &wanted).await {
            Ok(_) => return,
            Err(e) => tracing::warn!(error = %e, "the capabilities are not registered yet"),
        }
    }
}
