//! The canonical form of the audit's rows: the bytes whose SHA-256 the chain is made of.
//!
//! Its own file, because it is a promise to whoever checks an audit without us: the same form stands in
//! `migrations/0004_audit.sql`, which writes it, and in docs/AUDIT.md, which explains it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A line of an export. In the order of the chain: a link, then the rows that it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    Link(Link),
    Change(SealedChange),
    Item(SealedItem),
}

/// A row of `ficus.link`; digests and hashes as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Link {
    pub seq: i64,
    pub revision: i64,
    #[sqlx(try_from = "String")]
    pub part: Part,
    pub rows: i64,
    pub first_place: Option<i64>,
    pub last_place: Option<i64>,
    pub digest: String,
    /// The digests of its items, one after the other. Above a thousand items, `None`.
    pub row_digests: Option<String>,
    pub hash: String,
}

/// What a link is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The row of `ficus.change`.
    Change,
    /// The rows of `ficus.change_item` from `first_place` to `last_place`.
    Items,
}

impl TryFrom<String> for Part {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "change" => Ok(Self::Change),
            "items" => Ok(Self::Items),
            _ => Err(format!("{text:?} is no part of a change")),
        }
    }
}

/// A row of `ficus.change`, each value as the text that was hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct SealedChange {
    pub revision: i64,
    pub at: String,
    pub entity: String,
    pub actor: String,
    pub source: String,
    pub reason: Option<String>,
    pub db_user: String,
    pub application: String,
    pub action_id: Option<String>,
    pub acted_at: Option<String>,
    pub evidence: Option<String>,
    pub requested_at: Option<String>,
}

/// A row of `ficus.change_item`, each value as the text that was hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct SealedItem {
    pub place: i64,
    pub revision: i64,
    pub entity: String,
    pub tenant: Option<i64>,
    pub capability: Option<String>,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// SHA-256.
pub(super) type Hash = [u8; 32];

impl SealedChange {
    pub(super) fn digest(&self) -> Hash {
        digest([
            Some(self.revision.to_string().as_str()),
            Some(&self.at),
            Some(&self.entity),
            Some(&self.actor),
            Some(&self.source),
            self.reason.as_deref(),
            Some(&self.db_user),
            Some(&self.application),
            self.action_id.as_deref(),
            self.acted_at.as_deref(),
            self.evidence.as_deref(),
            self.requested_at.as_deref(),
        ])
    }
}

impl SealedItem {
    pub(super) fn digest(&self) -> Hash {
        digest([
            Some(self.place.to_string().as_str()),
            Some(self.revision.to_string().as_str()),
            Some(&self.entity),
            self.tenant.map(|id| id.to_string()).as_deref(),
            self.capability.as_deref(),
            self.before.as_deref(),
            self.after.as_deref(),
        ])
    }
}

impl Link {
    /// What its hash must be, after the link whose hash is `before`. `None`: its digest is none.
    pub(super) fn hash_after(&self, before: &Hash) -> Option<Hash> {
        let number = |n: Option<i64>| n.map(|n| n.to_string());
        let part = match self.part {
            Part::Change => "change",
            Part::Items => "items",
        };
        let mut hash = Sha256::new();
        hash.update(before);
        for text in [
            Some(self.seq.to_string()),
            Some(self.revision.to_string()),
            Some(part.to_owned()),
            Some(self.rows.to_string()),
            number(self.first_place),
            number(self.last_place),
        ] {
            hash.update(field(text.as_deref()));
        }
        hash.update(from_hex(&self.digest)?);
        Some(hash.finalize().into())
    }
}

fn digest<const N: usize>(fields: [Option<&str>; N]) -> Hash {
    let mut hash = Sha256::new();
    for text in fields {
        hash.update(field(text));
    }
    hash.finalize().into()
}

/// A value with its length before it, so that no two rows have the same bytes.
fn field(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| format!("{}:{text},", text.len()))
}

pub(super) fn from_hex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_tells_null_from_empty_and_counts_bytes() {
        assert_eq!(field(None), "-");
        assert_eq!(field(Some("")), "0:,");
        assert_eq!(field(Some("ü,1:")), "5:ü,1:,");
    }

    #[test]
    fn what_is_no_hash_is_none() {
        assert_eq!(from_hex(&"0f".repeat(32)), Some([15; 32]));
        for text in ["", "0f", &"0g".repeat(32), &"+f".repeat(32)] {
            assert_eq!(from_hex(text), None, "{text:?}");
        }
    }
}
