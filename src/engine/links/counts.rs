//! Opens and clicks that wait to be written, added up by what they are of.
//!
//! Its own file, and pure: here stands what may be lost and what may not. A link that is clicked a million times takes the
//! room of one; what finds no room is counted as lost, and nobody waits for room.

use std::collections::HashMap;
use std::hash::Hash;

/// What a reader did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Open,
    Click,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub opens: u32,
    pub clicks: u32,
}

impl Count {
    fn events(self) -> u64 {
        u64::from(self.opens) + u64::from(self.clicks)
    }

    fn add(&mut self, other: Self) {
        self.opens = self.opens.saturating_add(other.opens);
        self.clicks = self.clicks.saturating_add(other.clicks);
    }
}

impl From<Event> for Count {
    fn from(event: Event) -> Self {
        let (opens, clicks) = match event {
            Event::Open => (1, 0),
            Event::Click => (0, 1),
        };
        Self { opens, clicks }
    }
}

/// At most `limit` keys with their counts.
#[derive(Debug)]
pub struct Counts<K> {
    rows: HashMap<K, Count>,
    limit: usize,
    lost: u64,
}

impl<K: Copy + Eq + Hash> Counts<K> {
    pub fn new(limit: usize) -> Self {
        Self {
            rows: HashMap::new(),
            limit,
            lost: 0,
        }
    }

    /// True when this has made it half full: it is time to write.
    pub fn add(&mut self, key: K, count: Count) -> bool {
        let before = self.rows.len();
        if let Some(known) = self.rows.get_mut(&key) {
            known.add(count);
        } else if before < self.limit {
            self.rows.insert(key, count);
        } else {
            self.lost += count.events();
        }
        before < self.rows.len() && self.rows.len() == self.limit / 2
    }

    /// All that waits. What cannot be written is given back by [`Self::add`].
    pub fn take(&mut self) -> Vec<(K, Count)> {
        std::mem::take(&mut self.rows).into_iter().collect()
    }

    /// Opens and clicks that found no room since this was asked last.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_one_thing_is_one_row() {
        let mut counts = Counts::new(2);
        for _ in 0..1000 {
            counts.add('a', Event::Open.into());
        }
        counts.add('a', Event::Click.into());
        let count = Count {
            opens: 1000,
            clicks: 1,
        };
        assert_eq!(counts.take(), [('a', count)]);
        assert_eq!((counts.take(), counts.take_lost()), (vec![], 0));
    }

    #[test]
    fn what_finds_no_room_is_told_and_what_has_room_goes_on() {
        let mut counts = Counts::new(2);
        for key in ['a', 'b', 'c', 'd', 'a'] {
            counts.add(key, Event::Click.into());
        }
        assert_eq!((counts.take_lost(), counts.take_lost()), (2, 0));
        let mut rows = counts.take();
        rows.sort_by_key(|(key, _)| *key);
        let clicks: Vec<_> = rows
            .iter()
            .map(|(key, count)| (*key, count.clicks))
            .collect();
        assert_eq!(clicks, [('a', 2), ('b', 1)]);
    }

    #[test]
    fn what_is_given_back_is_added_to_what_has_come_meanwhile() {
        let mut counts = Counts::new(9);
        counts.add('a', Event::Open.into());
        let taken = counts.take();
        counts.add('a', Event::Open.into());
        for (key, count) in taken {
            counts.add(key, count);
        }
        assert_eq!(counts.take()[0].1.opens, 2);
    }

    #[test]
    fn it_says_once_that_it_is_half_full() {
        let mut counts = Counts::new(4);
        let said = ['a', 'b', 'b', 'c'].map(|key| counts.add(key, Event::Open.into()));
        assert_eq!(said, [false, true, false, false]);
    }
}
