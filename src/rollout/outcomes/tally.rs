//! A worker's counts: kept in its thread, so that a request takes no lock and waits for nobody.
//!
//! Its own file, because it is on the path of every request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{BUCKET, Cell, Ending, Key};

/// Keys that one worker counts apart in a bucket, about 200 bytes each. What comes beyond them is counted under tenant 0,
/// so that the capability's sums stay right.
const MOST_KEYS: usize = 30_000;

thread_local! {
    /// One a thread, because a worker is a thread and its requests never leave it.
    static TALLY: RefCell<HashMap<Key, Cell>> = RefCell::default();
}

/// Where requests are counted. Clones count for the same proxy.
#[derive(Clone)]
pub struct Outcomes {
    to: mpsc::Sender<Batch>,
}

/// One worker's bucket.
pub(super) struct Batch {
    /// Tens of seconds since 1970.
    pub number: i64,
    pub cells: HashMap<Key, Cell>,
}

impl Outcomes {
    pub(super) fn new(to: mpsc::Sender<Batch>) -> Self {
        Self { to }
    }

    /// Counts a request that is over.
    pub fn count(&self, key: Key, ending: Ending, elapsed: Duration) {
        TALLY.with_borrow_mut(|tally| {
            let key = match tally.len() < MOST_KEYS || tally.contains_key(&key) {
                true => key,
                false => Key { tenant: 0, ..key },
            };
            tally.entry(key).or_default().count(ending, elapsed);
        });
    }

    /// Hands this thread's counts over after each bucket, and what is left when `stop` comes. To be run by each worker.
    /// Bound: one batch a bucket; while nobody takes them the worker goes on counting into the same one.
    pub async fn tend(&self, stop: CancellationToken) {
        let mut number = now().0;
        loop {
            let (_, into) = now();
            tokio::select! {
                () = sleep(BUCKET.saturating_sub(into)) => {}
                () = stop.cancelled() => break,
            }
            self.hand_over(number);
            number = now().0;
        }
        self.hand_over(number);
    }

    /// What this thread has counted, as the bucket of that number.
    pub fn hand_over(&self, number: i64) {
        if let Ok(place) = self.to.try_reserve() {
            let cells = TALLY.with_borrow_mut(std::mem::take);
            place.send(Batch { number, cells });
        }
    }
}

/// The running bucket's number, and how much of it is over.
pub(super) fn now() -> (i64, Duration) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let number = since.as_secs() / BUCKET.as_secs();
    let begun = Duration::from_secs(number * BUCKET.as_secs());
    (
        i64::try_from(number).unwrap_or_default(),
        since.saturating_sub(begun),
    )
}
