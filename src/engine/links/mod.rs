//! The links that mails have, served: opens, clicks, unsubscribing, legacy's links; and the mails that come back.
//!
//! Its own folder, because strangers ask here, without a login and by the thousand: what is forged, cut or old changes nothing
//! and is told nothing, and no reader waits for anything to be written. What a link is and where one may lead is decided in
//! [`crate::engine::tracking`], what a report says in [`crate::engine::bounce`]; docs/ENGINE.md has the whole.
//!
//! Who makes mails calls [`store_targets`] once for each text and [`LinkMaker::rewrite`] for each message.

mod counts;
mod inbound;
mod legacy;
mod lookup;
mod make;
mod page;
mod reader;
mod recorder;
mod store;
mod unsubscribe;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::routing::{get, post};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::legacy::Legacy;
use self::lookup::Lookup;
use self::recorder::{Recorder, Waiting};
use super::tracking::{LinkKeys, ShortKey};
use crate::secret::Secret;

pub use self::legacy::LinkStatements;
pub use self::make::LinkMaker;
pub use self::store::{Source, StoreFault, store_targets};

/// Who ask at once to be told when all is written.
const ASKERS: usize = 16;

/// What `[engine]` says of links.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Where links lead, without a slash at its end. `None`: none are made.
    pub public_url: Option<String>,
    /// What links are signed with, of at least 32 bytes. Empty: none are made, and none is ours.
    pub key: Secret,
    /// What links were signed with that are still out.
    pub old_keys: Vec<Secret>,
    /// What relays show that hand reports in. Empty: none are taken.
    pub inbound_secret: Secret,
    /// At which mails come back. `None`: to their senders.
    pub bounce_domain: Option<String>,
}

impl Config {
    fn keys(&self) -> Result<Option<LinkKeys>, ShortKey> {
        match self.key.is_empty() {
            true => Ok(None),
            false => LinkKeys::new(&self.key, &self.old_keys).map(Some),
        }
    }
}

/// Serves links. Clones are the same.
#[derive(Clone)]
pub struct Links(Arc<Inner>);

/// What the routes work with.
struct Inner {
    keys: Option<LinkKeys>,
    /// SHA-256 of the secret.
    inbound: Option<[u8; 32]>,
    ficus: PgPool,
    legacy: Legacy,
    lookup: Lookup,
    waiting: Arc<Waiting>,
    recorder: mpsc::Sender<oneshot::Sender<()>>,
}

impl Links {
    /// What readers do is written by a task of `tasks`, which ends when the last clone is dropped, with everything written that
    /// can be; `stop` makes it hurry. Bounds: 200,000 messages and trackers that wait, three statements at a time.
    pub fn start(
        ficus: PgPool,
        legacy: PgPool,
        config: &Config,
        statements: LinkStatements,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, ShortKey> {
        let legacy = Legacy::new(legacy, statements);
        let waiting = Arc::new(Waiting::new());
        let (ask, asked) = mpsc::channel(ASKERS);
        let links = Inner {
            keys: config.keys()?,
            inbound: (!config.inbound_secret.is_empty())
                .then(|| Sha256::digest(config.inbound_secret.reveal()).into()),
            lookup: Lookup::new(ficus.clone(), legacy.clone(), Arc::clone(&waiting)),
            ficus: ficus.clone(),
            legacy: legacy.clone(),
            waiting: Arc::clone(&waiting),
            recorder: ask,
        };
        let recorder = Recorder {
            ficus,
            legacy,
            waiting,
            asked,
        };
        tasks.spawn(recorder.run(stop));
        Ok(Self(Arc::new(links)))
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/o/{link}", get(reader::open))
            .route("/c/{link}", get(reader::click))
            .route(
                "/u/{link}",
                get(unsubscribe::ask).post(unsubscribe::unsubscribe),
            )
            .route("/tracker/{uuid}/{action}", get(reader::legacy))
            .route("/email/t/{hash}", get(reader::legacy))
            .route("/email/l/{url}/{hash}", get(reader::legacy))
            .route("/email/n", get(reader::legacy))
            .route("/inbound/bounces", post(inbound::take_report))
            .with_state(Arc::clone(&self.0))
    }

    /// Legacy's tables are to be told of somebody to whom nothing more is sent.
    pub fn tell(&self) {
        self.0.waiting.tell();
    }

    /// Until what has been counted so far is written, or could not be: then it waits, and this says nothing of it.
    pub async fn flush(&self) {
        let (asker, written) = oneshot::channel();
        if self.0.recorder.send(asker).await.is_ok() {
            // A recorder that has ended has written what it could.
            let _ = written.await;
        }
    }

    /// Opens and clicks that were not counted, since the start.
    pub fn lost(&self) -> u64 {
        self.0.waiting.lost.load(Ordering::Relaxed)
    }

    /// Look-ups that the database did not answer, since the start.
    pub fn unanswered(&self) -> u64 {
        self.0.waiting.unanswered.load(Ordering::Relaxed)
    }
}
