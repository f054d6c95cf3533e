//! What a route asks of its requests beside where they go.
//!
//! Its own folder, because a route that asks nothing pays nothing: the routing table answers `None` for it, and no code
//! here runs. `ficus explain` reads the same compiled policy as the gateway.

use http::{HeaderMap, header};

use super::refusal::Refusal;

/// What a `[[route]]` says of it, checked. The default asks nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutePolicy {
    /// Bytes of a request body in place of `proxy.limits.body_bytes`; 0 means no bound.
    pub body_bytes: Option<u64>,
}

/// The same, prepared for requests.
pub struct Policy {
    pub body_bytes: Option<u64>,
}

impl Policy {
    /// `None`: nothing is asked.
    pub fn compile(said: &RoutePolicy) -> Option<Self> {
        (*said != RoutePolicy::default()).then_some(Self {
            body_bytes: said.body_bytes,
        })
    }

    /// One line for each thing that is asked.
    pub fn describe(&self) -> Vec<String> {
        let body = self.body_bytes.map(|bytes| match bytes {
            0 => "the body may have any size".to_owned(),
            bytes => format!("the body may have {bytes} bytes"),
        });
        body.into_iter().collect()
    }
}

/// Refuses a body that says itself that it is larger than `limit`; 0 means no bound. One of unknown length is counted
/// while it comes.
pub fn check_length(headers: &HeaderMap, limit: u64) -> Result<(), Refusal> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    match length {
        Some(length) if limit > 0 && length > limit => Err(Refusal::BodyTooLarge),
        _ => Ok(()),
    }
}
