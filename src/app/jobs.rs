//! What the leader does: every job with its interval, on one page.
//!
//! Its own file, because the features bring their jobs and only the composition root knows them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::config::Config;
use crate::rollout::audit::anchor::{self, anchor};
use crate::rollout::controller::Job;

/// Every job. A new one is a line here.
pub(super) fn jobs(config: &Config) -> Vec<Job> {
    vec![anchor_audit(config.audit.clone())]
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
