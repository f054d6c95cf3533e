//! Everything that needs a real PostgreSQL, a real socket or a real process: one binary, a file a subject.
//!
//! One binary, because linking is what integration tests cost most, and because they share one server.

mod cli;
mod control_api;
mod control_rollout;
mod control_stage;
mod dashboard;
mod embedded;
mod engine;
mod fleet;
mod identity;
mod rollback;
mod schema;
mod support;
