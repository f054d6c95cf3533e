//! The guard: judges the modern side by what the proxies counted, and takes back what fails.
//!
//! Its own folder, because whether to roll back is decided in pure files that a simulation can drive: [`judge`] one
//! series by its [`limits`], [`memory`] all of them, [`scope`] how much goes back. The leader's job in [`watch`] reads,
//! asks them, and acts; [`replay`] asks them of a file.

mod alarm;
pub mod chance;
pub mod episode;
pub mod judge;
pub mod limits;
pub mod memory;
pub mod replay;
pub mod scope;
pub mod series;
mod shown;
pub mod store;
mod verdict;
mod watch;
pub mod words;

pub use limits::{Config, Limits, Misses};
pub use shown::{FailedTenant, GuardRollback, Guarded, GuardedDetail, guarded, guarded_detail};
pub use verdict::{NewestVerdict, Verdict, newest_verdict};
pub use watch::Guard;
