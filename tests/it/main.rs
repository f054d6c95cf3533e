//! Everything that needs a real PostgreSQL, a real socket or a real process: one binary, a file a subject.
//!
//! One binary, because linking is what integration tests cost most, and because they share one server.

mod dashboard;
mod embedded;
mod engine;
mod fleet;
mod identity;
mod proxy;
mod schema;
mod support;
