//! What a route asks of its requests beside where they go.
//!
//! Its own folder, because a route that asks nothing pays nothing: the routing table answers `None` for it, and no code
//! here runs. `ficus explain` reads the same compiled policy as the gateway. What requests and answers go through is in
//! [`apply`].

pub mod apply;
pub mod auth;

use http::Method;

use super::Route;
use super::cors::{Cors, Rules};
use super::limits::client::By;
use super::limits::rule::{RateLimit, Rule};
use auth::Auth;

/// What a `[[route]]` says of it, checked. The default asks nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutePolicy {
    /// Bytes of a request body in place of `proxy.limits.body_bytes`; 0 means no bound.
    pub body_bytes: Option<u64>,
    pub cors: Option<Cors>,
    pub rate_limit: Option<RateLimit>,
    pub auth: Auth,
}

/// The same, prepared for requests.
pub struct Policy {
    pub body_bytes: Option<u64>,
    pub cors: Option<Rules>,
    pub rate_limit: Option<Rule>,
    pub auth: Auth,
}

impl Policy {
    /// `None`: nothing is asked.
    pub fn compile(route: &Route) -> Option<Self> {
        let said = &route.policy;
        if *said == RoutePolicy::default() {
            return None;
        }
        let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
        let name = format!(
            "{} {} {}",
            route.host.as_deref().unwrap_or_default(),
            methods.join(","),
            route.path
        );
        Some(Self {
            body_bytes: said.body_bytes,
            cors: said
                .cors
                .as_ref()
                .map(|cors| Rules::compile(cors, &route.methods)),
            rate_limit: said
                .rate_limit
                .as_ref()
                .map(|limit| Rule::compile(limit, &name)),
            auth: said.auth.clone(),
        })
    }

    /// Whether who asks can change what is answered, even where it changes no side.
    pub fn needs_identity(&self) -> bool {
        let limit = self.rate_limit.as_ref();
        self.auth != Auth::None || limit.is_some_and(|rule| rule.by != By::Ip)
    }

    /// One line for each thing that is asked.
    pub fn describe(&self) -> Vec<String> {
        let body = self.body_bytes.map(|bytes| match bytes {
            0 => "the body may have any size".to_owned(),
            bytes => format!("the body may have {bytes} bytes"),
        });
        let cors = self.cors.as_ref().map(Rules::describe);
        let rate = self.rate_limit.as_ref().map(Rule::describe);
        [body, cors, rate, self.auth.describe()]
            .into_iter()
            .flatten()
            .collect()
    }
}
