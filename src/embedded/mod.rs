//! A private PostgreSQL server: made, started, watched and stopped by the process that needs one.
//!
//! Its own folder, because `ficus serve --embedded`, the demo and the tests all stand on it, and nothing of it
//! is known to the rest: they see a URL.
//!
//! The server listens on a Unix socket only, in a folder that nobody else may enter, and lives as long as the
//! [`Postgres`] that started it: a supervising shell (`supervise.sh`) reads from a pipe that only this process
//! holds, and stops the server when the pipe closes, however this process ended.
//!
//! One server a folder: its log file is locked for as long as any process of the server, or its supervisor,
//! has it open. A second start waits [`Options::patience`] for the first to go away (a server whose process was
//! just killed needs a moment to stop), and is then refused.

mod account;
mod binaries;
mod error;
mod folders;
mod server;

pub use error::StartError;
pub use server::{Options, Postgres, StopMode};
