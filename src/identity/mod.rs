//! Whose request is this: the tenant, from what a request head already carries.
//!
//! This file holds what the proxy sees of it: the facts that go in, the identity that comes out, and the
//! `[[tenant]]` entries. How each proof is read stands in a file of its own: [`header`], [`host`], [`path`], [`query`],
//! [`laravel`], [`token`], [`jwt`]. Which of several proofs counts is [`chain::weigh`].
//!
//! A head is read without waiting ([`Chain::resolve_now`]). Only a proof that is not remembered, or whose
//! answer is due to be asked again, needs its store, behind [`Chain::finish`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::laravel::envelope::Cipher;
use crate::secret::Secret;

pub mod answers;
pub mod chain;
pub mod header;
pub mod host;
pub mod jwt;
pub mod key;
pub mod laravel;
pub mod named;
pub mod path;
pub mod query;
pub mod store;
pub mod token;
pub mod user;

pub use chain::weigh::{Proof, Strength};
pub use chain::{BadResolver, Chain, Pending, Resolution};
pub use host::normalise_host;
pub use jwt::Jwt;
pub use key::Key;
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
    /// Laravel Sanctum's personal access tokens.
    Sanctum(Sanctum),
    /// The token of Laravel's own `token` guard.
    ApiToken(ApiToken),
    /// A key in a header of its own.
    ApiKey(ApiKey),
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

/// How answers of a store are remembered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// How long an answer is used before it is asked again.
    pub ttl: Duration,
    /// How long it is used at most while the store is away: Laravel's SESSION_LIFETIME.
    pub lifetime: Duration,
    /// Answers remembered at most.
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LaravelSession {
    /// The cookie's name, such as `laravel_session`.
    pub cookie: String,
    /// `base64:` and the key, as Laravel's APP_KEY.
    pub app_key: Secret,
    /// `app.cipher`.
    pub cipher: Cipher,
    pub driver: Driver,
    /// `session.encrypt`.
    pub encrypt: bool,
    /// The guard whose user is meant, where the session's data is read: `web`.
    pub guard: String,
    /// For [`Driver::Database`]: $1 is the session's id, $2 the oldest `last_activity` that is alive.
    pub query: String,
    /// From a user to the tenant, for the others: $1 is the user's id as text.
    pub user_query: String,
    /// Where the users are, and with [`Driver::Database`] the sessions. Empty: the same database as ficus.
    pub database_url: Secret,
    pub memory: Memory,
}

/// SESSION_DRIVER.
#[derive(Clone, Debug, PartialEq)]
pub enum Driver {
    Database,
    /// `prefix` is everything before the session's id in a key.
    Redis {
        url: Secret,
        prefix: String,
    },
    /// `storage/framework/sessions`.
    File {
        folder: PathBuf,
    },
    Cookie,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sanctum {
    /// $1 is the token's id or null, $2 the hash in hexadecimal, $3, where it is used, the seconds that a token lives or null.
    pub query: String,
    /// `sanctum.expiration`; `None`: for ever.
    pub expiration: Option<Duration>,
    pub database_url: Secret,
    pub memory: Memory,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ApiToken {
    /// The parameter of the query: the guard's `input_key`.
    pub input_key: String,
    /// The guard's `hash`: the column holds SHA-256 in hexadecimal.
    pub is_hashed: bool,
    /// $1 is the token, or its hash.
    pub query: String,
    pub database_url: Secret,
    pub memory: Memory,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    pub header: http::HeaderName,
    /// $1 is the key's SHA-256 in hexadecimal. Empty: the keys that ficus issues, in `ficus.api_key`.
    pub query: String,
    pub database_url: Secret,
    pub memory: Memory,
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
    /// A token that the store does not have, or that is expired or revoked.
    UnknownToken,
    /// The store did not answer in time, and no earlier answer is held.
    LookupFailed,
    /// More proofs at once than may be looked up, and no earlier answer is held.
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
    pub const ALL: [Self; 17] = [
        Self::NoProof,
        Self::Untrusted,
        Self::Ambiguous,
        Self::Malformed,
        Self::BadMac,
        Self::UnknownSession,
        Self::UnknownToken,
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
            Self::UnknownToken => "unknown_token",
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
