//! (skeleton) The resolvers' configuration; the rest is under construction.

use std::time::Duration;

use crate::secret::Secret;

/// One `[[tenant]]` entry. Tried in order; the first that names a tenant ends the chain.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolver {
    /// A header that a trusted peer sets: an id or a slug.
    Header { name: http::HeaderName },
    /// `{tenant}.example.com`: the one label in place of `{tenant}` is an id or a slug.
    Host { pattern: String },
    /// Laravel's encrypted session cookie.
    LaravelSession(LaravelSession),
}

#[derive(Clone, Debug, PartialEq)]
pub struct LaravelSession {
    /// The cookie's name, such as `laravel_session`.
    pub cookie: String,
    /// `base64:` and 32 bytes, as Laravel's APP_KEY.
    pub app_key: Secret,
    /// Answers the tenant's id for a live session: $1 is the session's id, $2 the oldest `last_activity` that is alive.
    pub query: String,
    /// Laravel's SESSION_LIFETIME.
    pub lifetime: Duration,
    /// Where the sessions are. Empty: the same database as ficus.
    pub database_url: Secret,
    /// How long an answer is used before it is asked again.
    pub cache_ttl: Duration,
    /// Sessions remembered at most.
    pub cache_size: u64,
}
