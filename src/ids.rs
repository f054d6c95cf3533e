//! The identifiers that cross module borders: newtypes with parse and display, nothing else.
//!
//! Their own file, because everything may import them and they import nothing of ours.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A tenant's numeric id: `owner_id` in the legacy application, `ficus.tenant.id` here. Positive.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct TenantId(pub i64);

/// One state of the control data: a single counter over every change, in commit order. Zero before the first.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Revision(pub i64);

/// A tenant as a person names it: by number, or by slug.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub enum TenantRef {
    Id(TenantId),
    Slug(String),
}

/// The text is no tenant: neither a positive number nor a slug.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} names no tenant: expected a positive number, or a slug of a-z, 0-9, '-', '_' and '.' that begins with a letter"
)]
pub struct BadTenantRef(String);

impl FromStr for TenantRef {
    type Err = BadTenantRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadTenantRef(text.chars().take(80).collect());
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let id = text.parse::<i64>().map_err(|_| bad())?;
            return if id > 0 {
                Ok(Self::Id(TenantId(id)))
            } else {
                Err(bad())
            };
        }
        if is_slug(text) {
            Ok(Self::Slug(text.to_owned()))
        } else {
            Err(bad())
        }
    }
}

/// A slug: 1 to 63 bytes of `a-z 0-9 - _ .` that begin with a letter, so that no slug reads as an id.
/// The same rule stands as a check on `ficus.tenant.slug`.
pub fn is_slug(text: &str) -> bool {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    (1..=63).contains(&text.len())
        && text.bytes().all(fits)
        && text.as_bytes()[0].is_ascii_lowercase()
}

impl fmt::Display for TenantRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => f.write_str(slug),
        }
    }
}

impl From<TenantRef> for String {
    fn from(tenant: TenantRef) -> Self {
        tenant.to_string()
    }
}

impl TryFrom<String> for TenantRef {
    type Error = BadTenantRef;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_id_and_a_word_is_a_slug() {
        assert_eq!("42".parse(), Ok(TenantRef::Id(TenantId(42))));
        assert_eq!("acme".parse(), Ok(TenantRef::Slug("acme".into())));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "0",
            "-3",
            "9x",
            "99999999999999999999",
            "Acme",
            "a b",
            "a|b",
            &"a".repeat(64),
        ] {
            assert!(text.parse::<TenantRef>().is_err(), "{text:?}");
        }
    }
}
