//! A JSON Web Token that a trusted issuer signed: user, tier and perhaps the tenant.
//!
//! Its own folder, because it is read in steps that are each judged apart: where a head has it ([`carrier`]), its form and
//! signature ([`jws`], [`json`]), the keys ([`key`], [`keys`], [`remote`]), and what it says ([`claims`]). This file puts them
//! together and remembers what was verified.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use moka::Expiry;
use moka::sync::Cache;
use tokio::runtime::Handle;

use super::Unresolved;
use super::chain::weigh::Claim;
use crate::secret::Secret;

pub mod carrier;
pub mod claims;
mod der;
pub mod json;
pub mod jws;
pub mod key;
pub mod keys;
pub mod remote;

use claims::{Expected, Verified};
use jws::{TOKEN_LIMIT, Unverified};
pub use key::Algorithm;
use keys::KeySet;
use remote::{Fetched, Fetching, Remote};
pub use remote::{Keyrings, Place};

/// A token is remembered no longer than this, whenever it ends.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A `[[tenant]]` entry of this kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    pub algorithm: Algorithm,
    pub key: KeySource,
    /// Looked into where there is no bearer token.
    pub cookie: Option<String>,
    pub expected: Expected,
    /// Verified tokens remembered at most.
    pub cache_size: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// A secret for HS256, else PEM.
    Inline(Secret),
    /// A JWK Set or PEM.
    Url(Place),
}

/// Verifies tokens, and remembers those that held.
pub struct Tokens {
    algorithm: Algorithm,
    keys: Keys,
    cookie: Option<String>,
    expected: Expected,
    cache: Cache<[u8; 32], Arc<Remembered>>,
}

enum Keys {
    Fixed(KeySet),
    Fetched(Arc<Remote>),
}

/// What a token said, and which keys verified it.
struct Remembered {
    verified: Verified,
    generation: u64,
}

/// What a head's token says.
pub enum Answer {
    Known(Result<Verified, Unresolved>),
    /// Its key may be on its way: [`Tokens::wait`].
    Due(Fetching),
}

impl Tokens {
    /// Keys are fetched on `runtime`. The error is a sentence that names the key of the configuration.
    pub fn new(jwt: &Jwt, keyrings: &Keyrings, runtime: &Handle) -> Result<Self, String> {
        let keys = match &jwt.key {
            KeySource::Inline(text) => {
                let key = KeySet::of_text(jwt.algorithm, text.reveal());
                Keys::Fixed(key.map_err(|problem| format!("key {problem}"))?)
            }
            KeySource::Url(place) => {
                let remote = keyrings.open(place, runtime);
                Keys::Fetched(remote.map_err(|error| format!("{error:#}"))?)
            }
        };
        Ok(Self {
            algorithm: jwt.algorithm,
            keys,
            cookie: jwt.cookie.clone(),
            expected: jwt.expected.clone(),
            cache: Cache::builder()
                .max_capacity(jwt.cache_size)
                .expire_after(UntilItsEnd)
                .build(),
        })
    }

    /// What the head's token says, without waiting.
    pub fn ask(&self, headers: &http::HeaderMap) -> Answer {
        let token = match self.find(headers) {
            Ok(token) => token,
            Err(why) => return Answer::Known(Err(why)),
        };
        let (print, now) = (key::fingerprint(token.as_bytes()), unix_now());
        if let Some(known) = self.cache.get(&print)
            && known.generation == self.keys.generation()
            && now < known.verified.until
        {
            return Answer::Known(Ok(known.verified.clone()));
        }
        let answer = self.verify(token, print, now);
        match (answer, &self.keys) {
            (Err(why), Keys::Fetched(remote)) if self.may_be_new(why) => match remote.ask_early() {
                Some(fetching) => Answer::Due(fetching),
                None => Answer::Known(Err(why)),
            },
            (answer, _) => Answer::Known(answer),
        }
    }

    /// Waits for the keys that are on their way, at most a second, and judges the token by what there is then.
    pub async fn wait(
        &self,
        fetching: Fetching,
        headers: &http::HeaderMap,
    ) -> Result<Verified, Unresolved> {
        fetching.end().await;
        let token = self.find(headers)?;
        self.verify(token, key::fingerprint(token.as_bytes()), unix_now())
    }

    fn find<'h>(&self, headers: &'h http::HeaderMap) -> Result<&'h str, Unresolved> {
        let token = carrier::find(headers, self.cookie.as_deref())?;
        match token.len() {
            0..=TOKEN_LIMIT => Ok(token),
            _ => Err(Unresolved::Malformed),
        }
    }

    fn verify(&self, token: &str, print: [u8; 32], now: i64) -> Result<Verified, Unresolved> {
        let fetched;
        let (keys, generation) = match &self.keys {
            Keys::Fixed(keys) => (keys, 0),
            Keys::Fetched(remote) => {
                fetched = remote.keys();
                let Some(Fetched { keys, generation }) = fetched.as_deref() else {
                    return Err(missing_keys(token));
                };
                (keys, *generation)
            }
        };
        let verified = verify(token, self.algorithm, keys, &self.expected, now)?;
        let remembered = Remembered {
            verified: verified.clone(),
            generation,
        };
        self.cache.insert(print, Arc::new(remembered));
        Ok(verified)
    }

    /// Whether keys that are not known yet could make this another answer.
    fn may_be_new(&self, why: Unresolved) -> bool {
        match (why, &self.keys) {
            (Unresolved::KeysMissing | Unresolved::UnknownKey, _) => true,
            (Unresolved::BadSignature, Keys::Fetched(remote)) => remote
                .keys()
                .is_some_and(|fetched| fetched.keys.is_unnamed()),
            _ => false,
        }
    }
}

impl Keys {
    fn generation(&self) -> u64 {
        match self {
            Self::Fixed(_) => 0,
            Self::Fetched(remote) => remote.generation(),
        }
    }
}

/// The whole judgement of a token: pure, and what is fuzzed. `now` is Unix time in seconds.
pub fn verify(
    token: &str,
    algorithm: Algorithm,
    keys: &KeySet,
    expected: &Expected,
    now: i64,
) -> Result<Verified, Unresolved> {
    let unverified = Unverified::parse(token)?;
    // Another issuer's token is for another resolver to judge, and costs no verification here.
    if let (Some(ours), Some(its)) = (&expected.issuer, unverified.issuer())
        && ours != its
    {
        return Err(Unresolved::Unrecognised);
    }
    let payload = unverified.verify(algorithm, keys)?;
    expected.check(&payload, now)
}

/// What is no token needs no key to be refused.
fn missing_keys(token: &str) -> Unresolved {
    Unverified::parse(token)
        .err()
        .unwrap_or(Unresolved::KeysMissing)
}

impl From<Verified> for Claim<'_> {
    fn from(verified: Verified) -> Self {
        Self {
            tenant: verified.tenant,
            user: verified.user,
        }
    }
}

/// An entry leaves the cache when its token ends. Whether it has ended is asked again at each use: this only makes room.
struct UntilItsEnd;

impl Expiry<[u8; 32], Arc<Remembered>> for UntilItsEnd {
    fn expire_after_create(
        &self,
        _: &[u8; 32],
        token: &Arc<Remembered>,
        _: Instant,
    ) -> Option<Duration> {
        let left = token.verified.until.saturating_sub(unix_now());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or_default());
        // A token that never ends in this century must not overflow a clock.
        Some(left.min(LONGEST))
    }
}

/// Seconds since 1970. To a clock that stands before that every token has ended.
fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
