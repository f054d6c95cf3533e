//! Joins the workers' counts and sends them to PostgreSQL: one statement a proxy and bucket.
//!
//! Its own file, because what happens while PostgreSQL is away is decided here: the last five minutes wait, what is
//! older is given up and counted, and nobody waits for either.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::store::{self, Shipper};
use super::tally::{Batch, Outcomes, now};
use super::{BUCKET, Cell, Key};
use crate::telemetry::Metrics;

/// Batches of workers that wait: some for each of very many workers.
const WAITING: usize = 1024;
/// A bucket is sent this long after its end, when every worker has told.
const GRACE: Duration = Duration::from_millis(700);
/// Buckets that wait for PostgreSQL: five minutes.
const BACKLOG: usize = 30;
/// Keys that one proxy sends in a bucket. What comes beyond them goes under tenant 0.
const MOST_KEYS: usize = 60_000;
/// For one statement: less than a bucket, so that the next one is not late.
const DEADLINE: Duration = Duration::from_secs(8);

/// One bucket of one proxy.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub number: i64,
    pub cells: HashMap<Key, Cell>,
}

/// Takes the workers' counts. One a proxy.
pub struct Collector {
    from: mpsc::Receiver<Batch>,
    open: BTreeMap<i64, HashMap<Key, Cell>>,
    /// Ended, and not sent yet; the oldest first.
    backlog: VecDeque<Told>,
    /// Given up since the last report.
    lost: u32,
    metrics: Arc<Metrics>,
}

impl Collector {
    /// The two ends: what requests count into, and what is to be run.
    pub fn new(metrics: Arc<Metrics>) -> (Outcomes, Self) {
        let (to, from) = mpsc::channel(WAITING);
        let collector = Self {
            from,
            open: BTreeMap::new(),
            backlog: VecDeque::new(),
            lost: 0,
            metrics,
        };
        (Outcomes::new(to), collector)
    }

    /// Runs until `stop`, and sends what is there then. Bound: one statement at a time, `BACKLOG` buckets.
    pub async fn run(mut self, pool: PgPool, instance: Uuid, stop: CancellationToken) {
        let from = Shipper {
            process: Uuid::new_v4(),
            instance,
        };
        let mut next = now().0 + 1;
        loop {
            let (number, into) = now();
            let wait = match number < next {
                true => (BUCKET + GRACE).saturating_sub(into),
                false => GRACE.saturating_sub(into),
            };
            tokio::select! {
                // Whoever is asked first must not keep the other from its turn: a batch is taken at once.
                Some(batch) = self.from.recv() => {
                    self.join(batch);
                    continue;
                }
                () = sleep(wait) => {}
                () = stop.cancelled() => break,
            }
            let ended = now().0;
            self.close_until(ended);
            next = ended + 1;
            self.send(&pool, from).await;
        }
        // The workers have ended before this task is told to stop, and have handed over what they had.
        while let Ok(batch) = self.from.try_recv() {
            self.join(batch);
        }
        self.close_until(now().0 + 1);
        self.send(&pool, from).await;
    }

    fn join(&mut self, batch: Batch) {
        let cells = self.open.entry(batch.number).or_default();
        for (key, cell) in batch.cells {
            let key = match cells.len() < MOST_KEYS || cells.contains_key(&key) {
                true => key,
                false => Key { tenant: 0, ..key },
            };
            cells.entry(key).or_default().add(&cell);
        }
    }

    /// Every bucket before `number` is over: also one in which nothing was asked is told, once.
    fn close_until(&mut self, number: i64) {
        let still_open = self.open.split_off(&number);
        let mut ended = std::mem::replace(&mut self.open, still_open);
        ended.entry(number - 1).or_default();
        for (number, cells) in ended {
            self.backlog.push_back(Told { number, cells });
        }
        while self.backlog.len() > BACKLOG {
            self.backlog.pop_front();
            self.lost += 1;
            self.metrics.guard.buckets_lost.inc();
        }
    }

    async fn send(&mut self, pool: &PgPool, from: Shipper) {
        while let Some(told) = self.backlog.front() {
            let (number, into) = now();
            let age = BUCKET.mul_f64((number - told.number).max(0) as f64) + into;
            let sent = store::ship(pool, from, told, age, self.lost);
            match timeout(DEADLINE, sent).await {
                Ok(Ok(())) => {
                    self.backlog.pop_front();
                    self.lost = 0;
                }
                Ok(Err(e)) => {
                    tracing::debug!(error = %e, waiting = self.backlog.len(), "counts are not sent");
                    return;
                }
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Asked, CapabilityId, Ending};
    use super::*;

    fn key(tenant: i64) -> Key {
        Key {
            capability: CapabilityId::of("collect-test").unwrap(),
            side: Asked::Modern,
            tenant,
        }
    }

    #[test]
    fn workers_counts_of_one_bucket_become_one_and_the_clock_closes_it() {
        let (outcomes, mut collector) = Collector::new(Arc::default());
        for _ in 0..2 {
            outcomes.count(key(7), Ending::Failed, Duration::from_millis(3));
            outcomes.hand_over(100);
        }
        while let Ok(batch) = collector.from.try_recv() {
            collector.join(batch);
        }
        collector.close_until(100);
        assert_eq!(collector.backlog.len(), 1, "100 still runs; 99 was idle");
        collector.close_until(101);
        let told = collector.backlog.back().unwrap();
        assert_eq!((told.number, told.cells[&key(7)].errors), (100, 2));
    }

    #[test]
    fn five_minutes_wait_for_the_database_and_what_is_older_is_counted_as_lost() {
        let (_outcomes, mut collector) = Collector::new(Arc::default());
        for number in 1..=BACKLOG as i64 + 3 {
            collector.close_until(number);
        }
        assert_eq!((collector.backlog.len(), collector.lost), (BACKLOG, 3));
        assert_eq!(collector.backlog.front().unwrap().number, 3);
    }

    #[test]
    fn tenants_beyond_the_bound_are_counted_as_nobody() {
        let (_outcomes, mut collector) = Collector::new(Arc::default());
        let mut cell = Cell::default();
        cell.count(Ending::Answered, Duration::ZERO);
        let cells = (1..=MOST_KEYS as i64 + 5)
            .map(|tenant| (key(tenant), cell.clone()))
            .collect();
        collector.join(Batch { number: 1, cells });
        let joined = &collector.open[&1];
        assert_eq!(joined[&key(0)].requests, 5);
        assert_eq!(
            joined.values().map(|c| c.requests).sum::<u64>(),
            MOST_KEYS as u64 + 5
        );
    }
}
