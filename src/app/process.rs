//! Everything that runs in one process: started in order, stopped in the other.
//!
//! Its own file, because this order is what makes a stop lose nothing.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reload::{EdgeBuilder, reload, resolve_names, tend_database, wanted};
use super::{CONTROL_STOP, Role};
use crate::config::{Config, Watch};
use crate::flags::store::Instance;
use crate::flags::sync::Sync;
use crate::flags::{Flags, Origin};
use crate::identity::jwt::Keyrings;
use crate::proxy::access_log::AccessLog;
use crate::proxy::door::Door;
use crate::proxy::explain::Explainer;
use crate::proxy::gateway::Gateway;
use crate::proxy::limits::Limiter;
use crate::telemetry::{AccessLog as AccessLogConfig, Metrics, SetFilter};
use crate::{control, dashboard, db, engine};

/// The flags' own connections: one listens, one asks, one spare for an acknowledgement.
const SYNC_POOL: u32 = 3;
/// A whole load of a million tenants, on a slow day.
const SYNC_STATEMENT: Duration = Duration::from_secs(60);
/// For the access log's last lines to reach a slow disk.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Everything that runs in this process, and what stops it.
pub(super) struct Process {
    config: Config,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
    door: Option<Door>,
    access_log: AccessLog,
}

impl Process {
    pub(super) fn start(
        runtime: &Runtime,
        changes: Watch,
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
            keyrings: Keyrings::default(),
            limiter: Arc::new(Limiter::new(
                &config.proxy.rate_limit,
                metrics.rate_limits_forgotten.clone(),
            )),
        };
        let edge = Arc::new(ArcSwap::from_pointee(builder.build(&config)?));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let _entered = runtime.enter();

        let access_log = match roles.contains(&Role::Proxy) {
            true => config.telemetry.access_log.clone(),
            false => AccessLogConfig::Off,
        };
        let access_log = AccessLog::start(&access_log, metrics.log_lines_dropped.clone())?;
        let door = if roles.contains(&Role::Proxy) {
            let gateway = Gateway::new(
                Arc::clone(&edge),
                flags.clone(),
                Arc::clone(&metrics),
                access_log.clone(),
            );
            Some(Door::bind(&config.proxy, gateway)?)
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
                started: std::time::Instant::now(),
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
                )?;
            }
        }
        let (capabilities, seen) = watch::channel(wanted(&config));
        if roles.contains(&Role::Control) {
            tasks.spawn(tend_database(pool, seen, stop.clone()));
        }
        tasks.spawn(reload(
            changes,
            config.clone(),
            builder,
            edge,
            capabilities,
            set_filter,
            stop.clone(),
        ));
        Ok(Self {
            config,
            metrics,
            tasks,
            stop,
            door,
            access_log,
        })
    }

    /// Runs until a signal. First the proxy takes no more connections and answers what it has; then the rest stops.
    pub(super) fn run(mut self, runtime: &Runtime) -> anyhow::Result<ExitCode> {
        let (close, ended) = (CancellationToken::new(), CancellationToken::new());
        let has_door = self.door.is_some();
        if let Some(door) = self.door.take() {
            let (close, ended) = (close.clone(), ended.clone().drop_guard());
            std::thread::Builder::new()
                .name("proxy".to_owned())
                .spawn(move || {
                    if let Err(e) = door.run(close) {
                        tracing::error!(error = %e, "the proxy cannot run");
                    }
                    drop(ended);
                })?;
        } else {
            // Nobody has to be waited for.
            ended.cancel();
        }
        runtime.block_on(async {
            let (mut term, mut int) = (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
            );
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
                () = ended.cancelled(), if has_door => anyhow::bail!("the proxy ended by itself"),
            }
            tracing::info!("stopping: no new connections; waiting for the requests in flight");
            close.cancel();
            let left = tokio::select! {
                biased;
                // The last connection is closed.
                () = ended.cancelled() => 0,
                () = sleep(self.config.proxy.drain) => self.metrics.in_flight.get(),
                // A second signal means now.
                _ = term.recv() => self.metrics.in_flight.get(),
                _ = int.recv() => self.metrics.in_flight.get(),
            };
            if left > 0 {
                tracing::warn!(requests = left, "gave up waiting for requests in flight");
            }
            self.access_log.flush(LAST_LINES);
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

/// Binds at once, so that a port that is taken ends the start.
fn serve_tcp(
    runtime: &Runtime,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    key: &'static str,
    listen: SocketAddr,
    router: Router,
) -> anyhow::Result<()> {
    let listener = runtime
        .block_on(TcpListener::bind(listen))
        .with_context(|| format!("{key}: cannot listen on {listen}"))?;
    let stop = stop.clone();
    tasks.spawn(async move {
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
