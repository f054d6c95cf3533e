//! Why a private server could not be started, each with what to do about it.
//!
//! Its own file, so that the texts that a newcomer meets first stand together.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "found no PostgreSQL 15 or newer on PATH or in /usr/lib/postgresql: install it (on Debian: apt install postgresql), or name a database of your own in [database] url"
    )]
    NoBinaries,
    #[error(
        "the database in {folder} was made by PostgreSQL {made_by}, and that version is not installed: install it (on Debian: apt install postgresql-{made_by}), or move the folder away to begin anew"
    )]
    OtherVersion { folder: PathBuf, made_by: u32 },
    #[error(
        "PostgreSQL does not run as root, and /etc/passwd has neither a user postgres nor a user nobody to run it as"
    )]
    NoAccount,
    #[error("another server uses {folder}{}: stop it, or choose another folder", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse { folder: PathBuf, pid: Option<u32> },
    #[error("could not {doing} {path}: {source}")]
    File {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0} belongs to somebody else: remove it, or choose another folder for the database")]
    NotOurs(PathBuf),
    #[error("could not run {program}: {source}")]
    Run {
        program: PathBuf,
        source: std::io::Error,
    },
    #[error("initdb could not make a database in {folder}:\n{output}")]
    InitDb { folder: PathBuf, output: String },
    #[error("PostgreSQL stopped while starting; the end of {log}:\n{tail}")]
    Exited { log: PathBuf, tail: String },
    #[error("PostgreSQL did not answer within {waited:?}; see {log}")]
    Timeout { waited: Duration, log: PathBuf },
}

impl StartError {
    /// For `map_err` on file operations.
    pub(super) fn file(
        doing: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }
}
