//! Sends what is due: holds shards, reads for their tenants, and has each message attempted in its turn.
//!
//! Its own folder, because it is the one place where time passes in the engine. What is decided stands in `lanes` and `retry`;
//! one task decides, and as many as may be under way wait for servers.

mod attempt;
mod house;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::house::{House, OnUncertain, Settling, keep_house};

use self::attempt::{After, Attempts, Begins, Ends};
use super::alarm::Alarm;
use super::breaker::{Breakers, Change, Sign};
use super::group::{self, Group};
use super::lanes::{self, Lanes, Load};
use super::message::{MessageId, SHARDS, shard_of};
use super::provider::Provider;
use super::queue::{Due, Held, Queue};
use crate::ids::TenantId;
use crate::telemetry::EngineMetrics;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A tenant whose message could not begin, through no fault of its server, is left alone for so long.
const NOT_BEGUN_WAIT: TimeDelta = TimeDelta::seconds(1);
/// What somebody holds back is looked at again after this.
const REFUSED_WAIT: TimeDelta = TimeDelta::seconds(5);
/// Readings at once.
const READERS: usize = 4;
/// Ends that a stop waits for before it gives up.
const DRAIN: Duration = Duration::from_secs(30);

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The queue's: it is prolonged three times in this time.
    pub lease: Duration,
    /// Between two looks for what other processes have made due.
    pub poll: Duration,
    pub lanes: lanes::Bounds,
    /// A tenant whose server refuses us, or that has none, is tried again after this, with one message.
    pub account_wait: Duration,
    /// Attempts that are written down by one statement, and ends.
    pub group: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            lanes: lanes::Bounds {
                tenant_under_way: 500,
                under_way: 8_000,
                buffer: 1_000,
            },
            account_wait: Duration::from_secs(300),
            group: 2_000,
        }
    }
}

/// Tells a worker of tenants for whom something has become due. Dropping words is harmless: it looks by itself as well.
#[derive(Clone)]
pub struct Hints(mpsc::Sender<TenantId>);

impl Hints {
    pub fn due(&self, tenant: TenantId) {
        let _ = self.0.try_send(tenant);
    }
}

pub struct Worker<Q, P> {
    queue: Arc<Q>,
    provider: Arc<P>,
    options: Options,
    hints: mpsc::Receiver<TenantId>,
    metrics: EngineMetrics,
    alarm: Alarm,
}

/// What the deciding task hears of.
enum Heard {
    Stop,
    Due(TenantId),
    Done(TenantId, MessageId, (After, Sign)),
    Read(Load, Result<Vec<Due>, sqlx::Error>),
    Found(Result<Vec<TenantId>, sqlx::Error>),
    Held(Result<Held, sqlx::Error>),
    Poll,
    Prolong,
    Wake,
}

impl<Q: Queue, P: Provider> Worker<Q, P> {
    pub fn new(queue: Arc<Q>, provider: Arc<P>, options: Options) -> (Self, Hints) {
        let (hints, heard) = mpsc::channel(10_000);
        let worker = Self {
            queue,
            provider,
            options,
            hints: heard,
            metrics: EngineMetrics::default(),
            alarm: Alarm::off(),
        };
        (worker, Hints(hints))
    }

    /// Counts into these; without them it counts for nobody.
    pub fn measured(self, metrics: EngineMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Tells people of servers that fail; without it nobody is told.
    pub fn telling(self, alarm: Alarm) -> Self {
        Self { alarm, ..self }
    }

    /// Sends until `stop`; then lets what is under way end, and lets go of its shards.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let (groups, give_up) = (CancellationToken::new(), CancellationToken::new());
        let bounds = group::Bounds {
            items: self.options.group,
            statements: 1,
            waiting: self.options.lanes.under_way,
        };
        let begins = Begins(Arc::clone(&self.queue));
        let ends = Ends {
            queue: Arc::clone(&self.queue),
            give_up: give_up.clone(),
        };
        let attempts = Arc::new(Attempts {
            provider: self.provider,
            begins: Group::start(begins, bounds, &tasks, groups.clone()),
            ends: Group::start(ends, bounds, &tasks, groups.clone()),
            metrics: self.metrics,
            account_wait: TimeDelta::from_std(self.options.account_wait).unwrap_or(TimeDelta::MAX),
        });
        let mut loop_ = Loop {
            queue: Arc::clone(&self.queue),
            attempts,
            lanes: Lanes::new(self.options.lanes),
            breakers: Breakers::new(self.options.account_wait),
            alarm: self.alarm,
            held: Held::new(),
            wakes: BTreeSet::new(),
            reading: JoinSet::new(),
            asking: JoinSet::new(),
            sending: JoinSet::new(),
            loads: Vec::new(),
            hints: self.hints,
        };
        loop_.run(self.options, stop).await;
        let drained = tokio::time::timeout(DRAIN, loop_.drain()).await;
        if drained.is_err() {
            tracing::warn!(
                messages = loop_.lanes.under_way(),
                "stopped before these had ended: they will be held for uncertain where they had begun"
            );
        }
        give_up.cancel();
        groups.cancel();
        drop(loop_);
        tasks.close();
        tasks.wait().await;
        if let Err(error) = self.queue.release().await {
            tracing::warn!(%error, "could not let go of the shards: others get them when the lease is over");
        }
    }
}

/// The deciding task's own.
struct Loop<Q, P> {
    queue: Arc<Q>,
    attempts: Arc<Attempts<P>>,
    lanes: Lanes,
    breakers: Breakers,
    alarm: Alarm,
    held: Held,
    /// When something of whom is due again.
    wakes: BTreeSet<(DateTime<Utc>, TenantId)>,
    reading: JoinSet<(Load, Result<Vec<Due>, sqlx::Error>)>,
    /// Questions for tenants and for shards, one of each at a time.
    asking: JoinSet<Heard>,
    sending: JoinSet<(TenantId, MessageId, (After, Sign))>,
    /// Readings that wait for a reader.
    loads: Vec<Load>,
    hints: mpsc::Receiver<TenantId>,
}

impl<Q: Queue, P: Provider> Loop<Q, P> {
    async fn run(&mut self, options: Options, stop: CancellationToken) {
        let mut poll = interval(options.poll);
        let mut prolong = interval(options.lease / 3);
        for timer in [&mut poll, &mut prolong] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let (mut is_polling, mut is_prolonging) = (false, false);
        loop {
            let wake = self.wakes.first().map(|(at, _)| until(*at));
            let heard = tokio::select! {
                biased;
                () = stop.cancelled() => Heard::Stop,
                _ = prolong.tick(), if !is_prolonging => Heard::Prolong,
                Some(Ok((tenant, id, made))) = self.sending.join_next() => Heard::Done(tenant, id, made),
                Some(Ok((load, read))) = self.reading.join_next() => Heard::Read(load, read),
                Some(Ok(answer)) = self.asking.join_next() => answer,
                Some(tenant) = self.hints.recv() => Heard::Due(tenant),
                () = async { sleep_until(wake.unwrap_or_else(Instant::now)).await }, if wake.is_some() => Heard::Wake,
                _ = poll.tick(), if !is_polling => Heard::Poll,
            };
            match heard {
                Heard::Stop => return,
                Heard::Due(tenant) if self.held.contains_key(&shard_of(tenant)) => {
                    self.lanes.note_new(tenant)
                }
                Heard::Due(_) => {}
                Heard::Done(tenant, id, (after, sign)) => {
                    self.done(tenant, id, after);
                    self.heed(tenant, sign);
                }
                Heard::Read(load, Ok(read)) => self.lanes.fill(load, read),
                Heard::Read(load, Err(error)) => {
                    tracing::warn!(%error, tenant = %load.tenant, "could not read what is due");
                    self.lanes.not_loaded(load.tenant);
                    self.wakes
                        .insert((Utc::now() + NOT_BEGUN_WAIT, load.tenant));
                }
                Heard::Prolong => {
                    is_prolonging = true;
                    let queue = Arc::clone(&self.queue);
                    let most = usize::try_from(SHARDS).unwrap_or_default();
                    self.asking
                        .spawn(async move { Heard::Held(queue.take_shards(most).await) });
                }
                Heard::Held(answer) => {
                    is_prolonging = false;
                    match answer {
                        Ok(held) => self.holds(held),
                        Err(error) => tracing::warn!(%error, "could not prolong the lease"),
                    }
                }
                Heard::Poll => {
                    is_polling = true;
                    let queue = Arc::clone(&self.queue);
                    let shards: Vec<i16> = self.held.keys().copied().collect();
                    self.asking
                        .spawn(async move { Heard::Found(queue.tenants(&shards).await) });
                }
                Heard::Found(answer) => {
                    is_polling = false;
                    match answer {
                        Ok(tenants) => tenants.into_iter().for_each(|it| self.note(it)),
                        Err(error) => tracing::warn!(%error, "could not look for what is due"),
                    }
                }
                Heard::Wake => {
                    let now = Utc::now();
                    while let Some((at, tenant)) =
                        self.wakes.first().copied().filter(|it| it.0 <= now)
                    {
                        self.wakes.remove(&(at, tenant));
                        self.note(tenant);
                    }
                }
            }
            self.read();
            self.send();
        }
    }

    /// Until nothing is under way.
    async fn drain(&mut self) {
        while let Some(ended) = self.sending.join_next().await {
            if let Ok((tenant, id, _)) = ended {
                self.lanes.done(tenant, id);
            }
        }
    }

    fn note(&mut self, tenant: TenantId) {
        if self.held.contains_key(&shard_of(tenant)) {
            self.lanes.note(tenant);
        }
    }

    fn done(&mut self, tenant: TenantId, id: MessageId, after: After) {
        let now = Utc::now();
        match after {
            After::Ended | After::StillDue => {}
            After::Again(at) => {
                self.wakes.insert((at, tenant));
            }
            After::Blocked(at) => {
                self.lanes.block(tenant, at);
                self.wakes.insert((at, tenant));
            }
            After::NotBegun => {
                self.lanes.block(tenant, now + NOT_BEGUN_WAIT);
                self.wakes.insert((now + NOT_BEGUN_WAIT, tenant));
            }
            After::Refused => {
                self.lanes.block(tenant, now + REFUSED_WAIT);
                self.wakes.insert((now + REFUSED_WAIT, tenant));
            }
        }
        self.lanes.done(tenant, id);
    }

    /// What an attempt says of its tenant's server is the rule for the tenant's others.
    fn heed(&mut self, tenant: TenantId, sign: Sign) {
        match self
            .breakers
            .hear(tenant, sign, Utc::now(), &mut rand::rng())
        {
            Change::None => {}
            Change::Pause { until, trouble } => {
                self.lanes.pause(tenant, until);
                self.wakes.insert((until, tenant));
                let Some(trouble) = trouble else { return };
                if trouble.is_new {
                    let (server, code) = (&trouble.fault.server, &trouble.fault.code);
                    tracing::error!(%tenant, server, code, since = %trouble.since, "a tenant's mail server cannot be used; its messages wait");
                }
                self.alarm.raise(trouble);
            }
            Change::Close { was_told } => {
                self.lanes.resume(tenant);
                self.note(tenant);
                if was_told {
                    tracing::info!(%tenant, "a tenant's mail server can be used again");
                    self.alarm.end(tenant);
                }
            }
        }
    }

    /// What was read of a shard under another epoch is forgotten: its owner in between may have sent it.
    fn holds(&mut self, held: Held) {
        let before = std::mem::replace(&mut self.held, held);
        let held = &self.held;
        let same = |shard| held.contains_key(&shard) && held.get(&shard) == before.get(&shard);
        if before.keys().any(|shard| !same(*shard)) {
            self.lanes.retain(|tenant| same(shard_of(tenant)));
            self.breakers.retain(|tenant| same(shard_of(tenant)));
        }
    }

    fn read(&mut self) {
        self.loads.extend(self.lanes.loads());
        while self.reading.len() < READERS {
            let Some(load) = self.loads.pop() else {
                return;
            };
            let queue = Arc::clone(&self.queue);
            self.reading.spawn(async move {
                let read = queue.load(load.tenant, load.after, load.most).await;
                (load, read)
            });
        }
    }

    fn send(&mut self) {
        let now = Utc::now();
        while let Some(due) = self.lanes.take(now) {
            let (tenant, id) = (due.tenant, due.id);
            let Some(epoch) = self.held.get(&shard_of(tenant)).copied() else {
                self.lanes.done(tenant, id);
                continue;
            };
            let attempts = Arc::clone(&self.attempts);
            self.sending
                .spawn(async move { (tenant, id, attempts.make(due, epoch).await) });
        }
    }
}

fn until(at: DateTime<Utc>) -> Instant {
    Instant::now() + (at - Utc::now()).to_std().unwrap_or_default()
}
