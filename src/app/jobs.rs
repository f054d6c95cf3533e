//! What the leader does: every job with its interval, on one page.
//!
//! Its own file, because the features bring their jobs and only the composition root knows them all.

use std::sync::Arc;
use std::time::Duration;

use crate::rollout::controller::Job;
use crate::rollout::queries::Queries;
use crate::rollout::wave;

/// A step is entered this long after its gates let it, at most.
const WAVES: Duration = Duration::from_secs(5);

/// Every job. A new one is a line here.
pub(super) fn jobs(queries: &Arc<Queries>) -> Vec<Job> {
    let queries = Arc::clone(queries);
    vec![Job::new("waves", WAVES, move |pool, _| {
        let queries = Arc::clone(&queries);
        async move { Ok(wave::advance_waves(&pool, Some(&queries)).await?) }
    })]
}
