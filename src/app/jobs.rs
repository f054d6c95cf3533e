//! What the leader does: every job with its interval, on one page.
//!
//! Its own file, because the features bring their jobs and only the composition root knows them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::alerts::{self, Senders};
use crate::config::Config;
use crate::rollout;
use crate::rollout::audit::anchor::{self, anchor};
use crate::rollout::controller::Job;
use crate::rollout::guard::{self, Guard, store};
use crate::rollout::queries::Queries;
use crate::rollout::wave;
use crate::telemetry::Metrics;

/// Often enough that a bucket is judged within two seconds of its coming.
const GUARD: Duration = Duration::from_secs(2);
const TRAFFIC: Duration = Duration::from_secs(60);
const FORGET: Duration = Duration::from_secs(120);
/// A step is entered this long after its gates let it, at most.
const WAVES: Duration = Duration::from_secs(5);

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Every job. A new one is a line here.
pub(super) fn jobs(
    config: &Config,
    limits: &Arc<ArcSwap<guard::Config>>,
    metrics: &Arc<Metrics>,
    queries: &Arc<Queries>,
) -> anyhow::Result<Vec<Job>> {
    let senders = Arc::new(Senders::new(config.alerts.clone())?);
    let watcher = Arc::new(Guard::new(Arc::clone(limits), Arc::clone(metrics)));
    let resting = Arc::clone(&watcher);
    let limits = Arc::clone(limits);
    let queries = Arc::clone(queries);
    Ok(vec![
        Job::new("guard", GUARD, move |pool, now| {
            let watcher = Arc::clone(&watcher);
            async move { watcher.look(&pool, now).await }
        })
        .ending(move || resting.rest()),
        Job::new("traffic", TRAFFIC, |pool, _| async move {
            Ok(store::roll_up(&pool).await.map(|_| ())?)
        }),
        Job::new("forget counts", FORGET, move |pool, _| {
            let keep = limits.load().keep;
            async move { Ok(store::forget(&pool, keep).await?) }
        }),
        Job::new("waves", WAVES, move |pool, _| {
            let queries = Arc::clone(&queries);
            async move { Ok(wave::advance_waves(&pool, Some(&queries)).await?) }
        }),
        anchor_audit(config.audit.clone()),
        Job::new("end of freezes", TEN_SECONDS, |pool, _| async move {
            rollout::clear_ended(&pool).await?;
            Ok(())
        }),
        Job::new("silent proxies", TEN_SECONDS, |pool, _| async move {
            Ok(alerts::watch::watch_proxies(&pool).await?)
        }),
        Job::new("old alerts", HOUR, |pool, _| async move {
            alerts::forget(&pool).await?;
            Ok(())
        }),
        Job::new("alerts", SECOND, move |pool, now| {
            let senders = Arc::clone(&senders);
            async move { alerts::deliver(&pool, &senders, now).await }
        }),
    ])
}

/// Takes the head of the audit's chain out of the database, where it has moved.
fn anchor_audit(config: anchor::Config) -> Job {
    let last = Arc::new(AtomicI64::new(0));
    Job::new("anchor-audit", config.anchor_every, move |pool, now| {
        let (config, last) = (config.clone(), Arc::clone(&last));
        async move {
            if config.anchor_file.is_none() && config.anchor_webhook.is_empty() {
                return Ok(());
            }
            let anchored = anchor(&pool, &config, last.load(Ordering::Relaxed), now).await?;
            last.store(anchored, Ordering::Relaxed);
            Ok(())
        }
    })
}
