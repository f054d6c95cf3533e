//! What one process knows of its upstreams now, for people who ask.
//!
//! Its own file, because nothing of it is in a request's path: `ficus status` and the admin API show it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::breaker::State;
use super::{Endpoint, Upstream};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Standing {
    pub name: String,
    /// `closed`: it is asked; `half-open`: a few requests try it; `open`: nobody asks it. `None`: it has no breaker.
    pub breaker: Option<String>,
    /// Empty: its names have no address yet.
    pub addresses: Vec<Address>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Address {
    pub address: String,
    /// `ready`, `unhealthy` by its checks, or `ejected` for its failures. Where none is ready, all are asked.
    pub state: String,
    /// How long it is still ejected.
    pub ejected_seconds: Option<f64>,
    /// Requests under way there; of an upstream's only address they are not counted.
    pub in_flight: usize,
}

impl Upstream {
    /// As this process sees it. Another may see it otherwise.
    pub fn standing(&self) -> Standing {
        let now = self.now();
        let endpoints = self.endpoints.load();
        Standing {
            name: self.name.clone(),
            breaker: self.breaker.as_ref().map(|b| word(b.state()).to_owned()),
            addresses: endpoints.all.iter().map(|e| address(e, now)).collect(),
        }
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::HalfOpen => "half-open",
        State::Open => "open",
    }
}

fn address(endpoint: &Arc<Endpoint>, now: u64) -> Address {
    let out = endpoint.record.out_until(now);
    Address {
        address: endpoint.address.to_string(),
        state: match (endpoint.is_healthy(), out) {
            (false, _) => "unhealthy",
            (true, Some(_)) => "ejected",
            (true, None) => "ready",
        }
        .to_owned(),
        ejected_seconds: out.map(|until| (until - now) as f64 / 1e3),
        in_flight: endpoint.in_flight(),
    }
}
