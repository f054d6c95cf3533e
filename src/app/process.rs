//! Everything that runs in one process: started in order, stopped in the other.
//!
//! Its own file, because this order is what makes a stop lose nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Role;
use super::handover::{Inheritance, Named};
use super::jobs::jobs;
use super::listeners::{Sockets, bind_private, report, serve_tcp};
use super::reload::{EdgeBuilder, reload, tend_database, wanted};
use crate::config::{Config, Watch};
use crate::flags::disk::StateDir;
use crate::flags::store::Instance;
use crate::flags::sync::Sync;
use crate::flags::{Flags, Origin};
use crate::identity::jwt::Keyrings;
use crate::proxy::access_log::AccessLog;
use crate::proxy::door::Door;
use crate::proxy::explain::Explainer;
use crate::proxy::gateway::Gateway;
use crate::proxy::limits::Limiter;
use crate::rollout::controller;
use crate::rollout::outcomes::Collector;
use crate::rollout::queries::Queries;
use crate::telemetry::traces::Tracer;
use crate::telemetry::{AccessLog as AccessLogConfig, Metrics, SetFilter};
use crate::{control, dashboard, db, engine};

/// The flags' own connections: one listens, one asks, one spare for an acknowledgement.
const SYNC_POOL: u32 = 3;
/// A whole load of a million tenants, on a slow day.
const SYNC_STATEMENT: Duration = Duration::from_secs(60);

/// For a successor to read its control state, from the disk or from the database.
const SUCCESSOR_READY: Duration = Duration::from_secs(30);
/// The file of the state folder that one process, or one line of processes, has locked.
pub(super) const LOCK: &str = "lock";

/// Where this process comes from, and whether another may come after it.
pub(super) struct Descent {
    pub inherited: Option<Inheritance>,
    pub lock: File,
    pub may_be_succeeded: bool,
}

/// Connections at most of the configuration's own queries.
const QUERIES_POOL: u32 = 4;

/// Legacy's database for the configuration's own queries, whose deadlines are their own.
fn legacy_queries(config: &Config) -> anyhow::Result<sqlx::PgPool> {
    let own = db::Config {
        pool: QUERIES_POOL,
        ..config.database.clone()
    };
    let url = match config.database.legacy_url.is_empty() {
        true => &config.database.url,
        false => &config.database.legacy_url,
    };
    db::connect_lazily(url.reveal(), &own)
}

/// Everything that runs in this process, and what stops it.
pub(super) struct Process {
    pub config: Config,
    pub metrics: Arc<Metrics>,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
    /// Later than `stop`: the last requests are counted, too.
    pub counted: CancellationToken,
    pub door: Option<Door>,
    pub access_log: AccessLog,
    pub flags: Flags,
    pub descent: Descent,
    /// What a successor is given.
    pub sockets: Vec<Named>,
}

impl Process {
    pub(super) fn start(
        runtime: &Runtime,
        changes: Watch,
        config: Config,
        roles: &BTreeSet<Role>,
        set_filter: SetFilter,
        mut descent: Descent,
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
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let _entered = runtime.enter();
        let tracer = match roles.contains(&Role::Proxy) || roles.contains(&Role::Engine) {
            true => Tracer::open(&config.telemetry.traces, &metrics)?,
            false => None,
        };
        let tracer = tracer.map(|(tracer, exporter)| {
            // Bounds: one batch at a time, `telemetry.traces.queue` requests, two seconds at the stop.
            tasks.spawn(exporter.run(stop.clone()));
            tracer
        });
        let builder = EdgeBuilder {
            runtime: runtime.handle().clone(),
            metrics: Arc::clone(&metrics),
            tracer: tracer.clone(),
            keyrings: Keyrings::default(),
            limiter: Arc::new(
                Limiter::new(&config.proxy.rate_limit, runtime.handle(), &metrics)
                    .map_err(anyhow::Error::msg)?,
            ),
        };
        let edge = Arc::new(ArcSwap::from_pointee(builder.build(&config, None)?));
        let mut sockets = Sockets {
            inherited: descent.inherited.as_mut(),
            shared: vec![(LOCK.to_owned(), descent.lock.try_clone()?.into())],
        };

        let access_log = match roles.contains(&Role::Proxy) {
            true => config.telemetry.access_log.clone(),
            false => AccessLogConfig::Off,
        };
        let access_log = AccessLog::start(&access_log, metrics.log_lines_dropped.clone())?;
        let (outcomes, collector) = Collector::new(Arc::clone(&metrics));
        let door = if roles.contains(&Role::Proxy) {
            let gateway = Gateway::new(
                Arc::clone(&edge),
                flags.clone(),
                Arc::clone(&metrics),
                access_log.clone(),
            )
            .traced(tracer.clone())
            .counted(outcomes);
            Some(Door::bind(&config.proxy, gateway, |address| {
                sockets.inherit("proxy.listen", address)
            })?)
        } else {
            None
        };
        if let Some(door) = &door {
            let listen = config.proxy.listen.iter().chain(&config.proxy.tls.listen);
            for (address, socket) in listen.zip(door.sockets()?) {
                sockets.share("proxy.listen", *address, socket);
            }
        }

        let mut own = config.database.clone();
        (own.pool, own.statement_timeout) = (SYNC_POOL, SYNC_STATEMENT);
        let sync = Sync {
            flags: flags.clone(),
            config: config.flags.clone(),
            pool: db::connect_lazily(config.database.url.reveal(), &own)?,
            instance: Instance {
                id: StateDir::open(&config.flags.state_dir)?.instance_id()?,
                started: std::time::Instant::now(),
                name: name.clone(),
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
        if roles.contains(&Role::Proxy) {
            edge.load().tend(runtime.handle());
        }

        let explainer = Arc::new(Explainer {
            edge: Arc::clone(&edge),
            flags: flags.clone(),
        });
        let pool = db::connect_lazily(config.database.url.reveal(), &config.database)?;
        let queries = Arc::new(Queries::new(
            legacy_queries(&config)?,
            config.rollout.clone(),
        ));
        let counted = CancellationToken::new();
        if roles.contains(&Role::Proxy) {
            let instance = StateDir::open(&config.flags.state_dir)?.instance_id()?;
            // Bound: one statement at a time, five minutes of counts, one second at the stop.
            tasks.spawn(collector.run(pool.clone(), instance, counted.clone()));
        }
        let admin = control::State::new(
            pool.clone(),
            flags.clone(),
            Some(Arc::clone(&explainer)),
            Arc::clone(&metrics),
        )
        .asking(Arc::clone(&queries))
        .sealing(config.engine.keyring()?.map(Arc::new))
        .until(stop.clone());
        let admin = if roles.contains(&Role::Control) {
            control::router(admin)
        } else {
            control::probe_router(admin)
        };
        serve_tcp(
            &mut sockets,
            &tasks,
            &stop,
            "control.listen",
            config.control.listen,
            admin,
        )?;
        if roles.contains(&Role::Dashboard) || roles.contains(&Role::Engine) {
            let legacy = match config.database.legacy_url.is_empty() {
                true => pool.clone(),
                false => db::connect_lazily(config.database.legacy_url.reveal(), &config.database)?,
            };
            if roles.contains(&Role::Dashboard) {
                serve_tcp(
                    &mut sockets,
                    &tasks,
                    &stop,
                    "dashboard.listen",
                    config.dashboard.listen,
                    dashboard::router(legacy.clone()),
                )?;
            }
            if roles.contains(&Role::Engine) {
                serve_tcp(
                    &mut sockets,
                    &tasks,
                    &stop,
                    "engine.listen",
                    config.engine.listen,
                    engine::start(
                        &config.engine,
                        pool.clone(),
                        legacy,
                        name,
                        (&metrics.engine, tracer),
                        (&tasks, &stop),
                    )?,
                )?;
            }
        }
        let (capabilities, seen) = watch::channel(wanted(&config));
        let guard = Arc::new(ArcSwap::from_pointee(config.guard.clone()));
        if roles.contains(&Role::Control) {
            tasks.spawn(tend_database(pool.clone(), seen, stop.clone()));
            let jobs = jobs(&config, &guard, &metrics, &queries)?;
            let (url, stop) = (config.database.url.clone(), stop.clone());
            tasks.spawn(async move { controller::run(pool, url.reveal(), jobs, stop).await });
        }
        tasks.spawn(reload(
            changes,
            config.clone(),
            builder,
            edge,
            (capabilities, guard),
            set_filter,
            stop.clone(),
        ));
        let sockets = sockets.shared;
        if descent.inherited.is_some() {
            // Nothing of the predecessor's is touched before it is certain that this process can do its work.
            runtime
                .block_on(timeout(SUCCESSOR_READY, until_ready(&flags)))
                .context("no control state: neither the disk nor the database has answered")?;
        }
        if roles.contains(&Role::Proxy) {
            let socket = config
                .control
                .socket
                .clone()
                .unwrap_or_else(|| config.flags.state_dir.join("ficus.sock"));
            let listener = bind_private(&socket)
                .with_context(|| format!("binding the break-glass socket {}", socket.display()))?;
            // What the predecessor was told since this process read them. From here on this one is told.
            flags.reread_actions();
            let router = control::local_router(flags.clone(), Some(explainer));
            tasks.spawn(report(
                "the break-glass socket",
                axum::serve(listener, router)
                    .with_graceful_shutdown(stop.clone().cancelled_owned())
                    .into_future(),
            ));
        }
        Ok(Self {
            config,
            metrics,
            tasks,
            stop,
            counted,
            door,
            access_log,
            flags,
            descent,
            sockets,
        })
    }
}

/// Until there is something to decide by.
async fn until_ready(flags: &Flags) {
    let mut changes = flags.watch();
    while flags.load().is_none() && !flags.may_start_cold() {
        if changes.changed().await.is_err() {
            return;
        }
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
