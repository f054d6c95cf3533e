//! Log lines of refusals, a few a second of each kind.
//!
//! Its own file, because a flood of bad requests must not fill a disk, and one bad request must be found in the log.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lines a second of one kind.
const LINES: u64 = 5;

/// One kind of line. The second of the last line and the lines since then, packed into one number: no lock, and two
/// threads that meet here lose at most a line.
#[derive(Debug, Default)]
pub struct Sample {
    /// The second, times 2^32, and how many were asked for in it.
    state: AtomicU64,
}

impl Sample {
    /// Whether the line may be written in this `second`, and with it how many before it were not.
    pub fn admit(&self, second: u64) -> Option<u64> {
        let second = second & 0xffff_ffff;
        let old = self.state.load(Ordering::Relaxed);
        let (then, asked) = (old >> 32, old & 0xffff_ffff);
        if then != second {
            self.state.store(second << 32 | 1, Ordering::Relaxed);
            return Some(asked.saturating_sub(LINES));
        }
        self.state.fetch_add(1, Ordering::Relaxed);
        (asked < LINES).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_second_are_written_and_the_rest_counted() {
        let sample = Sample::default();
        let written = (0..1000).filter(|_| sample.admit(7).is_some()).count();
        assert_eq!(written, 5);
        assert_eq!(sample.admit(8), Some(995));
        assert_eq!(sample.admit(8), Some(0));
        assert_eq!(sample.admit(20), Some(0));
    }
}
