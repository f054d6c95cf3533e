//! Ficus: a strangler-fig migration proxy, the crate's map.
//!
//! Ficus stands in front of a legacy multi-tenant application and sends each request either to legacy or
//! to the modern services, tenant by tenant, as flags in PostgreSQL say.
//!
//! # The flows
//!
//! **A request**: [`proxy`] accepts it, takes one [`flags::Snapshot`], lets [`identity`] find the tenant,
//! finds the route's capability, asks [`flags::decide()`] for a side, forwards, and logs one event. No
//! database in this path.
//!
//! **A flip**: [`cli`], [`control`] or any SQL client writes a row; triggers in `migrations/` give the
//! write its revision, its audit row and one NOTIFY; [`flags::sync`] on every proxy fetches what changed,
//! swaps the snapshot and reports the revision; [`rollout`] waits for those reports and calls it confirmed.
//!
//! **A message**: not yet; [`engine`] accepts a send durably and answers 202.
//!
//! # The modules, in reading order

pub mod ids;
pub mod laravel;
pub mod secret;

pub mod flags;
pub mod identity;
pub mod proxy;

pub mod alerts;
pub mod control;
pub mod db;
pub mod rollout;

pub mod dashboard;
pub mod engine;
pub mod modern;

pub mod app;
pub mod cli;
pub mod config;
pub mod telemetry;

pub mod demo;
pub mod embedded;
