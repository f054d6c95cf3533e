//! Checks the chain, link by link, and says which row of the audit is not as it was written.
//!
//! Its own file, because it is the judge: it holds one link at a time, trusts no hash that it has not computed, and
//! goes on after a fault, so that one edited row does not hide another.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use super::form::{Entry, Hash, Link, Part, SealedChange, SealedItem, from_hex};
use super::report::{Fault, FaultKind, Report};
use super::{Anchor, Head};

/// Faults that a report names; the rest are counted.
const MAX_FAULTS: usize = 100;

/// Fed with an export's entries, in its order.
pub struct Verifier {
    anchors: VecDeque<Anchor>,
    /// The hash of the link before, as it stands.
    before: Hash,
    seq: i64,
    revision: i64,
    open: Option<Open>,
    /// The newest anchor that agreed.
    agreed: i64,
    report: Report,
}

/// The link whose rows are being read.
struct Open {
    link: Link,
    /// Over the digests of its items so far.
    digests: Sha256,
    rows: i64,
    change: Option<Hash>,
    /// Kept only where the link tells its rows' digests.
    seen: Vec<(i64, Hash)>,
    told: Option<Vec<Hash>>,
}

impl Verifier {
    pub fn new(mut anchors: Vec<Anchor>) -> Self {
        anchors.sort_by_key(|anchor| anchor.seq);
        Self {
            report: Report {
                intact: true,
                links: 0,
                changes: 0,
                items: 0,
                anchors: anchors.len(),
                head: None,
                faults: Vec::new(),
                faults_in_all: 0,
            },
            anchors: anchors.into(),
            before: [0; 32],
            seq: 0,
            revision: 0,
            open: None,
            agreed: 0,
        }
    }

    pub fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Link(link) => self.take_link(link),
            Entry::Change(change) => self.take_change(change),
            Entry::Item(item) => self.take_item(item),
        }
    }

    /// `head`: what the database says it has, where it was asked.
    pub fn finish(mut self, head: Option<&Head>) -> Report {
        self.close();
        let (seq, revision) = (self.seq, self.revision);
        if let Some(head) = head.filter(|head| head.seq > seq) {
            let what = format!("links {} to {} are missing", seq + 1, head.seq);
            self.fault(
                FaultKind::Cut,
                Some(head.revision),
                None,
                Some(head.seq),
                what,
            );
        }
        // The newest tells most: how much is gone.
        if let Some(anchor) = self.anchors.pop_back() {
            let what = format!(
                "the anchor of {} saw link {} at revision {}; the chain ends with link {seq} at revision {revision}",
                anchor.at.format("%F %T UTC"),
                anchor.seq,
                anchor.revision
            );
            self.fault(
                FaultKind::Cut,
                Some(anchor.revision),
                None,
                Some(anchor.seq),
                what,
            );
        }
        self.report.intact = self.report.faults_in_all == 0;
        self.report
    }

    fn take_link(&mut self, link: &Link) {
        self.close();
        self.report.links += 1;
        if link.seq != self.seq + 1 {
            let what = match link.seq > self.seq {
                true => format!(
                    "links {} to {} are missing, before revision {}",
                    self.seq + 1,
                    link.seq - 1,
                    link.revision
                ),
                false => format!("link {} comes after link {}", link.seq, self.seq),
            };
            self.fault(
                FaultKind::Deleted,
                Some(link.revision),
                None,
                Some(link.seq),
                what,
            );
        }
        if link.hash_after(&self.before) != from_hex(&link.hash) || from_hex(&link.hash).is_none() {
            let what = format!(
                "link {} (change {}) does not follow from the link before it: one of the two was edited",
                link.seq, link.revision
            );
            self.fault(
                FaultKind::Edited,
                Some(link.revision),
                None,
                Some(link.seq),
                what,
            );
        }
        while self
            .anchors
            .front()
            .is_some_and(|anchor| anchor.seq <= link.seq)
        {
            if let Some(anchor) = self.anchors.pop_front() {
                self.compare(&anchor, link);
            }
        }
        self.before = from_hex(&link.hash).unwrap_or_default();
        (self.seq, self.revision) = (link.seq, link.revision);
        self.report.head = Some((link.seq, link.hash.clone()));
        self.open = Some(Open::new(link));
    }

    fn compare(&mut self, anchor: &Anchor, link: &Link) {
        if anchor.seq == link.seq && anchor.hash == link.hash {
            self.agreed = anchor.seq;
            return;
        }
        let (from, to) = (self.agreed + 1, anchor.seq);
        let what = format!(
            "the anchor of {} saw another link {to} at revision {}: what stands in links {from} to {to} was rewritten since",
            anchor.at.format("%F %T UTC"),
            anchor.revision
        );
        self.fault(
            FaultKind::Rewritten,
            Some(anchor.revision),
            None,
            Some(anchor.seq),
            what,
        );
        // Each later anchor would say the same again; what the chain says after this one is held against the next.
        self.agreed = anchor.seq;
    }

    fn take_change(&mut self, change: &SealedChange) {
        self.report.changes += 1;
        let mine = |open: &&mut Open| {
            open.link.part == Part::Change
                && open.link.revision == change.revision
                && open.change.is_none()
        };
        match self.open.as_mut().filter(mine) {
            Some(open) => {
                open.rows += 1;
                open.change = Some(change.digest());
            }
            None => {
                let what = format!("change {} is in no link", change.revision);
                self.fault(FaultKind::Inserted, Some(change.revision), None, None, what);
            }
        }
    }

    fn take_item(&mut self, item: &SealedItem) {
        self.report.items += 1;
        let digest = item.digest();
        match self
            .open
            .as_mut()
            .filter(|open| open.link.holds(item.place))
        {
            Some(open) => {
                open.rows += 1;
                open.digests.update(digest);
                if open.told.is_some() {
                    open.seen.push((item.place, digest));
                }
            }
            None => {
                let what = format!(
                    "item {} of change {} is in no link",
                    item.place, item.revision
                );
                self.fault(
                    FaultKind::Inserted,
                    Some(item.revision),
                    Some(item.place),
                    None,
                    what,
                );
            }
        }
    }

    /// Holds the open link against the rows that came after it.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let link = &open.link;
        let (revision, seq) = (link.revision, link.seq);
        if link.part == Part::Change {
            let (kind, what) = match open.change {
                Some(digest) if Some(digest) == from_hex(&link.digest) => return,
                Some(_) => (FaultKind::Edited, format!("change {revision} was edited")),
                None => (FaultKind::Deleted, format!("change {revision} was deleted")),
            };
            return self.fault(kind, Some(revision), None, Some(seq), what);
        }
        let digest: Hash = open.digests.clone().finalize().into();
        if open.rows == link.rows && Some(digest) == from_hex(&link.digest) {
            return;
        }
        let named = open.name_rows();
        if named.is_empty() {
            let what = format!(
                "the items of change {revision} were edited: {} of {} are there",
                open.rows, link.rows
            );
            let kind = if open.rows < link.rows {
                FaultKind::Deleted
            } else {
                FaultKind::Edited
            };
            return self.fault(kind, Some(revision), None, Some(seq), what);
        }
        for (kind, place, what) in named {
            self.fault(kind, Some(revision), place, Some(seq), what);
        }
    }

    fn fault(
        &mut self,
        kind: FaultKind,
        revision: Option<i64>,
        place: Option<i64>,
        seq: Option<i64>,
        what: String,
    ) {
        self.report.faults_in_all += 1;
        if self.report.faults.len() < MAX_FAULTS {
            self.report.faults.push(Fault {
                kind,
                revision,
                place,
                seq,
                what,
            });
        }
    }
}

impl Link {
    fn holds(&self, place: i64) -> bool {
        matches!((self.first_place, self.last_place), (Some(first), Some(last)) if (first..=last).contains(&place))
    }

    /// Its rows' digests, if they are those that its own digest is over.
    fn told(&self) -> Option<Vec<Hash>> {
        let text = self.row_digests.as_deref()?;
        let digests: Option<Vec<Hash>> = (0..text.len() / 64)
            .map(|n| from_hex(text.get(n * 64..(n + 1) * 64)?))
            .collect();
        let digests = digests?;
        let whole: Hash = Sha256::digest(digests.concat()).into();
        (Some(whole) == from_hex(&self.digest)).then_some(digests)
    }
}

impl Open {
    fn new(link: &Link) -> Self {
        Self {
            told: link.told(),
            link: link.clone(),
            digests: Sha256::new(),
            rows: 0,
            change: None,
            seen: Vec::new(),
        }
    }

    /// Which rows differ from what the link tells of them; empty where it tells nothing.
    fn name_rows(&self) -> Vec<(FaultKind, Option<i64>, String)> {
        let Some(told) = &self.told else {
            return Vec::new();
        };
        let revision = self.link.revision;
        let strange: Vec<i64> = self
            .seen
            .iter()
            .filter(|(_, digest)| !told.contains(digest))
            .map(|(place, _)| *place)
            .collect();
        let missing: Vec<usize> = (0..told.len())
            .filter(|n| !self.seen.iter().any(|(_, digest)| *digest == told[*n]))
            .collect();
        let edited = strange.len().min(missing.len());
        let mut named = Vec::new();
        for place in &strange[..edited] {
            named.push((
                FaultKind::Edited,
                Some(*place),
                format!("item {place} of change {revision} was edited"),
            ));
        }
        for place in &strange[edited..] {
            named.push((
                FaultKind::Inserted,
                Some(*place),
                format!("item {place} of change {revision} was not written with it"),
            ));
        }
        for nth in &missing[edited..] {
            // Places of one statement follow one another.
            let place = self.link.first_place.map(|first| first + *nth as i64);
            let what = format!(
                "row {} of the {} of change {revision} was deleted",
                nth + 1,
                told.len()
            );
            named.push((FaultKind::Deleted, place, what));
        }
        if named.is_empty() {
            named.push((
                FaultKind::Swapped,
                None,
                format!(
                    "the items of change {revision} stand in another order than they were written"
                ),
            ));
        }
        named
    }
}
