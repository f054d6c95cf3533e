//! Everything that needs a real PostgreSQL, a real socket or a real process: one binary, a file a subject.
//!
//! One binary, because linking is what integration tests cost most, and because they share one server.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what it expects by failing on it, its helpers included"
)]

mod alerts;
mod api_keys;
mod architecture;
mod audit;
mod check;
mod cli;
mod control_api;
mod control_rollout;
mod control_stage;
mod dashboard;
mod demo;
mod embedded;
mod engine;
mod fleet;
mod guard;
mod identity;
mod laravel;
mod messages;
mod ofrep;
mod openness;
mod proxy;
mod queue;
mod rollback;
mod schema;
mod support;
mod tokens;
mod waves;
