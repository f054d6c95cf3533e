//! The controller: what one process does for all, a list of named jobs, each at its own interval.
//!
//! Its own file, because the jobs must not know of one another: one that fails, hangs or is slow holds no other up.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::db::leader;

/// For one run of a job: after it, the run is dropped and told as failed.
const DEADLINE: Duration = Duration::from_secs(60);

type Running = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// What the leader does again and again.
pub struct Job {
    name: &'static str,
    every: Duration,
    run: Box<dyn Fn(PgPool, DateTime<Utc>) -> Running + Send + Sync>,
    end: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Job {
    /// `run` is given the pool and the time; it may be dropped at any await, so what it does is one transaction or can
    /// be done again. It is first run when the lead begins.
    pub fn new<F, Fut>(name: &'static str, every: Duration, run: F) -> Self
    where
        F: Fn(PgPool, DateTime<Utc>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self {
            name,
            every,
            run: Box::new(move |pool, now| Box::pin(run(pool, now))),
            end: None,
        }
    }

    /// What is to be done when the lead is lost.
    pub fn ending(self, end: impl Fn() + Send + Sync + 'static) -> Self {
        let end: Box<dyn Fn() + Send + Sync> = Box::new(end);
        Self {
            end: Some(end),
            ..self
        }
    }

    async fn repeat(&self, pool: &PgPool) {
        let mut tick = interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tick.tick().await;
            let run = (self.run)(pool.clone(), Utc::now());
            let ended = timeout(DEADLINE, run).await;
            let problem = match ended {
                Ok(Ok(())) => None,
                Ok(Err(e)) => Some(format!("{e:#}")),
                Err(_) => Some(format!("not done within {DEADLINE:?}")),
            };
            let was_failing = std::mem::replace(&mut failing, problem.is_some());
            match problem {
                // Said when it begins and when it ends, and not every second between.
                Some(problem) if !was_failing => {
                    tracing::error!(
                        job = self.name,
                        error = problem,
                        "a job of the leader fails"
                    );
                }
                None if was_failing => tracing::info!(job = self.name, "the job works again"),
                _ => {}
            }
        }
    }
}

/// Does the jobs whenever this process leads, until `stop`. Bound: each job once at a time, each run at most a minute.
pub async fn run(pool: PgPool, url: &str, jobs: Vec<Job>, stop: CancellationToken) {
    let jobs: std::sync::Arc<[Job]> = jobs.into();
    leader::lead(url, stop, move |until| {
        let (pool, jobs) = (pool.clone(), std::sync::Arc::clone(&jobs));
        async move {
            let mut running = JoinSet::new();
            for place in 0..jobs.len() {
                let (pool, jobs) = (pool.clone(), std::sync::Arc::clone(&jobs));
                running.spawn(async move { jobs[place].repeat(&pool).await });
            }
            loop {
                tokio::select! {
                    // Dropping the set ends what is left of it.
                    () = until.cancelled() => {
                        jobs.iter().filter_map(|job| job.end.as_ref()).for_each(|end| end());
                        return;
                    }
                    // One that panicked is not begun again before the next lead; the others go on.
                    Some(Err(e)) = running.join_next() => {
                        tracing::error!(error = %e, "a job of the leader ended badly");
                    }
                }
            }
        }
    })
    .await;
}
