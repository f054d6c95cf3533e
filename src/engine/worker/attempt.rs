//! One attempt at one message: written down, handed over, its end written down.
//!
//! Its own file, because the order of these three is what docs/ENGINE.md promises.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::breaker::{Fault, Kind, Sign};
use super::super::group::{Group, Statement};
use super::super::message::{Channel, End};
use super::super::provider::smtp::Withheld;
use super::super::provider::{Intent, Outcome, Provider};
use super::super::queue::{Begin, Due, Ended, Queue};
use super::super::retry::{self, Class, State, Step};
use super::super::submit::StoreFault;
use crate::telemetry::EngineMetrics;

/// Nobody wants a message any more so long after it was accepted.
const LIFE: TimeDelta = TimeDelta::days(3);

/// Writes attempts down, in groups.
pub struct Begins<Q>(pub Arc<Q>);

impl<Q: Queue> Statement<Begin, bool> for Begins<Q> {
    type Error = StoreFault;

    async fn run(&self, attempts: Vec<Begin>) -> Result<Vec<bool>, StoreFault> {
        let begun = self.0.begin(&attempts).await.map_err(StoreFault::new)?;
        Ok(attempts.iter().map(|it| begun.contains(&it.id)).collect())
    }
}

/// Writes their ends down, in groups. What has left is known here alone, so it is tried until it is done, or until `give_up`.
pub struct Ends<Q> {
    pub queue: Arc<Q>,
    pub give_up: CancellationToken,
}

impl<Q: Queue> Statement<Ended, ()> for Ends<Q> {
    type Error = StoreFault;

    async fn run(&self, ended: Vec<Ended>) -> Result<Vec<()>, StoreFault> {
        let mut pause = super::FIRST_PAUSE;
        loop {
            match self.queue.end(&ended).await {
                Ok(refused) => {
                    if !refused.is_empty() {
                        tracing::warn!(
                            messages = refused.len(),
                            "the ends of attempts came too late: their shard is another engine's, which holds them for uncertain"
                        );
                    }
                    return Ok(vec![(); ended.len()]);
                }
                Err(error) if self.give_up.is_cancelled() => return Err(StoreFault::new(error)),
                Err(error) => {
                    tracing::error!(
                        %error,
                        messages = ended.len(),
                        "could not write down how attempts ended; trying again"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.give_up.cancelled() => {}
                    }
                    pause = (pause * 2).min(super::LONGEST_PAUSE);
                }
            }
        }
    }
}

/// What its lane is to know of a message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It has ended, or waits for its time in the database.
    Ended,
    /// It is due again then; the others of its tenant are not held up.
    Again(DateTime<Utc>),
    /// Nothing of its tenant before then: it is not the message's fault.
    Blocked(DateTime<Utc>),
    /// It may not leave: held back, or its shard is another's. It is read again when somebody looks.
    Refused,
    /// It never began, since the database cannot be reached. It is still due.
    NotBegun,
    /// It never began, since its server fails. It is still due, and the breaker says when.
    StillDue,
}

/// What an attempt stands on.
pub struct Attempts<P> {
    pub provider: Arc<P>,
    pub begins: Group<Begin, bool, StoreFault>,
    pub ends: Group<Ended, (), StoreFault>,
    pub metrics: EngineMetrics,
    /// A message whose server refused us while it was on its way is due again after this.
    pub account_wait: TimeDelta,
}

/// How far the intent has come, and through what the message goes.
#[derive(Default)]
struct Asked {
    state: AtomicU8,
    connection: OnceLock<String>,
    /// Rung when it is known whether the attempt was written down.
    known: Notify,
}

impl Asked {
    fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    fn connection(&self) -> &str {
        self.connection.get().map_or("", String::as_str)
    }
}

const NOT_ASKED: u8 = 0;
const GRANTED: u8 = 1;
const REFUSED: u8 = 2;
const UNKNOWN: u8 = 3;
const ASKED: u8 = 4;

impl<P: Provider> Attempts<P> {
    /// Makes the next attempt at a message whose shard is held under `epoch`. Answers also what it says of the tenant's server.
    pub async fn make(&self, due: Due, epoch: i64) -> (After, Sign) {
        let start = Instant::now();
        if due.in_doubt {
            let ended = ended(&due, due.begun, epoch, End::Uncertain, "interrupted", None);
            self.tell(&due, &ended, "interrupted", "", start);
            return (self.end(ended, After::Ended).await, Sign::None);
        }
        let number = due.begun.saturating_add(1);
        let asked = Arc::new(Asked::default());
        let intent = self.intent(&due, number, epoch, &asked);
        let outcome = self.provider.send(&due, intent).await;
        if asked.state() == ASKED {
            asked.known.notified().await;
        }
        let sign = match asked.state() {
            REFUSED | UNKNOWN => Sign::None,
            _ => sign(&due, &outcome),
        };
        let after = match asked.state() {
            REFUSED => After::Refused,
            // Nobody knows whether it was written down: then it is found in doubt, which is the safe side.
            UNKNOWN => After::NotBegun,
            // Nothing left and nothing was written down: the message is as it was, and its tenant waits.
            NOT_ASKED if matches!(sign, Sign::Failed(_)) => After::StillDue,
            NOT_ASKED if outcome.class == Class::NotSent => After::NotBegun,
            NOT_ASKED => {
                // It ends without having left. The attempt is written down all the same: the next one has to have another number.
                let written = self
                    .intent(&due, number, epoch, &asked)
                    .record(String::new());
                match written.await {
                    Ok(()) => {
                        self.finish(&due, number, epoch, outcome, &asked, start)
                            .await
                    }
                    Err(_) if asked.state() == REFUSED => After::Refused,
                    Err(_) => After::NotBegun,
                }
            }
            _ => {
                self.finish(&due, number, epoch, outcome, &asked, start)
                    .await
            }
        };
        (after, sign)
    }

    async fn finish(
        &self,
        due: &Due,
        number: i16,
        epoch: i64,
        outcome: Outcome,
        asked: &Asked,
        start: Instant,
    ) -> After {
        let class = outcome.class;
        let (ended, after) = conclude(due, number, epoch, outcome, self.account_wait);
        self.tell(due, &ended, class.as_str(), asked.connection(), start);
        self.end(ended, after).await
    }

    /// Writes the attempt down once it is known through what the message goes, and says in `asked` how that went.
    fn intent(&self, due: &Due, number: i16, epoch: i64, asked: &Arc<Asked>) -> Intent {
        let (id, tenant, campaign) = (due.id, due.tenant, due.campaign);
        let (begins, asked) = (self.begins.clone(), Arc::clone(asked));
        Intent::new(move |connection| async move {
            let begin = Begin {
                id,
                number,
                tenant,
                campaign,
                epoch,
                connection: connection.clone(),
            };
            let _ = asked.connection.set(connection);
            asked.state.store(ASKED, Ordering::Release);
            // Its own task, which ends with its statement: a provider that learns meanwhile that the message cannot leave drops this
            // future, and the attempt is written down all the same.
            let written = tokio::spawn(async move {
                let granted = begins.call(vec![begin]).await;
                let (seen, answer) = match granted.as_deref() {
                    Ok([true]) => (GRANTED, Ok(())),
                    Ok(_) => (REFUSED, Err(Withheld)),
                    Err(_) => (UNKNOWN, Err(Withheld)),
                };
                asked.state.store(seen, Ordering::Release);
                asked.known.notify_one();
                answer
            });
            written.await.unwrap_or(Err(Withheld))
        })
    }

    /// One event an attempt, and its counts. Nobody's address, and nothing of what it says.
    fn tell(
        &self,
        due: &Due,
        ended: &Ended,
        class: &'static str,
        connection: &str,
        start: Instant,
    ) {
        let channel = due.channel.as_str();
        let outcome = match ended.end {
            End::Accepted => "sent",
            other => other.as_str(),
        };
        let kind = self.provider.kind(due.channel, connection);
        self.metrics.ended(channel, kind, outcome);
        if let (End::Accepted, Some(made)) = (ended.end, due.id.made_at()) {
            let took = (Utc::now() - made).as_seconds_f64();
            self.metrics.sent_after(channel, took);
        }
        tracing::info!(
            id = %due.id,
            number = ended.number,
            tenant = due.tenant.0,
            campaign = due.campaign,
            channel,
            connection,
            class,
            end = ended.end.as_str(),
            code = ended.code,
            next = ended.again.map(|(at, _)| at.to_rfc3339()),
            ms = start.elapsed().as_secs_f64() * 1e3,
            "attempt ended"
        );
    }

    async fn end(&self, ended: Ended, after: After) -> After {
        match self.ends.call(vec![ended]).await {
            Ok(_) => after,
            // Given up at the stop: the attempt stands without an end, and is in doubt for whoever comes next.
            Err(_) => After::Refused,
        }
    }
}

/// What an outcome says of the tenant's server. One that was asked to slow down, or whose answer was lost, was there and may not be.
fn sign(due: &Due, outcome: &Outcome) -> Sign {
    let kind = match outcome.class {
        // A vendor of texts says nothing of the tenant's mail server.
        _ if due.channel == Channel::Sms => return Sign::None,
        Class::Accepted => return Sign::Reached,
        Class::Permanent | Class::Transient(_) if outcome.server.is_some() => return Sign::Reached,
        Class::NotSent if outcome.server.is_some() => Kind::Away,
        Class::Account => Kind::Account,
        _ => return Sign::None,
    };
    Sign::Failed(Fault {
        kind,
        server: outcome.server.clone(),
        code: outcome.code.clone(),
    })
}

/// What an attempt's end is, and what its lane is to know.
fn conclude(
    due: &Due,
    number: i16,
    epoch: i64,
    outcome: Outcome,
    account_wait: TimeDelta,
) -> (Ended, After) {
    let now = Utc::now();
    let step = retry::next(state_of(due, now), outcome.class, now, &mut rand::rng());
    let (end, again, after) = match step {
        Step::Done => (End::Accepted, None, After::Ended),
        Step::Fail => (End::Failed, None, After::Ended),
        Step::DeadLetter(_) => (End::Dead, None, After::Ended),
        Step::Park => (End::Uncertain, None, After::Ended),
        Step::HoldAccount { state } => {
            let at = now + account_wait;
            (End::Deferred, Some((at, used(state))), After::Again(at))
        }
        Step::Wait { at, state } => {
            let after = match outcome.class {
                // Of texts the provider holds the others back; the tenant's mails go on.
                Class::RateLimited(_) if due.channel == Channel::Email => After::Blocked(at),
                _ => After::Again(at),
            };
            (End::Deferred, Some((at, used(state))), after)
        }
    };
    let mut ended = ended(due, number, epoch, end, &outcome.code, again);
    ended.reference = outcome.reference;
    (ended, after)
}

fn ended(
    due: &Due,
    number: i16,
    epoch: i64,
    end: End,
    code: &str,
    again: Option<(DateTime<Utc>, i16)>,
) -> Ended {
    Ended {
        id: due.id,
        number,
        tenant: due.tenant,
        epoch,
        place: due.place,
        end,
        code: code.to_owned(),
        reference: None,
        again,
    }
}

fn state_of(due: &Due, now: DateTime<Utc>) -> State {
    State {
        used: u32::try_from(due.counted).unwrap_or_default(),
        not_sent: u32::try_from(due.begun.saturating_sub(due.counted)).unwrap_or_default(),
        expires_at: due.id.made_at().unwrap_or(now) + LIFE,
        is_probe: false,
    }
}

fn used(state: State) -> i16 {
    i16::try_from(state.used).unwrap_or(i16::MAX)
}
