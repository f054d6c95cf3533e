//! Episodes: what goes on for a while is told once.
//!
//! Its own file, and pure, so that a simulation counts alerts as the leader does.

use std::collections::BTreeMap;

use super::series::Bin;

/// Away for five minutes, it is over; back sooner, it is the same one.
const OVER_AFTER: Bin = 30;

/// What is going on.
#[derive(Debug, Default)]
pub struct Episodes(BTreeMap<String, Bin>);

impl Episodes {
    /// Whether this is to be told: it is so, and has not been told of this episode.
    pub fn begins(&mut self, what: &str, is_so: bool, now: Bin) -> bool {
        self.0.retain(|_, seen| *seen >= now - OVER_AFTER);
        is_so && self.0.insert(what.to_owned(), now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_told_once_and_what_comes_back_later_again() {
        let mut episodes = Episodes::default();
        let told: Vec<bool> = [(0, true), (1, true), (10, false), (20, true), (60, true)]
            .into_iter()
            .map(|(now, is_so)| episodes.begins("slow", is_so, now))
            .collect();
        assert_eq!(told, [true, false, false, false, true]);
    }
}
