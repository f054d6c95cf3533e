//! What an operation on the control state can fail with.
//!
//! Its own file, because the admin API turns each case into a status and the command line into an exit code.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::TenantRowFault;
use super::wave::{GateResult, PlanFault};
use crate::ids::{Revision, TenantRef};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantRef),
    #[error("there is no capability {0:?}")]
    UnknownCapability(String),
    #[error("there is no change {0}")]
    UnknownChange(Revision),
    #[error("there is no wave {0:?}")]
    UnknownWave(String),
    /// The order of things does not let it.
    #[error("wave {wave}: {why}")]
    WaveRefused { wave: String, why: String },
    #[error("wave {wave} does not advance: {}", Waiting(results))]
    Gates {
        wave: String,
        results: Vec<GateResult>,
    },
    /// It was changed between the look at its gates and the write.
    #[error("wave {wave} was at revision {expected} and is at {actual} now")]
    WaveMoved {
        wave: String,
        expected: Revision,
        actual: Revision,
    },
    #[error("{}", first_fault(.0))]
    BadPlan(Vec<PlanFault>),
    #[error("there is no token {0:?}")]
    UnknownToken(String),
    #[error("there is no API key {0:?}")]
    UnknownApiKey(String),
    #[error("expected revision {expected}, but the newest is {actual}")]
    Conflict {
        expected: Revision,
        actual: Revision,
    },
    #[error("change {revision} cannot be undone: {rows} of its rows have changed again since")]
    Superseded { revision: Revision, rows: i64 },
    #[error("change {revision} cannot be undone: {why}")]
    NotUndoable {
        revision: Revision,
        why: &'static str,
    },
    #[error("a write was done under this key already")]
    Repeated,
    #[error("another transaction holds the control state: {}", Blockers(.0))]
    Locked(Vec<Blocker>),
    #[error("{0}")]
    Invalid(String),
    #[error("{} of the rows cannot be imported", .0.len())]
    BadRows(Vec<TenantRowFault>),
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    #[error("the connection broke while committing: whether the change was made is unknown")]
    Unsure,
    #[error("the database refused: {0}")]
    Database(sqlx::Error),
}

/// A session that holds what a write waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    pub pid: i32,
    /// Its `application_name`; empty when this role may not see it.
    pub application: String,
    pub query_start: Option<DateTime<Utc>>,
}

struct Blockers<'a>(&'a [Blocker]);

impl fmt::Display for Blockers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("who, PostgreSQL did not tell");
        }
        for (nth, blocker) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            write!(
                f,
                "{comma}process {} ({:?})",
                blocker.pid, blocker.application
            )?;
            if let Some(start) = blocker.query_start {
                write!(f, " since {}", start.format("%H:%M:%S UTC"))?;
            }
        }
        Ok(())
    }
}

struct Waiting<'a>(&'a [GateResult]);

impl fmt::Display for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = self.0.iter().filter(|gate| !gate.outcome.lets_pass());
        for (nth, gate) in closed.enumerate() {
            let comma = if nth == 0 { "" } else { "; " };
            write!(f, "{comma}{}: {}", gate.gate, gate.detail)?;
        }
        Ok(())
    }
}

/// The first fault of a plan, and how many there are.
fn first_fault(faults: &[PlanFault]) -> String {
    match faults {
        [] => "the plan cannot be".to_owned(),
        [one] => format!("wave {}: {}", one.wave, one.fault),
        [first, ..] => format!(
            "the plan has {} faults, first wave {}: {}",
            faults.len(),
            first.wave,
            first.fault
        ),
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // 55P03: the lock timeout; the writer adds who blocks.
            sqlx::Error::Database(e) if e.code().as_deref() == Some("55P03") => Self::Locked(Vec::new()),
            // 57P01-57P03: the server stops, crashed or starts.
            sqlx::Error::Database(e) if e.code().is_some_and(|c| c.starts_with("57P")) => {
                Self::Unavailable(e.message().to_owned())
            }
            // Class 23: a constraint. Its name says which rule of the schema the values break.
            sqlx::Error::Database(e) if e.code().is_some_and(|c| c.starts_with("23")) => {
                Self::Invalid(match e.constraint() {
                    Some("tenant_slug_key") => "the slug belongs to another tenant".to_owned(),
                    Some("split_capability_splits") => format!("{}: say by = \"split\" in its section of the configuration", e.message()),
                    Some("token_pkey") => "a token of this name exists, revoked or not: choose another name".to_owned(),
                    Some("change_people_say_why") => "a write needs a reason: it stands in the audit".to_owned(),
                    Some("token_name_form") => {
                        "a token's name begins with a letter or digit and has at most 63 of A-Z a-z 0-9 @ _ . -".to_owned()
                    }
                    _ => e.message().to_owned(),
                })
            }
            sqlx::Error::Io(e) => Self::Unavailable(e.to_string()),
            sqlx::Error::Tls(e) => Self::Unavailable(e.to_string()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection in time".to_owned()),
            sqlx::Error::PoolClosed => Self::Unavailable("this process is stopping".to_owned()),
            other => Self::Database(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_names_who_holds_it() {
        let start = DateTime::from_timestamp(3600, 0);
        let blocker = Blocker {
            pid: 42,
            application: "psql".into(),
            query_start: start,
        };
        assert_eq!(
            Error::Locked(vec![blocker]).to_string(),
            "another transaction holds the control state: process 42 (\"psql\") since 01:00:00 UTC"
        );
    }
}
