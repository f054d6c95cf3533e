//! Whose request is this: the tenant, from what a request head already carries.
//!
//! This file holds what the proxy sees of it: the facts that go in, the identity that comes out, and the
//! `[[tenant]]` entries. How each proof is read stands in a file of its own: [`header`], [`host`], [`path`], [`query`],
//! [`laravel`], [`jwt`]. Which of several proofs counts is [`chain::weigh`].
//!
//! A head is read without waiting ([`Chain::resolve_now`]). Only a session that is not remembered, or whose
//! answer is due to be asked again, needs the database, behind [`Chain::finish`].

use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

pub mod chain;
pub mod header;
pub mod host;
pub mod jwt;
pub mod laravel;
pub mod named;
pub mod path;
pub mod query;
pub mod sessions;
pub mod store;
pub mod user;

pub use chain::weigh::{Proof, Strength};
pub use chain::{BadResolver, Chain, Pending, Resolution};
pub use host::normalise_host;
pub use jwt::Jwt;
pub use named::Named;
pub use path::normal_path;
pub use user::User;

/// One `[[tenant]]` entry. The strongest proof in the head names the tenant; among equals the first entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolver {
    /// A header that a trusted peer sets: an id or a slug.
    Header { name: http::HeaderName },
    /// `{tenant}.example.com`: the one label in place of `{tenant}` is an id or a slug.
    /// It cannot know which slugs exist: `www.example.com` names the tenant `www`.
    Host { pattern: String },
    /// `/t/{tenant}/{*rest}`: a segment of the path is an id or a slug.
    Path { pattern: String },
    /// `?tenant=acme`: a parameter of the query is an id or a slug.
    Query { parameter: String },
    /// Laravel's encrypted session cookie.
    LaravelSession(LaravelSession),
    /// A token that an issuer signed.
    Jwt(Box<Jwt>),
}

impl Resolver {
    /// Whether what it says is proven, and not only said: a route that asks for authentication needs one that is.
    pub fn proves(&self) -> bool {
        !matches!(
            self,
            Self::Header { .. } | Self::Host { .. } | Self::Path { .. } | Self::Query { .. }
        )
    }
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

/// What a resolver may look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub headers: &'a http::HeaderMap,
    /// As [`normalise_host`] gives it: lower-case, without port and trailing dot.
    pub host: Option<&'a str>,
    /// The request's target as it came: path and query, still encoded.
    pub target: &'a str,
    /// The name that the client gave when it opened TLS, in the form of `host`.
    pub sni: Option<&'a str>,
    /// The peer is in `trusted_proxies`.
    pub peer_trusted: bool,
}

/// Whose request it is, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    pub tenant: Option<Named<'a>>,
    /// Only a proof by cryptography or by look-up names one. Without a tenant it may still be there.
    pub user: Option<Arc<User>>,
    /// The resolver that named the tenant, as `[[tenant]]` calls it, or `none`: a label for the log and the metrics.
    pub source: &'static str,
    /// Of what named the tenant.
    pub strength: Strength,
    /// Whether somebody is authenticated, whoever named the tenant.
    pub proof: Proof,
    /// The first proof that was refused, even when a later one named the tenant: a forged cookie is worth counting
    /// on a host that names its tenant. [`Unresolved::NoProof`] only when there is no tenant and nothing was refused.
    pub why: Option<Unresolved>,
}

/// Why a proof names nobody. The caller counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unresolved {
    /// Nothing in the head that a resolver reads.
    NoProof,
    /// The header is there, and its peer may not set it.
    Untrusted,
    /// The header is there more than once.
    Ambiguous,
    /// Neither id nor slug, or no cookie of Laravel's making.
    Malformed,
    /// Sealed with another key, changed on the way, or issued for a cookie of another name.
    BadMac,
    /// A genuine cookie whose session is expired, logged out, or of a guest.
    UnknownSession,
    /// The sessions' database did not answer in time, and no earlier answer is held.
    LookupFailed,
    /// More sessions at once than may be looked up, and no earlier answer is held.
    Busy,
    /// A credential that is there and of a kind that this resolver does not read, such as another resolver's token.
    Unrecognised,
    /// A token that is signed otherwise than the configuration says.
    WrongAlgorithm,
    /// A token of a key that the issuer does not serve.
    UnknownKey,
    /// A token that nobody of ours signed, or that was changed on the way.
    BadSignature,
    /// A token whose time is over.
    Expired,
    /// A token whose time has not come.
    NotYetValid,
    /// A genuine token that is not for us, or that names somebody who cannot be.
    WrongClaims,
    /// The issuer's keys have not been fetched yet.
    KeysMissing,
}

impl Unresolved {
    pub const ALL: [Self; 16] = [
        Self::NoProof,
        Self::Untrusted,
        Self::Ambiguous,
        Self::Malformed,
        Self::BadMac,
        Self::UnknownSession,
        Self::LookupFailed,
        Self::Busy,
        Self::Unrecognised,
        Self::WrongAlgorithm,
        Self::UnknownKey,
        Self::BadSignature,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongClaims,
        Self::KeysMissing,
    ];

    /// The label in metrics and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoProof => "no_proof",
            Self::Untrusted => "untrusted",
            Self::Ambiguous => "ambiguous",
            Self::Malformed => "malformed",
            Self::BadMac => "bad_mac",
            Self::UnknownSession => "unknown_session",
            Self::LookupFailed => "lookup_failed",
            Self::Busy => "busy",
            Self::Unrecognised => "unrecognised",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongClaims => "wrong_claims",
            Self::KeysMissing => "keys_missing",
        }
    }

    /// Nothing is said against the proof: it could not be judged now.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::LookupFailed | Self::Busy | Self::KeysMissing)
    }
}
