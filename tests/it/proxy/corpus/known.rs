//! Cases that ficus does not pass yet, each with what is missing.
//!
//! Its own file, because it may only shrink: a case on it that passes fails the test.

pub const FAILURES: &[(&str, &str)] = &[];
