//! The account that the server runs as: our own, or an ordinary one when we are root.
//!
//! Its own file, because PostgreSQL refuses to run as root and everything about dropping to another user
//! stands here.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::StartError;

/// A user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// In this order: Debian's package makes the first, every system has the second.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// The account to drop to. `None`: we are an ordinary user and stay it.
pub fn to_drop_to() -> Result<Option<Account>, StartError> {
    if !is_root() {
        return Ok(None);
    }
    let path = Path::new("/etc/passwd");
    let passwd = fs::read_to_string(path).map_err(StartError::file("read", path))?;
    CANDIDATES
        .iter()
        .find_map(|name| find(&passwd, name))
        .map(Some)
        .ok_or(StartError::NoAccount)
}

/// By the effective user in /proc; where there is no /proc, PostgreSQL says itself that it will not run as root.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}

/// Looks an ordinary account up in the text of /etc/passwd.
fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
        Some(Account {
            uid,
            gid: fields.next()?.parse().ok()?,
        })
    })
}

impl Account {
    /// Whether this account may pass through every folder on the way to `folder`, which is absolute.
    /// A home folder of root's may not be passed, for one.
    pub fn can_reach(self, folder: &Path) -> bool {
        folder.ancestors().skip(1).all(|parent| {
            fs::metadata(parent).is_ok_and(|it| {
                let search = match (it.uid() == self.uid, it.gid() == self.gid) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                it.mode() & search != 0
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\npostgresql:x:5:5::/:/bin/sh\npostgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        assert_eq!(
            find(PASSWD, "postgres"),
            Some(Account { uid: 101, gid: 104 })
        );
        assert_eq!(find(PASSWD, "nobody"), None);
    }

    #[test]
    fn an_account_with_the_rights_of_root_is_no_account_to_drop_to() {
        assert_eq!(find("postgres:x:0:0::/:/bin/sh", "postgres"), None);
    }

    #[test]
    fn a_folder_behind_a_closed_one_cannot_be_reached() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let inner = scratch.path().join("inner");
        fs::create_dir(&inner).unwrap();
        // A user that owns nothing here.
        let stranger = Account {
            uid: 4_000_000,
            gid: 4_000_000,
        };
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.can_reach(&inner));
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(stranger.can_reach(&inner));
    }
}
