//! A persistent table: a million rows, of which a changed copy shares all but one shard with the original.
//!
//! Its own file, because a general persistent map (a HAMT was measured) costs 438 bytes a tenant and
//! this costs a third of that: rows lie sorted by hash in 4,096 shared slices, and a look-up guesses its place.

use std::sync::Arc;

/// Shards of a table. At a million rows a shard holds 244, so a flip copies about 12 KiB and the list of shards.
const SHARDS: usize = 4096;

/// What a table keeps: a row that knows its own hash. The top bits choose the shard, the rest the place in it.
pub trait Row: Clone {
    fn hash(&self) -> u64;
}

#[derive(Clone)]
pub struct Table<R> {
    /// Slices and not vectors: one pointer less to follow, and each is a cache miss.
    shards: Vec<Arc<[R]>>,
    len: usize,
}

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        let shared_by_all = Arc::from([]);
        Self {
            shards: vec![shared_by_all; SHARDS],
            len: 0,
        }
    }
}

impl<R: Row> Table<R> {
    /// Builds a table at once. Rows must differ in what `same` of [`Table::put`] would compare.
    pub fn build(rows: impl IntoIterator<Item = R>) -> Self {
        let mut shards: Vec<Vec<R>> = std::iter::repeat_with(Vec::new).take(SHARDS).collect();
        let mut len = 0;
        for row in rows {
            shards[shard_of(row.hash())].push(row);
            len += 1;
        }
        let shards = shards.into_iter().map(|mut shard| {
            shard.sort_unstable_by_key(R::hash);
            Arc::from(shard)
        });
        Self {
            shards: shards.collect(),
            len,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// The row of this hash that `same` recognises.
    pub fn get(&self, hash: u64, same: impl Fn(&R) -> bool) -> Option<&R> {
        let shard = &self.shards[shard_of(hash)];
        shard[first_of(shard, hash)..]
            .iter()
            .take_while(|row| row.hash() == hash)
            .find(|row| same(row))
    }

    /// Puts a row in the place of the one that `same` recognises, or beside the others. Copies one shard at most.
    pub fn put(&mut self, row: R, same: impl Fn(&R) -> bool) {
        let hash = row.hash();
        let shard = &mut self.shards[shard_of(hash)];
        let first = first_of(shard, hash);
        match shard[first..]
            .iter()
            .take_while(|other| other.hash() == hash)
            .position(same)
        {
            Some(offset) => Arc::make_mut(shard)[first + offset] = row,
            None => {
                let (before, after) = shard.split_at(first);
                let rows = before.iter().cloned().chain([row]);
                *shard = rows.chain(after.iter().cloned()).collect();
                self.len += 1;
            }
        }
    }

    /// Takes out the row of this hash that `same` recognises.
    pub fn remove(&mut self, hash: u64, same: impl Fn(&R) -> bool) {
        let shard = &mut self.shards[shard_of(hash)];
        let first = first_of(shard, hash);
        // Looked up before the copy: removing what is not there must not cost a shard.
        if let Some(offset) = shard[first..]
            .iter()
            .take_while(|row| row.hash() == hash)
            .position(same)
        {
            let (before, after) = shard.split_at(first + offset);
            *shard = before.iter().chain(&after[1..]).cloned().collect();
            self.len -= 1;
        }
    }
}

fn shard_of(hash: u64) -> usize {
    (hash >> 52) as usize
}

/// The place of the first row whose hash is not below `hash`. Hashes are spread evenly, so the place is
/// guessed from the hash and walked to from there: one or two cache lines instead of eight.
fn first_of<R: Row>(shard: &[R], hash: u64) -> usize {
    let share = (hash << 12) >> 32;
    let mut place = ((share * shard.len() as u64) >> 32) as usize;
    while place > 0 && shard[place - 1].hash() >= hash {
        place -= 1;
    }
    while place < shard.len() && shard[place].hash() < hash {
        place += 1;
    }
    place
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A row whose hash collides on purpose: few distinct hashes, many keys.
    #[derive(Clone, Debug, PartialEq)]
    struct Pair(u32, u32);

    impl Row for Pair {
        fn hash(&self) -> u64 {
            hash_of(self.0)
        }
    }

    fn hash_of(key: u32) -> u64 {
        u64::from(key / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    proptest! {
        #[test]
        fn a_table_is_a_map(steps in prop::collection::vec((0u32..400, any::<Option<u32>>()), 0..600), start in prop::collection::btree_map(0u32..400, any::<u32>(), 0..100)) {
            let mut model: BTreeMap<u32, u32> = start.clone();
            let mut table = Table::build(start.into_iter().map(|(k, v)| Pair(k, v)));
            let before = (table.clone(), model.clone());
            for (key, value) in steps {
                match value {
                    Some(value) => { model.insert(key, value); table.put(Pair(key, value), |p| p.0 == key) }
                    None => { model.remove(&key); table.remove(hash_of(key), |p| p.0 == key) }
                }
            }
            for (table, model) in [(table, model), before] {
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.iter().count(), model.len());
                for key in 0..400 {
                    let found = table.get(hash_of(key), |p| p.0 == key).map(|p| p.1);
                    prop_assert_eq!(found, model.get(&key).copied());
                }
            }
        }
    }

    #[test]
    fn a_changed_copy_shares_every_other_shard() {
        let table = Table::build((0..10_000).map(|key| Pair(key * 3, key)));
        let mut changed = table.clone();
        changed.put(Pair(300, 7), |p| p.0 == 300);
        let copied = table
            .shards
            .iter()
            .zip(&changed.shards)
            .filter(|(a, b)| !Arc::ptr_eq(a, b))
            .count();
        assert_eq!(copied, 1);
    }
}
