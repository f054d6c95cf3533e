//! What is wrong with a configuration: every fault, each with the key that it stands at.
//!
//! Its own file, because it is what every reader here writes and what callers print.

use std::fmt;

/// One thing wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A dotted key such as `upstream.legacy.url` or `route[2].path` (lists count from 0),
    /// the name of an environment variable, or `line 3, column 7` where the text is no TOML.
    pub key: String,
    /// Lower case, with the value that was found and what was expected. Never a secret's value.
    pub problem: String,
}

/// Every fault of a configuration, in the order of the file; what the file does not hold comes last.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl Fault {
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// One fault a line, without a newline after the last.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

/// `; did you mean "x"?` when one of the words is near enough to what was written, else nothing.
pub fn suggestion<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    // One slip in a short word, two in a longer one: more would suggest words that nobody meant.
    let bound = if written.chars().count() < 5 { 1 } else { 2 };
    let near = words
        .into_iter()
        .map(|word| (distance(written, word), word))
        .filter(|(far, _)| *far <= bound)
        .min();
    near.map(|(_, word)| format!("; did you mean {word:?}?"))
        .unwrap_or_default()
}

/// Insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, l) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, r) in right.iter().enumerate() {
            let mut best = (last[column] + usize::from(l != *r))
                .min(last[column + 1] + 1)
                .min(current[column] + 1);
            if column > 0 && previous == Some(*r) && right[column - 1] == l {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(l);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        for (written, meant) in [
            ("lisen", "listen"),
            ("lsiten", "listen"),
            ("read_timeuot", "read_timeout"),
            ("ulr", "url"),
        ] {
            assert_eq!(
                suggestion(written, ["listen", "read_timeout", "url"]),
                format!("; did you mean {meant:?}?")
            );
        }
    }

    #[test]
    fn an_unrelated_word_suggests_nothing() {
        assert_eq!(suggestion("colour", ["listen", "url", "threads"]), "");
    }
}
