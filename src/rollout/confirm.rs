//! Confirmation: waits until every live proxy has applied a revision, and says how long each took.
//!
//! Its own file, because "confirmed" is the product's promise and its rule stands in one pure function, [`judge`].
//! Both ends of each time come from the database's clock, so no two machines' clocks are compared.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use super::instances::is_live;
use super::transaction::within;
use super::{Change, Error};
use crate::ids::Revision;

/// Between two looks at `ficus.instance`: small beside the tens of milliseconds that a flip takes.
const POLL: Duration = Duration::from_millis(5);

/// What became of a change on the proxies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Confirmation {
    /// Every live proxy has applied it, and no proxy that went silent is the only one there is.
    pub confirmed: bool,
    pub proxies: Vec<Proxy>,
    /// How long the wait took.
    pub elapsed_ms: f64,
    /// Why the wait ended early: the database went away after the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Proxy {
    pub name: String,
    pub state: ProxyState,
    /// Of a confirmed proxy: from the change to its being in force. 0 where it was in force already.
    pub ms: Option<f64>,
    pub applied_revision: Revision,
    /// Since its last sign of life.
    pub heartbeat_age_ms: f64,
    /// It said goodbye; a dead one that did not may still be serving.
    pub stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyState {
    Confirmed,
    Lagging,
    /// No heartbeat for ten seconds, or stopped. Named, and not waited for.
    Dead,
}

/// A proxy's row as it is read.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Seen {
    name: String,
    #[sqlx(try_from = "i64")]
    applied_revision: Revision,
    since_change_ms: f64,
    heartbeat_age_ms: f64,
    stopped: bool,
}

/// Waits until every live proxy has applied the change, at most `patience`. Never fails: the change stands
/// already, and an answer that knows less is better than none.
pub async fn confirm(pool: &PgPool, change: &Change, patience: Duration) -> Confirmation {
    let start = Instant::now();
    let mut proxies: Vec<Proxy> = Vec::new();
    loop {
        let fault = match look(pool, change.revision, change.at).await {
            Ok(seen) => {
                proxies = seen;
                None
            }
            Err(fault) => Some(fault.to_string()),
        };
        let confirmed = fault.is_none() && is_confirmed(&proxies);
        let waiting = fault.is_none() && proxies.iter().any(|p| p.state == ProxyState::Lagging);
        let left = patience.saturating_sub(start.elapsed());
        if !waiting || left.is_zero() {
            let outcome = Confirmation {
                confirmed,
                proxies,
                elapsed_ms: start.elapsed().as_secs_f64() * 1000.0,
                fault,
            };
            if change.changed > 0 && outcome.fault.is_none() {
                record(pool, change, &outcome).await;
            }
            return outcome;
        }
        sleep(POLL.min(left)).await;
    }
}

/// Keeps what was seen, beside the change. One that cannot be kept is told and is no failure: the change is in force.
async fn record(pool: &PgPool, change: &Change, seen: &Confirmation) {
    let acknowledged = || seen.proxies.iter().filter_map(|proxy| proxy.ms);
    let insert = sqlx::query(
        "insert into ficus.confirmation (revision, committed_at, first_ack_at, last_ack_at, confirmed, proxies)
         select revision, clock_timestamp() - $2 * interval '1 ms', at + $3 * interval '1 ms', at + $4 * interval '1 ms', $5, $6
         from ficus.change where revision = $1
         on conflict on constraint confirmation_pkey do nothing",
    )
    .bind(change.revision.0)
    .bind(seen.elapsed_ms)
    .bind(acknowledged().reduce(f64::min))
    .bind(acknowledged().reduce(f64::max))
    .bind(seen.confirmed)
    .bind(sqlx::types::Json(&seen.proxies));
    if let Err(fault) = within(insert.execute(pool)).await {
        tracing::warn!(error = %fault, revision = change.revision.0, "when the proxies had a change is not kept");
    }
}

async fn look(pool: &PgPool, revision: Revision, at: DateTime<Utc>) -> Result<Vec<Proxy>, Error> {
    let query = sqlx::query_as::<_, Seen>(
        "select name, applied_revision, stopped_at is not null as stopped,
                (extract(epoch from applied_at - $1) * 1000)::float8 as since_change_ms,
                (extract(epoch from clock_timestamp() - heartbeat_at) * 1000)::float8 as heartbeat_age_ms
         from ficus.instance where 'proxy' = any (roles) order by name, id",
    )
    .bind(at);
    Ok(within(query.fetch_all(pool))
        .await?
        .into_iter()
        .map(|seen| judge(seen, revision))
        .collect())
}

fn judge(seen: Seen, revision: Revision) -> Proxy {
    let state = match (
        is_live(seen.stopped, seen.heartbeat_age_ms),
        seen.applied_revision >= revision,
    ) {
        (false, _) => ProxyState::Dead,
        (true, true) => ProxyState::Confirmed,
        (true, false) => ProxyState::Lagging,
    };
    Proxy {
        name: seen.name,
        state,
        ms: (state == ProxyState::Confirmed).then_some(seen.since_change_ms.max(0.0)),
        applied_revision: seen.applied_revision,
        heartbeat_age_ms: seen.heartbeat_age_ms.max(0.0),
        stopped: seen.stopped,
    }
}

/// No live proxy lags; and if none is live, none has merely gone silent, for it may be serving cut off from here.
fn is_confirmed(proxies: &[Proxy]) -> bool {
    let live = proxies.iter().any(|p| p.state == ProxyState::Confirmed);
    let lagging = proxies.iter().any(|p| p.state == ProxyState::Lagging);
    let silent = proxies
        .iter()
        .any(|p| p.state == ProxyState::Dead && !p.stopped);
    !lagging && (live || !silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(applied: i64, heartbeat_age_ms: f64, stopped: bool) -> Proxy {
        let seen = Seen {
            name: "p".into(),
            applied_revision: Revision(applied),
            since_change_ms: 3.0,
            heartbeat_age_ms,
            stopped,
        };
        judge(seen, Revision(7))
    }

    #[test]
    fn a_proxy_at_the_revision_or_past_it_has_confirmed() {
        assert_eq!(seen(7, 0.0, false).state, ProxyState::Confirmed);
        assert_eq!(seen(8, 0.0, false).ms, Some(3.0));
        assert_eq!(seen(6, 0.0, false).state, ProxyState::Lagging);
    }

    #[test]
    fn a_silent_or_stopped_proxy_is_dead_and_not_waited_for() {
        let dead = seen(6, 10_000.0, false);
        assert_eq!(dead.state, ProxyState::Dead);
        assert_eq!(seen(7, 0.0, true).state, ProxyState::Dead);
        assert!(is_confirmed(&[seen(7, 0.0, false), dead]));
    }

    #[test]
    fn without_a_live_proxy_a_silent_one_leaves_it_unconfirmed() {
        assert!(!is_confirmed(&[seen(6, 10_000.0, false)]));
        assert!(
            is_confirmed(&[seen(6, 10_000.0, true)]),
            "a stopped proxy serves nobody"
        );
        assert!(is_confirmed(&[]));
    }
}
