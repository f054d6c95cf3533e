//! What the door goes by, and where it keeps count: the limits in force, the counters by reason, the sampled lines.
//!
//! Its own file, because every connection of every worker asks here.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;

use super::backlog::Backlog;
use super::flaw::Flaw;
use super::sample::Sample;
use crate::proxy::edge::Edge;
use crate::proxy::headers::fresh_ids;
use crate::proxy::refusal::{Refusal, problem};
use crate::telemetry::Metrics;

pub struct Keeper {
    pub edge: Arc<ArcSwap<Edge>>,
    pub backlog: Backlog,
    flaws: [Counter; Flaw::ALL.len()],
    refused: [Counter; Refusal::ALL.len()],
    samples: [Sample; Flaw::ALL.len()],
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

impl Keeper {
    pub fn new(edge: Arc<ArcSwap<Edge>>, metrics: &Metrics) -> Self {
        Self {
            edge,
            backlog: Backlog::new(metrics.slow_readers.clone()),
            flaws: Flaw::ALL.map(|flaw| metrics.door_refused(flaw.as_str())),
            refused: Refusal::ALL.map(|refusal| metrics.refused(refusal.as_str())),
            samples: Flaw::ALL.map(|_| Sample::default()),
        }
    }

    /// Counts what was found, and writes a line of it unless there are too many.
    pub fn note(&self, flaw: Flaw, client: IpAddr, request_id: &str) {
        self.flaws[flaw as usize].inc();
        let second = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let second = second.map_or(0, |since| since.as_secs());
        if let Some(more) = self.samples[flaw as usize].admit(second) {
            tracing::warn!(
                reason = flaw.as_str(),
                status = flaw.refusal().status(),
                %client,
                request_id,
                not_logged = more,
                "refused at the door"
            );
        }
    }

    /// Refuses a request that nobody else has seen: counts it, and answers what the client is told.
    pub fn refuse(&self, flaw: Flaw, client: IpAddr, is_head: bool) -> Vec<u8> {
        let (request_id, _) = fresh_ids();
        let request_id = request_id.to_str().unwrap_or_default();
        self.note(flaw, client, request_id);
        self.refused[flaw.refusal() as usize].inc();
        raw(flaw.refusal(), request_id, is_head)
    }
}

/// The whole answer, for a connection of which nothing but the socket is left.
fn raw(refusal: Refusal, request_id: &str, is_head: bool) -> Vec<u8> {
    let body = problem(refusal, request_id);
    let status = refusal.status();
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let allow = match refusal {
        Refusal::MethodRefused => "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
        _ => "",
    };
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nx-request-id: {request_id}\r\ndate: {date}\r\n{allow}connection: close\r\n\r\n",
        body.len()
    );
    if !is_head {
        answer.push_str(&body);
    }
    answer.into_bytes()
}
