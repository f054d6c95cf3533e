//! `/api/v1/events`: changes as they happen, as server-sent events, with a beat between.
//!
//! Its own file, because it is the one answer that does not end by itself: its bounds stand here.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::Event;
use futures_util::{Stream, stream};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Problem, State};
use crate::ids::Revision;
use crate::rollout::{self, ChangeRow};

/// Between two signs of life: a server that is silent for longer is gone.
const BEAT: Duration = Duration::from_secs(5);
/// Between two looks at the database, where no snapshot tells of a change.
const POLL: Duration = Duration::from_secs(1);
/// After so long the stream ends and its reader comes again: by then a revoked token is known.
const LONGEST: Duration = Duration::from_secs(900);
/// Streams at once, of both kinds.
const MAX_STREAMS: usize = 256;
/// Changes read at once.
const BATCH: u32 = 200;

/// Who may still open a stream.
#[derive(Clone)]
pub(super) struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_STREAMS)))
    }
}

impl Streams {
    fn open(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too-many-streams",
                format!("{MAX_STREAMS} streams are open already"),
            )
        })
    }
}

/// What a stream waits for; it ends with the process, or after a quarter of an hour.
pub(super) struct Waiting {
    _place: OwnedSemaphorePermit,
    stop: CancellationToken,
    /// Moves when the process has a newer snapshot. `None`: there is no snapshot here.
    revision: Option<watch::Receiver<Revision>>,
    end: Instant,
    beat: Instant,
}

/// Why a wait was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    Look,
    Beat,
    End,
}

impl Waiting {
    pub(super) fn new(state: &State) -> Result<Self, Problem> {
        let now = Instant::now();
        Ok(Self {
            _place: state.streams.open()?,
            stop: state.stop.clone(),
            revision: state.process.as_ref().map(|process| process.flags.watch()),
            end: now + LONGEST,
            beat: now + BEAT,
        })
    }

    pub(super) async fn wait(&mut self) -> Woken {
        let poll = Instant::now() + POLL;
        let moved = async {
            if let Some(revision) = &mut self.revision
                && revision.changed().await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Woken::End,
            () = sleep_until(self.end) => Woken::End,
            () = sleep_until(self.beat) => {
                self.beat = Instant::now() + BEAT;
                Woken::Beat
            }
            () = moved => Woken::Look,
            () = sleep_until(poll) => Woken::Look,
        }
    }
}

/// The id of the last event that this reader has, if it had one.
pub(super) fn last_event(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = id
        .to_str()
        .ok()
        .and_then(|it| it.trim().parse().ok())
        .filter(|id| *id >= 0);
    id.map(|id| Some(Revision(id))).ok_or_else(|| {
        Problem::invalid("Last-Event-ID is no revision: expected the id of an event of this stream")
    })
}

struct Changes {
    state: State,
    waiting: Waiting,
    after: Revision,
    read: VecDeque<ChangeRow>,
    look: bool,
}

/// Revisions follow commit order, so what is asked for after the last one seen leaves nothing out.
pub(super) async fn stream(
    Shared(state): Shared<State>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let waiting = Waiting::new(&state)?;
    let after = match last_event(&headers)? {
        Some(revision) => revision,
        None => rollout::newest(&state.db).await?,
    };
    let changes = Changes {
        state,
        waiting,
        after,
        read: VecDeque::new(),
        look: true,
    };
    Ok(Sse::new(stream::unfold(
        changes,
        |mut changes| async move {
            let event = changes.next().await?;
            Some((Ok(event), changes))
        },
    )))
}

impl Changes {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(change) = self.read.pop_front() {
                self.after = change.revision;
                let event = Event::default()
                    .event("change")
                    .id(change.revision.to_string());
                return event.json_data(&change).ok();
            }
            if self.look {
                self.look = false;
                match rollout::changes_after(&self.state.db, self.after, BATCH).await {
                    Ok(changes) if !changes.is_empty() => {
                        // A full batch may have more behind it.
                        self.look = true;
                        self.read = changes.into();
                        continue;
                    }
                    Ok(_) => {}
                    // The next look is a second away; the beats go on and say where the stream stands.
                    Err(fault) => {
                        tracing::warn!(error = %fault, "a stream of changes cannot read them")
                    }
                }
            }
            match self.waiting.wait().await {
                Woken::End => return None,
                Woken::Look => self.look = true,
                Woken::Beat => {
                    let beat = Event::default()
                        .event("beat")
                        .json_data(json!({ "revision": self.after }));
                    return beat.ok();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_event_id_is_a_revision_or_refused() {
        let headers = |id: &'static str| {
            HeaderMap::from_iter([(
                axum::http::HeaderName::from_static("last-event-id"),
                axum::http::HeaderValue::from_static(id),
            )])
        };
        assert_eq!(last_event(&HeaderMap::new()).unwrap(), None);
        assert_eq!(last_event(&headers("42")).unwrap(), Some(Revision(42)));
        for id in ["", "x", "-1", "1.5"] {
            assert!(last_event(&headers(id)).is_err(), "{id:?}");
        }
    }
}
