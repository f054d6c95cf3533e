//! What the leader does: every job with its interval, on one page.
//!
//! Its own file, because the features bring their jobs and only the composition root knows them all.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::rollout::controller::Job;
use crate::rollout::guard::{self, Guard, store};
use crate::telemetry::Metrics;

/// Often enough that a bucket is judged within two seconds of its coming.
const GUARD: Duration = Duration::from_secs(2);
const TRAFFIC: Duration = Duration::from_secs(60);
const FORGET: Duration = Duration::from_secs(120);

/// Every job. A new one is a line here.
pub(super) fn jobs(config: &Arc<ArcSwap<guard::Config>>, metrics: &Arc<Metrics>) -> Vec<Job> {
    let watcher = Arc::new(Guard::new(Arc::clone(config), Arc::clone(metrics)));
    let resting = Arc::clone(&watcher);
    let config = Arc::clone(config);
    vec![
        Job::new("guard", GUARD, move |pool, now| {
            let watcher = Arc::clone(&watcher);
            async move { watcher.look(&pool, now).await }
        })
        .ending(move || resting.rest()),
        Job::new("traffic", TRAFFIC, |pool, _| async move {
            Ok(store::roll_up(&pool).await.map(|_| ())?)
        }),
        Job::new("forget counts", FORGET, move |pool, _| {
            let keep = config.load().keep;
            async move { Ok(store::forget(&pool, keep).await?) }
        }),
    ]
}
