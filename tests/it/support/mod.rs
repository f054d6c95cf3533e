//! What the tests stand on: databases and servers of their own.
//!
//! Its own folder, so that a test shows only what matters to it.

// Each of these has its first user in another branch of the tree of tests.
#![allow(
    dead_code,
    unused_imports,
    reason = "each item is used by some of the tests, and the lint looks at all of them together"
)]

pub mod collector;
mod database;
pub mod issuer;
pub mod modern;
pub mod openmetrics;
pub mod process;
pub mod redis;
pub mod sms;
pub mod smtp;
pub mod tls;
pub mod vendors;

pub use database::{Cluster, Database, scratch_folder, shared_server};

/// The project's folder, in which cargo runs the tests. Not the one that the compiler knew: clones share what was built.
pub fn project() -> std::path::PathBuf {
    std::env::current_dir().expect("a working folder")
}
