//! Where a private server keeps its files, and who owns them.
//!
//! Its own file, because two limits meet here: the server's account must be able to reach its files, and a
//! socket's path has at most 107 bytes.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::StartError;
use super::account::Account;

/// `sun_path` of `unix(7)`, less its closing zero.
const LONGEST_SOCKET_PATH: usize = 107;
/// Where the files go when we are root and the server's account cannot reach the wanted folder.
const WHERE_ROOT_KEEPS_THEM: &str = "/var/lib/ficus";

pub struct Folders {
    /// Everything below is in here, but perhaps the socket.
    pub base: PathBuf,
    pub data: PathBuf,
    pub log: PathBuf,
    pub socket: PathBuf,
}

impl Folders {
    /// Makes the folders, for `account` to use.
    pub fn prepare(wanted: &Path, account: Option<Account>) -> Result<Self, StartError> {
        fs::create_dir_all(wanted).map_err(StartError::file("make", wanted))?;
        let wanted = wanted
            .canonicalize()
            .map_err(StartError::file("find", wanted))?;
        let base = match account {
            Some(account) if !account.can_reach(&wanted) => {
                let reachable = Path::new(WHERE_ROOT_KEEPS_THEM).join(fingerprint(&wanted));
                fs::create_dir_all(&reachable).map_err(StartError::file("make", &reachable))?;
                tracing::info!(wanted = %wanted.display(), folder = %reachable.display(), "the database's account cannot reach the wanted folder");
                reachable
            }
            _ => wanted,
        };
        hand_over(&base, account)?;
        let socket = socket_folder(&base, account)?;
        Ok(Self {
            data: base.join("data"),
            log: base.join("postgres.log"),
            base,
            socket,
        })
    }

    /// The major version of the PostgreSQL that made the database. `None`: there is none yet.
    pub fn made_by(&self) -> Option<u32> {
        fs::read_to_string(self.data.join("PG_VERSION"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// The server's process, as it says itself.
    pub fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.data.join("postmaster.pid"))
            .ok()?
            .lines()
            .next()?
            .trim()
            .parse()
            .ok()
    }

    /// The last lines of the log, for an error's text.
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// In the server's folder, or in a short one under /tmp where the path would be too long.
fn socket_folder(base: &Path, account: Option<Account>) -> Result<PathBuf, StartError> {
    let near = base.join("socket");
    let fits = near.join(".s.PGSQL.5432").as_os_str().len() <= LONGEST_SOCKET_PATH;
    // The same folder gets the same socket each time, so that a URL outlives a restart.
    let folder = if fits {
        near
    } else {
        Path::new("/tmp").join(format!("ficus-{}", fingerprint(base)))
    };
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => hand_over(&folder, account)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            must_be_private(&folder, account)?
        }
        Err(error) => return Err(StartError::file("make", &folder)(error)),
    }
    Ok(folder)
}

/// Under /tmp anybody may have made the folder before us, to listen in our place.
fn must_be_private(folder: &Path, account: Option<Account>) -> Result<(), StartError> {
    let it = fs::symlink_metadata(folder).map_err(StartError::file("inspect", folder))?;
    let owned = account.is_none_or(|account| it.uid() == account.uid || it.uid() == 0);
    if !it.is_dir() || !owned || it.mode() & 0o077 != 0 {
        return Err(StartError::NotOurs(folder.to_owned()));
    }
    hand_over(folder, account)
}

/// Gives a folder, with all that is in it, to the server's account, and closes it to others.
fn hand_over(folder: &Path, account: Option<Account>) -> Result<(), StartError> {
    if let Some(account) = account
        && fs::metadata(folder).is_ok_and(|it| it.uid() != account.uid)
    {
        give(folder, account)?;
    }
    // Fails for an ordinary user whose folder belongs to somebody else, and that is the answer we want.
    fs::set_permissions(folder, Permissions::from_mode(0o700))
        .map_err(StartError::file("close to others", folder))
}

fn give(path: &Path, account: Account) -> Result<(), StartError> {
    for entry in fs::read_dir(path)
        .map_err(StartError::file("read", path))?
        .flatten()
    {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            give(&entry.path(), account)?;
        } else {
            lchown(entry.path(), Some(account.uid), Some(account.gid))
                .map_err(StartError::file("hand over", &entry.path()))?;
        }
    }
    chown(path, Some(account.uid), Some(account.gid)).map_err(StartError::file("hand over", path))
}

/// A short name that is the same for the same folder: 64 bits of SHA-256.
fn fingerprint(path: &Path) -> String {
    Sha256::digest(path.as_os_str().as_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_near_its_database_while_its_path_fits() {
        let scratch = tempfile::tempdir().unwrap();
        assert_eq!(
            socket_folder(scratch.path(), None).unwrap(),
            scratch.path().join("socket")
        );
    }

    #[test]
    fn a_long_path_gets_a_short_private_folder_that_stays_the_same() {
        let scratch = tempfile::tempdir().unwrap();
        let long = scratch.path().join("x".repeat(100));
        let folder = socket_folder(&long, None).unwrap();
        let again = socket_folder(&long, None).unwrap();
        let mode = fs::metadata(&folder).unwrap().mode();
        fs::remove_dir(&folder).unwrap();
        assert_eq!(folder, again);
        assert!(folder.join(".s.PGSQL.5432").as_os_str().len() <= LONGEST_SOCKET_PATH);
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_short_folder_that_others_may_enter_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let long = scratch.path().join("x".repeat(100));
        let folder = socket_folder(&long, None).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let refused = socket_folder(&long, None);
        fs::remove_dir(&folder).unwrap();
        assert!(
            matches!(refused, Err(StartError::NotOurs(_))),
            "{refused:?}"
        );
    }
}
