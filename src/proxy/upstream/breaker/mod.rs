//! The circuit breaker: an upstream that fails most of what it is asked is left alone for a while, then tried with few.
//!
//! Pure, with time passed in, and its own file, because every request reads it from every thread: the state is one
//! word and the counts are one word a bucket, so that asking is a load and noting is one exchange.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When to open and how to come back.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Percent of the requests of a window that must fail, 1 to 100.
    pub failures: u8,
    /// Fewer requests in a window prove nothing.
    pub min_requests: u32,
    pub window: Duration,
    /// How long nothing is sent.
    pub open: Duration,
    /// Requests let through to try, 1 to 1000; all must succeed.
    pub probes: u16,
}

/// The buckets of one window.
const BUCKETS: usize = 10;

/// What the breaker says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Closed. Its outcome counts.
    Pass,
    /// Half-open: one of the few. `since` names the trial that it belongs to.
    Probe { since: u64 },
    /// Open for this long.
    Refused { left: Duration },
}

/// How a request that was let through ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed,
    /// Nobody knows: the client went away first.
    Abandoned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    HalfOpen,
    Open,
}

impl State {
    /// The value of `ficus_breaker_state`.
    pub const fn number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// Times are milliseconds since any fixed moment.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    word: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// The state's word, taken apart: 2 bits of state, 11 of probes let through, 11 of those that succeeded, 40 of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    state: State,
    granted: u16,
    succeeded: u16,
    /// Open: when it ends. Half-open: when the trial began. Closed: when that began.
    at: u64,
}

const COUNT_BITS: u32 = 11;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

impl Word {
    const fn pack(self) -> u64 {
        let state = self.state.number() as u64;
        state << 62
            | (self.granted as u64 & COUNT_MASK) << (TIME_BITS + COUNT_BITS)
            | (self.succeeded as u64 & COUNT_MASK) << TIME_BITS
            | self.at & TIME_MASK
    }

    const fn unpack(word: u64) -> Self {
        Self {
            state: match word >> 62 {
                0 => State::Closed,
                1 => State::HalfOpen,
                _ => State::Open,
            },
            granted: (word >> (TIME_BITS + COUNT_BITS) & COUNT_MASK) as u16,
            succeeded: (word >> TIME_BITS & COUNT_MASK) as u16,
            at: word & TIME_MASK,
        }
    }
}

/// A bucket's word: which bucket of all time it counts for, how many requests, how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    epoch: u64,
    total: u64,
    failed: u64,
}

const TALLY_BITS: u32 = 18;
const TALLY_MASK: u64 = (1 << TALLY_BITS) - 1;
const EPOCH_MASK: u64 = (1 << (64 - 2 * TALLY_BITS)) - 1;

impl Bucket {
    const fn pack(self) -> u64 {
        (self.epoch & EPOCH_MASK) << (2 * TALLY_BITS) | self.total << TALLY_BITS | self.failed
    }

    const fn unpack(word: u64) -> Self {
        Self {
            epoch: word >> (2 * TALLY_BITS),
            total: word >> TALLY_BITS & TALLY_MASK,
            failed: word & TALLY_MASK,
        }
    }

    fn count(self, epoch: u64, failed: bool) -> Self {
        let mut bucket = match self.epoch == epoch & EPOCH_MASK {
            true => self,
            false => Self {
                epoch: epoch & EPOCH_MASK,
                ..Self::default()
            },
        };
        if bucket.total == TALLY_MASK {
            // Full: the share is what matters.
            (bucket.total, bucket.failed) = (bucket.total / 2, bucket.failed / 2);
        }
        bucket.total += 1;
        bucket.failed += u64::from(failed);
        bucket
    }
}

impl Breaker {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            word: AtomicU64::new(0),
            buckets: Default::default(),
        }
    }

    pub fn state(&self) -> State {
        self.load().state
    }

    /// Asks for one request.
    pub fn admit(&self, now: u64) -> Admission {
        loop {
            let seen = self.load();
            let (next, admission) = match seen.state {
                State::Closed => return Admission::Pass,
                State::Open if now < seen.at => {
                    let left = Duration::from_millis(seen.at - now);
                    return Admission::Refused { left };
                }
                State::HalfOpen if seen.granted < self.settings.probes => (
                    Word {
                        granted: seen.granted + 1,
                        ..seen
                    },
                    Admission::Probe { since: seen.at },
                ),
                State::HalfOpen if now < seen.at + self.open() => {
                    let left = Duration::from_millis(seen.at + self.open() - now);
                    return Admission::Refused { left };
                }
                // The time is over, or a trial's requests have not come back for as long: a new trial.
                State::Open | State::HalfOpen => {
                    // Never the same moment twice: it is the trial's name.
                    let since = now.max(seen.at + 1);
                    (
                        Word {
                            state: State::HalfOpen,
                            granted: 1,
                            succeeded: 0,
                            at: since,
                        },
                        Admission::Probe { since },
                    )
                }
            };
            if self.exchange(seen, next) {
                return admission;
            }
        }
    }

    /// Notes how a request ended. Answers the state that this brought about, if it changed.
    pub fn note(&self, now: u64, admission: Admission, outcome: Outcome) -> Option<State> {
        match admission {
            Admission::Refused { .. } => None,
            Admission::Probe { since } => self.note_probe(now, since, outcome),
            Admission::Pass if outcome == Outcome::Abandoned => None,
            Admission::Pass => {
                let failed = outcome == Outcome::Failed;
                self.count(now, failed);
                if failed && self.is_over(now) {
                    self.open_from_closed(now)
                } else {
                    None
                }
            }
        }
    }

    fn note_probe(&self, now: u64, since: u64, outcome: Outcome) -> Option<State> {
        loop {
            let seen = self.load();
            if seen.state != State::HalfOpen || seen.at != since {
                return None;
            }
            let next = match outcome {
                Outcome::Failed => self.opened(now),
                Outcome::Abandoned => Word {
                    granted: seen.granted.saturating_sub(1),
                    ..seen
                },
                Outcome::Succeeded if seen.succeeded + 1 >= self.settings.probes => Word {
                    state: State::Closed,
                    granted: 0,
                    succeeded: 0,
                    at: now,
                },
                Outcome::Succeeded => Word {
                    succeeded: seen.succeeded + 1,
                    ..seen
                },
            };
            if self.exchange(seen, next) {
                return (next.state != seen.state).then_some(next.state);
            }
        }
    }

    fn open_from_closed(&self, now: u64) -> Option<State> {
        let seen = self.load();
        let opens = seen.state == State::Closed && self.exchange(seen, self.opened(now));
        opens.then_some(State::Open)
    }

    fn opened(&self, now: u64) -> Word {
        Word {
            state: State::Open,
            granted: 0,
            succeeded: 0,
            at: now + self.open(),
        }
    }

    /// Whether the window that ends now has enough failures. What was counted before the breaker closed is forgotten.
    fn is_over(&self, now: u64) -> bool {
        let newest = self.epoch(now);
        let closed = self.load().at;
        let oldest = (newest + 1)
            .saturating_sub(BUCKETS as u64)
            .max(match closed {
                0 => 0,
                closed => self.epoch(closed) + 1,
            });
        let (mut total, mut failed) = (0, 0);
        for epoch in oldest..=newest {
            let bucket = Bucket::unpack(self.slot(epoch).load(Ordering::Relaxed));
            if bucket.epoch == epoch & EPOCH_MASK {
                total += bucket.total;
                failed += bucket.failed;
            }
        }
        total >= u64::from(self.settings.min_requests)
            && failed * 100 >= total * u64::from(self.settings.failures)
    }

    fn count(&self, now: u64, failed: bool) {
        let epoch = self.epoch(now);
        let count = |word| Some(Bucket::unpack(word).count(epoch, failed).pack());
        // The closure always answers, so this cannot fail.
        let _ = self
            .slot(epoch)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    fn slot(&self, epoch: u64) -> &AtomicU64 {
        &self.buckets[(epoch % BUCKETS as u64) as usize]
    }

    /// Buckets are numbered from 1, so that an empty word is no bucket's.
    fn epoch(&self, now: u64) -> u64 {
        let width = (self.settings.window.as_millis() as u64 / BUCKETS as u64).max(1);
        now / width + 1
    }

    fn open(&self) -> u64 {
        self.settings.open.as_millis() as u64
    }

    fn load(&self) -> Word {
        Word::unpack(self.word.load(Ordering::Acquire))
    }

    fn exchange(&self, seen: Word, next: Word) -> bool {
        self.word
            .compare_exchange(
                seen.pack(),
                next.pack(),
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_ok()
    }
}

#[cfg(test)]
mod tests;
