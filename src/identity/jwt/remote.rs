//! Keys that a URL serves: fetched when the process starts, again when they are due, and early when a token asks for it.
//!
//! Its own file, because what is promised here is about time and a server that may be slow, wrong or gone:
//! - one task fetches, so no two fetches of one set run at once, and no request drives one;
//! - the last good keys stay in use for as long as no better ones come;
//! - tokens of unknown keys cause at most one early fetch a minute;
//! - a document is at most [`DOCUMENT_LIMIT`] bytes, and a fetch ends at its timeout.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::key::Algorithm;
use super::keys::KeySet;

/// A JWK Set of thirty keys with their certificates has some 100 KiB.
pub const DOCUMENT_LIMIT: usize = 256 * 1024;
/// Between two early fetches.
const EARLY: Duration = Duration::from_secs(60);
/// Between a fetch that failed and the next.
const RETRY: Duration = Duration::from_secs(2);
/// A request waits no longer for keys that are on their way.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where keys are, and how often they are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub url: String,
    pub algorithm: Algorithm,
    pub ttl: Duration,
    pub timeout: Duration,
}

/// The keys of one place.
pub struct Remote {
    shared: Arc<Shared>,
    /// The task ends with the last one who uses the keys.
    _stop: DropGuard,
}

struct Shared {
    place: Place,
    keys: ArcSwapOption<Fetched>,
    /// Of the newest keys; 0 before the first.
    generation: AtomicU64,
    /// A fetch is under way, or the task has been told to begin one.
    is_fetching: AtomicBool,
    /// When an early fetch was last asked for: milliseconds since `born`, from 1.
    early_at: AtomicU64,
    born: Instant,
    asked: Notify,
    /// Counts fetches that have ended, however they ended.
    ended: watch::Sender<u64>,
}

pub struct Fetched {
    pub keys: KeySet,
    pub generation: u64,
}

/// A fetch that is under way.
pub struct Fetching(watch::Receiver<u64>);

impl Fetching {
    /// Waits for its end, at most a second.
    pub async fn end(mut self) {
        let _ = timeout(PATIENCE, self.0.changed()).await;
    }
}

impl Remote {
    /// Starts the task that fetches, on `runtime`.
    fn start(place: Place, runtime: &Handle) -> anyhow::Result<Self> {
        let client = client(&place)?;
        let shared = Arc::new(Shared {
            place,
            keys: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            is_fetching: AtomicBool::new(true),
            early_at: AtomicU64::new(0),
            born: Instant::now(),
            asked: Notify::new(),
            ended: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        // Owned by this Remote; bound: one fetch at a time, each with a timeout.
        runtime.spawn({
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            async move {
                tokio::select! {
                    () = shared.tend(&client) => {}
                    () = stop.cancelled() => {}
                }
            }
        });
        Ok(Self {
            shared,
            _stop: stop.drop_guard(),
        })
    }

    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    pub fn keys(&self) -> Option<Arc<Fetched>> {
        self.shared.keys.load_full()
    }

    /// For a token that today's keys do not verify: the fetch that may bring its key. `None`: there is none, and it is too
    /// early for one.
    pub fn ask_early(&self) -> Option<Fetching> {
        let shared = &self.shared;
        // Before anything is asked for, so that its end is not missed.
        let fetching = Fetching(shared.ended.subscribe());
        if shared.is_fetching.load(Ordering::Acquire) {
            return Some(fetching);
        }
        let now = shared.now();
        let last = shared.early_at.load(Ordering::Acquire);
        let is_early = last != 0 && now - last.min(now) < millis(EARLY);
        // Without any keys the task tries again by itself, and soon.
        if is_early || self.generation() == 0 {
            return None;
        }
        let claimed =
            shared
                .early_at
                .compare_exchange(last, now, Ordering::AcqRel, Ordering::Acquire);
        if claimed.is_ok() && !shared.is_fetching.swap(true, Ordering::AcqRel) {
            shared.asked.notify_one();
        }
        Some(fetching)
    }
}

impl Shared {
    fn now(&self) -> u64 {
        millis(self.born.elapsed()).saturating_add(1)
    }

    /// Fetches for ever.
    async fn tend(&self, client: &reqwest::Client) {
        let mut is_failing = false;
        loop {
            self.is_fetching.store(true, Ordering::Release);
            let fetched = fetch(client, &self.place).await;
            let url = &self.place.url;
            let pause = match fetched {
                Ok(keys) => {
                    self.keep(keys);
                    if std::mem::take(&mut is_failing) {
                        tracing::info!(url, "the keys of tokens are fetched again");
                    }
                    self.place.ttl
                }
                Err(error) => {
                    // Once for each time that it goes wrong.
                    if !std::mem::replace(&mut is_failing, true) {
                        let error = format!("{error:#}");
                        tracing::warn!(
                            url,
                            error,
                            "the keys of tokens cannot be fetched; the last ones stay in use"
                        );
                    }
                    RETRY.min(self.place.ttl)
                }
            };
            self.is_fetching.store(false, Ordering::Release);
            self.ended.send_modify(|ended| *ended += 1);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    /// Puts keys in use. Those that are in use already keep their generation, and what was verified with them stands.
    fn keep(&self, keys: KeySet) {
        let known = self.keys.load();
        if known
            .as_ref()
            .is_some_and(|known| known.keys.is_same(&keys))
        {
            return;
        }
        let generation = self.generation.load(Ordering::Acquire) + 1;
        self.keys
            .store(Some(Arc::new(Fetched { keys, generation })));
        self.generation.store(generation, Ordering::Release);
        tracing::info!(url = self.place.url, "the keys of tokens are new");
    }
}

impl Place {
    /// Fetches the keys once, as a running process would: before a deployment.
    pub async fn try_once(&self) -> anyhow::Result<KeySet> {
        fetch(&client(self)?, self).await
    }
}

fn client(place: &Place) -> anyhow::Result<reqwest::Client> {
    // The process installs one when it begins; whoever uses the library alone has not.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("ficus/", env!("CARGO_PKG_VERSION")))
        // Whom to believe was configured; nobody else is.
        .redirect(reqwest::redirect::Policy::none())
        .timeout(place.timeout)
        .pool_max_idle_per_host(0)
        .build()
        .context("key_url")
}

async fn fetch(client: &reqwest::Client, place: &Place) -> anyhow::Result<KeySet> {
    let mut answer = client.get(&place.url).send().await?;
    anyhow::ensure!(
        answer.status() == reqwest::StatusCode::OK,
        "the answer's status is {}",
        answer.status().as_u16()
    );
    let mut document = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        document.extend_from_slice(&chunk);
        anyhow::ensure!(
            document.len() <= DOCUMENT_LIMIT,
            "the answer is larger than {DOCUMENT_LIMIT} bytes"
        );
    }
    let document = String::from_utf8(document).context("the answer is no text")?;
    KeySet::of_document(place.algorithm, &document)
        .map_err(|problem| anyhow::anyhow!("the answer {problem}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The fetched keys of this process: a reload of the configuration goes on with those that it has.
#[derive(Default)]
pub struct Keyrings(Mutex<HashMap<Place, Weak<Remote>>>);

impl Keyrings {
    /// The keys of a place, shared with whoever uses it already. For the start and for reloads, never for a request.
    pub(super) fn open(&self, place: &Place, runtime: &Handle) -> anyhow::Result<Arc<Remote>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = places.get(place).and_then(Weak::upgrade) {
            return Ok(known);
        }
        places.retain(|_, known| known.strong_count() > 0);
        let fresh = Arc::new(Remote::start(place.clone(), runtime)?);
        places.insert(place.clone(), Arc::downgrade(&fresh));
        Ok(fresh)
    }
}
