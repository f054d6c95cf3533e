//! Sessions in files: `SESSION_DRIVER=file`.
//!
//! Its own file, because PHP's locks have to be kept: Laravel empties a file before it writes it anew.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::identity::laravel::SessionId;
use crate::identity::laravel::payload::DATA_LIMIT;

/// Between two looks at a file that Laravel is just writing.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

pub struct Files {
    folder: PathBuf,
}

enum Look {
    /// Empty: there is no such session, or it is too old.
    Read(Vec<u8>),
    BeingWritten,
}

impl Files {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The session's data; empty when there is none that was written at `oldest`, in seconds since 1970, or later.
    /// Ends with the look-up that asks.
    pub async fn read(&self, id: SessionId, oldest: i64) -> anyhow::Result<Vec<u8>> {
        loop {
            let folder = self.folder.clone();
            match spawn_blocking(move || look(&folder, id, oldest)).await?? {
                Look::Read(data) => return Ok(data),
                Look::BeingWritten => sleep(LOOK_AGAIN).await,
            }
        }
    }
}

fn look(folder: &Path, id: SessionId, oldest: i64) -> anyhow::Result<Look> {
    // 40 letters and digits by construction: nothing that leads out of the folder.
    let mut file = match File::open(folder.join(id.reveal())) {
        Ok(file) => file,
        // A folder that is away is not a session that has ended.
        Err(e) if e.kind() == io::ErrorKind::NotFound && folder.is_dir() => {
            return Ok(Look::Read(Vec::new()));
        }
        Err(e) => return Err(e).context("the sessions' folder cannot be read"),
    };
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Look::BeingWritten),
        Err(TryLockError::Error(e)) => return Err(e).context("a session's file cannot be locked"),
    }
    let written = file.metadata()?.modified()?;
    let written = written.duration_since(UNIX_EPOCH).unwrap_or_default();
    if i64::try_from(written.as_secs())? < oldest {
        return Ok(Look::Read(Vec::new()));
    }
    let mut data = Vec::new();
    // One byte more, so that what is too long is seen to be.
    file.by_ref()
        .take(DATA_LIMIT as u64 + 1)
        .read_to_end(&mut data)?;
    Ok(Look::Read(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> SessionId {
        SessionId::parse(&[b'a'; 40]).unwrap()
    }

    fn session_file(folder: &Path) -> PathBuf {
        folder.join("a".repeat(40))
    }

    #[tokio::test]
    async fn a_session_is_read_until_it_is_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        assert_eq!(files.read(id(), 0).await.unwrap(), b"");
        std::fs::write(session_file(folder.path()), "data").unwrap();
        assert_eq!(files.read(id(), 0).await.unwrap(), b"data");
        assert_eq!(files.read(id(), i64::MAX).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_folder_that_is_away_is_an_error_and_no_log_out() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(&folder.path().join("gone"));
        assert!(files.read(id(), 0).await.is_err());
    }

    #[tokio::test]
    async fn a_session_that_is_being_written_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = session_file(folder.path());
        let writer = File::create(&path).unwrap();
        writer.lock().unwrap();
        assert!(matches!(
            look(folder.path(), id(), 0).unwrap(),
            Look::BeingWritten
        ));
        let files = Files::new(folder.path());
        let reading = tokio::spawn(async move { files.read(id(), 0).await.unwrap() });
        std::fs::write(&path, "whole").unwrap();
        writer.unlock().unwrap();
        assert_eq!(reading.await.unwrap(), b"whole");
    }
}
