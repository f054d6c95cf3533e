//! Asks each address of an upstream whether it is well, and takes back those whose time outside is over.
//!
//! Its own file, because this is the one place where ficus asks an upstream something of its own accord.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header;
use pingora::connectors::http::v1::Connector;
use pingora::http::RequestHeader;
use pingora::prelude::*;
use tokio::time::{Instant, sleep_until, timeout};

use super::discovery::jitter;
use super::settings::Health;
use super::{Endpoint, Upstream};

/// Checks under way at once, of one upstream.
const AT_ONCE: usize = 16;
/// Without checks or ejections there is nothing to do but to see that the upstream is still there.
const IDLE: Duration = Duration::from_secs(60);

/// Watches one upstream until it is gone. Each check is bounded by its timeout, and a round by that of its slowest.
pub async fn keep(upstream: Weak<Upstream>) {
    // It reads the system's certificates, so it is made only where it is used.
    let mut connector = None;
    let mut check_at = Instant::now();
    loop {
        let Some(held) = upstream.upgrade() else {
            return;
        };
        let gone = held.gone.clone();
        let ejected = Arc::clone(&held.ejected);
        if let Some(health) = &held.config.health
            && Instant::now() >= check_at
        {
            let connector = connector.get_or_insert_with(|| Connector::new(None));
            check_all(&held, health, connector).await;
            check_at = Instant::now() + jitter(health.interval);
        }
        held.refresh();
        let mut next = match held.config.health {
            Some(_) => check_at,
            None => Instant::now() + IDLE,
        };
        if let Some(wait) = held.first_return() {
            next = next.min(Instant::now() + wait);
        }
        drop(held);
        tokio::select! {
            () = sleep_until(next) => {}
            () = ejected.notified() => {}
            () = gone.cancelled() => return,
        }
    }
}

impl Upstream {
    /// How long until an address that was thrown out may come back.
    fn first_return(&self) -> Option<Duration> {
        let now = self.now();
        let endpoints = self.endpoints.load();
        let out = endpoints.all.iter().filter_map(|e| e.record.out_until(now));
        out.min().map(|until| Duration::from_millis(until - now))
    }
}

async fn check_all(upstream: &Upstream, health: &Health, connector: &Connector) {
    let all = Arc::clone(&upstream.endpoints.load().all);
    let mut waiting = all.iter();
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(endpoint) = waiting.next()
        {
            under_way.push(async move {
                let asked = timeout(health.timeout, ask(endpoint, health, connector)).await;
                let said = match asked {
                    Ok(Ok(status)) if health.status.contains(&status) => Ok(()),
                    Ok(Ok(status)) => Err(format!("it answers {status}")),
                    Ok(Err(e)) => Err(e.etype().as_str().to_owned()),
                    Err(_) => Err(format!("no answer in {:?}", health.timeout)),
                };
                (endpoint, said)
            });
        }
        let Some((endpoint, said)) = under_way.next().await else {
            return;
        };
        if endpoint.checked(said.is_ok(), health) {
            let (name, address) = (&upstream.name, endpoint.address);
            match said {
                Ok(()) => tracing::info!(upstream = name, %address, "an address is healthy again"),
                Err(problem) => {
                    tracing::warn!(upstream = name, %address, problem, "an address is unhealthy")
                }
            }
            upstream.refresh();
        }
    }
}

/// The status of one answer.
async fn ask(endpoint: &Endpoint, health: &Health, connector: &Connector) -> Result<u16> {
    let peer = endpoint.fresh_peer();
    let (mut session, _) = connector.get_http_session(&*peer).await?;
    let mut request = RequestHeader::build("GET", health.path.as_bytes(), Some(4))?;
    request.insert_header(header::HOST, endpoint.authority.clone())?;
    request.insert_header(header::USER_AGENT, "ficus-health-check")?;
    request.insert_header(header::CONNECTION, "close")?;
    session.write_request_header(Box::new(request)).await?;
    session.read_response().await?;
    let status = session.resp_header().map(|head| head.status.as_u16());
    status.ok_or_else(|| Error::explain(H1Error, "an answer without a head"))
}
