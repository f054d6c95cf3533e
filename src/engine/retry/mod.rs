//! What happens to a message after an attempt: which outcomes use an attempt, how long to wait, when to give up.
//!
//! Its own folder, because every provider ends here and none may decide for itself. Time and chance are passed in, so that
//! a day of waiting is a test of a millisecond.
//!
//! | class | step | uses an attempt |
//! |---|---|---|
//! | accepted | done | – |
//! | permanent | failed, never again | – |
//! | transient | the next rung of the ladder; after the last, a dead letter | yes |
//! | not sent | the next rung, the last one again and again until the message expires | no |
//! | rate limited, breaker open, quota used up | wait | no |
//! | account | hold everything of this tenant and provider | no |
//! | uncertain | park: it may have been accepted | no |

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;

pub mod after;

/// Waits before the second to the sixth attempt. A provider that fails for 35 minutes and 36 seconds makes a dead letter,
/// unless its breaker pauses it before.
pub const LADDER: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
];
/// A wait is this share longer or shorter, so that what failed together does not come back together. One that a provider
/// asks for is only longer.
pub const JITTER: f64 = 0.1;
/// Where a provider limits the rate and says no time. Vonage's default.
pub const RATE_WAIT: Duration = Duration::from_secs(1);
/// The longest that a provider can make a message wait by saying so: a day would be a way to stop a campaign.
pub const WAIT_LIMIT: Duration = Duration::from_secs(60 * 60);

/// What an attempt came to, as its provider's table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The provider has it.
    Accepted,
    /// This message will never be taken: a wrong number, an unknown mailbox.
    Permanent,
    /// Refused for now because there were too many. `None`: the provider did not say for how long.
    RateLimited(Option<Duration>),
    /// Surely not accepted, and it may be the next time. With the wait that the provider asks for.
    Transient(Option<Duration>),
    /// It is not the message but the account: credentials, credit, a sender that is not the tenant's.
    Account,
    /// Nothing left this process: no name, no connection, no TLS.
    NotSent,
    /// It may have been accepted: the answer was lost after the bytes were out.
    Uncertain,
}

impl Class {
    /// As logs have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Permanent => "permanent",
            Self::RateLimited(_) => "rate-limited",
            Self::Transient(_) => "transient",
            Self::Account => "account",
            Self::NotSent => "not-sent",
            Self::Uncertain => "uncertain",
        }
    }
}

/// Why a message waits although nothing was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The breaker of this tenant and provider is open until then.
    Breaker { until: DateTime<Utc> },
    /// The quota is used up; it is looked at again then.
    Quota { until: DateTime<Utc> },
    /// Our own limit of the rate has a place then.
    Rate { until: DateTime<Utc> },
}

/// What is stored of a message between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Attempts that were used, from 0. At most one more than [`LADDER`] has rungs.
    pub used: u32,
    /// Attempts in a row that never left, since the last that did.
    pub not_sent: u32,
    /// After it nobody wants the message any more.
    pub expires_at: DateTime<Utc>,
    /// The attempt was the breaker's, to see whether the provider is back: it uses none of the message's.
    pub is_probe: bool,
}

/// What to do with the message, and what to store of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Done,
    /// Final, by the provider's word. Pre-accept: its quota goes back once.
    Fail,
    /// Try again then, with this state.
    Wait {
        at: DateTime<Utc>,
        state: State,
    },
    /// Given up, and kept with its history for a person to send again.
    DeadLetter(Cause),
    /// Nothing of this tenant goes to this provider until a person has looked; the message waits with its state.
    HoldAccount {
        state: State,
    },
    /// No blind retry: evidence or the tenant's policy settles it.
    Park,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    AttemptsUsed,
    Expired,
}

/// The step after an attempt that ended at `now` with `class`.
pub fn next(state: State, class: Class, now: DateTime<Utc>, rng: &mut impl Rng) -> Step {
    let kept = State {
        is_probe: false,
        ..state
    };
    match class {
        Class::Accepted => Step::Done,
        Class::Permanent => Step::Fail,
        Class::Uncertain => Step::Park,
        Class::Account => Step::HoldAccount { state: kept },
        Class::RateLimited(asked) => wait(kept, RATE_WAIT, asked, now, rng),
        Class::NotSent => {
            let rung = (state.not_sent as usize).min(LADDER.len() - 1);
            let state = State {
                not_sent: state.not_sent.saturating_add(1),
                ..kept
            };
            wait(state, LADDER[rung], None, now, rng)
        }
        Class::Transient(asked) => {
            let used = state.used.saturating_add(u32::from(!state.is_probe));
            // A probe waits for the rung that it would have waited for before it.
            let rung = (used as usize).saturating_sub(1);
            let Some(rung) = LADDER.get(rung) else {
                return Step::DeadLetter(Cause::AttemptsUsed);
            };
            let state = State {
                used,
                not_sent: 0,
                ..kept
            };
            wait(state, *rung, asked.filter(|asked| asked > rung), now, rng)
        }
    }
}

/// The step of a message that is not tried now. It uses nothing of it, however often it happens.
pub fn pause(state: State, pause: Pause, now: DateTime<Utc>, rng: &mut impl Rng) -> Step {
    let (Pause::Breaker { until } | Pause::Quota { until } | Pause::Rate { until }) = pause;
    // Spread after the end, and never before it: a breaker that lets a hundred in at once is shut again.
    let spread = (until - now).to_std().unwrap_or_default().mul_f64(JITTER);
    let spread = spread.min(LADDER[2]).mul_f64(rng.random::<f64>());
    wait_until(state, until.max(now) + delta(spread))
}

/// `own` wait around its length; what a provider has `asked` for, in its place, never sooner.
fn wait(
    state: State,
    own: Duration,
    asked: Option<Duration>,
    now: DateTime<Utc>,
    rng: &mut impl Rng,
) -> Step {
    let (wait, least) = match asked {
        Some(asked) => (asked.min(WAIT_LIMIT), 1.0),
        None => (own, 1.0 - JITTER),
    };
    let factor = least + (1.0 + JITTER - least) * rng.random::<f64>();
    wait_until(state, now + delta(wait.mul_f64(factor)))
}

fn wait_until(state: State, at: DateTime<Utc>) -> Step {
    match at > state.expires_at {
        true => Step::DeadLetter(Cause::Expired),
        false => Step::Wait { at, state },
    }
}

fn delta(duration: Duration) -> TimeDelta {
    // It holds 292 million years, and the longest wait is an hour and its jitter.
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
