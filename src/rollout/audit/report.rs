//! What a check of the chain found, as people and programs read it.
//!
//! Its own file, because its words are a promise of `ficus audit verify --output json`.

use serde::Serialize;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// Not as it was written.
    Edited,
    /// Not there any more.
    Deleted,
    /// There, and in no link.
    Inserted,
    /// In another order than it was written.
    Swapped,
    /// The chain's newest links are gone.
    Cut,
    /// Consistent in itself, and not what an anchor saw.
    Rewritten,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub kind: FaultKind,
    /// The change, which `ficus audit show` shows.
    pub revision: Option<i64>,
    /// The item, by its place in `ficus.change_item`.
    pub place: Option<i64>,
    /// The link.
    pub seq: Option<i64>,
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub intact: bool,
    pub links: u64,
    pub changes: u64,
    pub items: u64,
    /// Anchors that the chain was held against.
    pub anchors: usize,
    /// The newest link that was checked: keep it, and hold the next report against it.
    pub head: Option<(i64, String)>,
    /// The first hundred.
    pub faults: Vec<Fault>,
    pub faults_in_all: u64,
}
