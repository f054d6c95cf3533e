//! What the leader does: every job with its interval, on one page.
//!
//! Its own file, because the features bring their jobs and only the composition root knows them all.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::alerts::{self, Senders};
use crate::config::Config;
use crate::rollout;
use crate::rollout::controller::Job;
use crate::rollout::guard::{self, Guard, store};
use crate::telemetry::Metrics;

/// Often enough that a bucket is judged within two seconds of its coming.
const GUARD: Duration = Duration::from_secs(2);
const TRAFFIC: Duration = Duration::from_secs(60);
const FORGET: Duration = Duration::from_secs(120);

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Every job. A new one is a line here.
pub(super) fn jobs(
    config: &Config,
    limits: &Arc<ArcSwap<guard::Config>>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Vec<Job>> {
    let senders = Arc::new(Senders::new(config.alerts.clone())?);
    let watcher = Arc::new(Guard::new(Arc::clone(limits), Arc::clone(metrics)));
    let resting = Arc::clone(&watcher);
    let limits = Arc::clone(limits);
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
