//! What changes while the process runs: the edge after a change of the file, new capabilities.
//!
//! Its own file, because a change that is refused must change nothing.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Watch, needs_restart};
use crate::identity::{Chain, jwt::Keyrings, store};
use crate::proxy::{Capability, edge::Edge, limits::Limiter};
use crate::rollout::{self, Author, Source as ChangeSource, Terms, Wanted, guard};
use crate::telemetry::traces::Tracer;
use crate::telemetry::{Metrics, SetFilter};

/// Between two looks after the database, when nothing changes.
const TEND_EVERY: Duration = Duration::from_secs(3600);
/// And when the last one failed.
const RETRY_TENDING: Duration = Duration::from_secs(2);

/// Builds an [`Edge`] from a configuration; used at the start and at each reload.
pub(super) struct EdgeBuilder {
    pub(super) runtime: Handle,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tracer: Option<Tracer>,
    /// What has been fetched outlives a reload.
    pub(super) keyrings: Keyrings,
    /// One for the life of the process, so that a reload gives nobody a fresh limit.
    pub(super) limiter: Arc<Limiter>,
}

impl EdgeBuilder {
    /// `before`: the edge that this one is to replace.
    pub(super) fn build(&self, config: &Config, before: Option<&Edge>) -> anyhow::Result<Edge> {
        let lookup = |resolver: &_| store::lookup(resolver, &config.database.url, &self.runtime);
        let chain = Chain::new(&config.tenant, &self.runtime, &self.keyrings, lookup)?;
        let limiter = Arc::clone(&self.limiter);
        Ok(Edge::build(
            &config.proxy,
            chain,
            limiter,
            &self.metrics,
            before,
        )?)
    }
}

/// Applies each good change of the configuration. Bound: one at a time.
pub(super) async fn reload(
    mut watch: Watch,
    mut in_force: Config,
    builder: EdgeBuilder,
    edge: Arc<ArcSwap<Edge>>,
    (capabilities, guard): (watch::Sender<Vec<Wanted>>, Arc<ArcSwap<guard::Config>>),
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
        let fresh = match builder.build(&config, Some(&edge.load_full())) {
            Ok(fresh) => fresh,
            Err(e) => {
                refused(format!("{e:#}"));
                continue;
            }
        };
        // In force it has the addresses of its names, or no name server has them.
        fresh.look_up_names().await;
        fresh.tend(&builder.runtime);
        if let Err(e) = set_filter(&config.telemetry.log) {
            tracing::error!(error = %e, "telemetry.log is not applied");
        }
        if let Some(tracer) = &builder.tracer {
            tracer.resample(&config.telemetry.traces);
        }
        for key in needs_restart(&in_force, &config) {
            tracing::warn!(key, "this change takes effect at the next start");
        }
        edge.store(Arc::new(fresh));
        capabilities.send_replace(wanted(&config));
        if config.guard != in_force.guard {
            guard.store(Arc::new(config.guard.clone()));
        }
        builder.metrics.config_reloads.inc();
        tracing::info!("the changed configuration is in force");
        in_force = config;
    }
}

/// The configured capabilities, as the database wants to know them.
pub(super) fn wanted(config: &Config) -> Vec<Wanted> {
    let wanted = |(name, c): (&String, &Capability)| Wanted {
        name: name.clone(),
        effect: c.effect,
        split_by: c.split_by,
    };
    config.proxy.capabilities.iter().map(wanted).collect()
}

/// What the control role does for the database beside serving the API: tells it of the configured capabilities, so
/// that flags can name them, and forgets processes that have been gone for long. Tries until it is done.
pub(super) async fn tend_database(
    pool: PgPool,
    mut wanted: watch::Receiver<Vec<Wanted>>,
    stop: CancellationToken,
) {
    let terms = Terms::of(Author::new(
        "ficus serve",
        ChangeSource::Config,
        "registered from the configuration",
    ));
    loop {
        let capabilities = wanted.borrow_and_update().clone();
        let done = rollout::register_capabilities(&pool, &terms, &capabilities).await;
        let done = match done {
            Ok(_) => rollout::prune_instances(&pool).await,
            Err(e) => Err(e),
        };
        let again = match done {
            Ok(_) => TEND_EVERY,
            Err(e) => {
                tracing::warn!(error = %e, "the capabilities are not registered yet");
                RETRY_TENDING
            }
        };
        tokio::select! {
            () = sleep(again) => {}
            changed = wanted.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}
