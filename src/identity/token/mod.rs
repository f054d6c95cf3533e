//! Tokens that are looked up: Laravel Sanctum's, those of Laravel's own token guard, and API keys.
//!
//! Its own folder, because the three differ only in where a head has them and in what they look like. None is kept:
//! what goes on from here is a SHA-256, and the text itself only to a store that has it unhashed.

pub mod api_key;
pub mod api_token;
pub mod authorization;
pub mod sanctum;

use std::fmt;

use super::Key;

/// What to ask a store.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented<'a> {
    pub key: Key,
    /// Where the store has the token as it is.
    pub text: Option<std::borrow::Cow<'a, str>>,
}

impl From<Key> for Presented<'_> {
    fn from(key: Key) -> Self {
        Self { key, text: None }
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
