//! Counters that several proxies share, in Redis.
//!
//! Its own file, because it is the one place where a request may wait for something beside its upstream, and only where
//! the configuration asks for it: one round trip, at most the deadline. Away, Redis makes nobody wait: the process goes
//! on with its own counters, which have followed what Redis said last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, cmd, pipe};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::gcra::Rate;
use crate::secret::Secret;

/// `[proxy.rate_limit] store = "redis"`, and `[redis]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharing {
    pub url: Secret,
    /// A request waits no longer than this for its count.
    pub deadline: Duration,
}

/// Requests that wait for their count at most; beyond it they are counted here.
const QUEUE: usize = 4096;
/// Counts in one round trip: what waits while one is under way goes with the next.
const BATCH: usize = 128;
/// Between two attempts to reach a Redis that is away.
const RETRY: Duration = Duration::from_secs(1);

/// [`Rate::take`] where the counter is, by the clock of Redis, in microseconds: a number of Lua holds those of an age
/// exactly. A key lives until its counter is full again.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = math.max(tonumber(redis.call('GET', KEYS[1]) or now) - now, 0)
local after = held + tonumber(ARGV[1])
if after > tonumber(ARGV[2]) then
    return {0, held}
end
redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', math.ceil(after / 1000))
return {1, after}
";

/// The sending end. Dropped, the connection ends.
pub struct Shared {
    asks: mpsc::Sender<Ask>,
    is_away: Arc<AtomicBool>,
    deadline: Duration,
    unanswered: Counter,
}

struct Ask {
    key: String,
    rate: Rate,
    answer: oneshot::Sender<Count>,
}

/// What Redis counted.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    pub allowed: bool,
    /// Nanoseconds until the counter is full.
    pub held: u64,
}

impl Shared {
    /// Connects on `runtime`, in its own time. `unanswered` counts the requests that were not counted there.
    pub fn start(
        sharing: &Sharing,
        runtime: &Handle,
        unanswered: Counter,
    ) -> Result<Self, RedisError> {
        let client = Client::open(sharing.url.reveal())?;
        let (asks, queue) = mpsc::channel(QUEUE);
        let is_away = Arc::new(AtomicBool::new(false));
        // One task for the life of the process. It ends when the sending end is dropped.
        runtime.spawn(serve(client, queue, Arc::clone(&is_away), sharing.deadline));
        Ok(Self {
            asks,
            is_away,
            deadline: sharing.deadline,
            unanswered,
        })
    }

    /// Takes one request. `None`: Redis did not say in time.
    pub async fn take(&self, key: String, rate: Rate) -> Option<Count> {
        let counted = match self.is_away.load(Ordering::Relaxed) {
            true => None,
            false => self.ask(key, rate).await,
        };
        if counted.is_none() {
            self.unanswered.inc();
        }
        counted
    }

    async fn ask(&self, key: String, rate: Rate) -> Option<Count> {
        let (answer, told) = oneshot::channel();
        self.asks.try_send(Ask { key, rate, answer }).ok()?;
        timeout(self.deadline, told).await.ok()?.ok()
    }
}

/// Asks in batches, as long as somebody may ask; connects again when Redis has gone.
async fn serve(
    client: Client,
    mut queue: mpsc::Receiver<Ask>,
    is_away: Arc<AtomicBool>,
    deadline: Duration,
) {
    loop {
        let problem = match connect(&client).await {
            Ok(connected) => {
                if is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("redis answers again: rate limits are shared");
                }
                match count(connected, &mut queue, deadline).await {
                    Ok(()) => return,
                    Err(e) => e,
                }
            }
            Err(e) => e,
        };
        if !is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = %problem, "redis is away: this process counts rate limits alone");
        }
        // Who still waits is let go at once.
        let let_go = async { while queue.recv().await.is_some() {} };
        tokio::select! {
            () = let_go => return,
            () = sleep(RETRY) => {}
        }
    }
}

/// A connection, and the name of the script in it.
async fn connect(client: &Client) -> Result<(MultiplexedConnection, String), RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(RETRY))
        .set_response_timeout(Some(RETRY));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let load = cmd("SCRIPT").arg("LOAD").arg(SCRIPT).to_owned();
    let script = load.query_async(&mut connection).await?;
    Ok((connection, script))
}

/// Until nobody can ask any more, or something goes wrong.
async fn count(
    (mut connection, script): (MultiplexedConnection, String),
    queue: &mut mpsc::Receiver<Ask>,
    deadline: Duration,
) -> Result<(), RedisError> {
    let mut asks = Vec::with_capacity(BATCH);
    loop {
        if queue.recv_many(&mut asks, BATCH).await == 0 {
            return Ok(());
        }
        // Who was counted here meanwhile is not counted there as well.
        asks.retain(|ask| !ask.answer.is_closed());
        let mut batch = pipe();
        for ask in &asks {
            let (step, depth) = (ask.rate.step() / 1000, ask.rate.depth() / 1000);
            let command = batch.cmd("EVALSHA").arg(&script).arg(1);
            command.arg(&ask.key).arg(step).arg(depth);
        }
        if asks.is_empty() {
            continue;
        }
        let counts = batch.query_async::<Vec<(u8, u64)>>(&mut connection);
        let counts = timeout(deadline, counts)
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        for (ask, (allowed, held)) in asks.drain(..).zip(counts) {
            // Who has waited too long has gone.
            let _ = ask.answer.send(Count {
                allowed: allowed == 1,
                held: held.saturating_mul(1000),
            });
        }
    }
}
