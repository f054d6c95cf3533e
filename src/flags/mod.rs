//! (skeleton) The flags' configuration; the rest is under construction.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a capability's requests do to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Read,
    Write,
    Send,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Legacy,
    Modern,
}

/// The state of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Legacy,
    /// Legacy answers, modern gets a copy to compare.
    Shadow,
    Modern,
}

/// What `[flags]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Asks for the revision this often, whatever NOTIFY says.
    pub poll: Duration,
    /// Proves the listening connection alive this often.
    pub heartbeat: Duration,
    /// Off only to test the poll.
    pub notify: bool,
    /// Where the disk snapshot, the local actions and the instance's id live.
    pub state_dir: PathBuf,
    /// Read when there is neither a database nor a disk snapshot.
    pub bootstrap: Option<PathBuf>,
    pub cold_start: ColdStart,
}

/// What a proxy does that finds no control state anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColdStart {
    /// 503 until there is one: a tenant whose writes live on the modern side must not be split.
    Refuse,
    /// Everything to legacy, because the operator said so.
    Legacy,
}

pub mod local;

/// The handle on this process's control state.
#[derive(Clone)]
pub struct Flags {}

impl Flags {
    /// Whether there is a snapshot to decide by.
    pub fn is_ready(&self) -> bool {
        false
    }

    /// The revision of the snapshot in force.
    pub fn revision(&self) -> crate::ids::Revision {
        crate::ids::Revision(0)
    }

    /// Seconds since the database last confirmed that the snapshot is current. `None`: never yet.
    pub fn age(&self) -> Option<Duration> {
        None
    }

    /// Rolls back on this proxy alone: in memory at once, on disk before this returns, home to the database when it is back.
    pub async fn roll_back_locally(
        &self,
        _scope: local::LocalScope,
        _actor: &str,
        _reason: &str,
    ) -> anyhow::Result<local::LocalApplied> {
        anyhow::bail!("under construction")
    }
}
