//! The guard: judges the modern side by what the proxies counted, and takes back what fails.
//!
//! Its own folder, because whether to roll back is decided in pure files that a simulation can drive.

mod verdict;

pub use verdict::{NewestVerdict, Verdict, newest_verdict};
