//! Finds PostgreSQL's programs: on PATH, or where Debian keeps them.
//!
//! Its own file, because Debian keeps the server's programs off PATH, in one folder a version.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::StartError;

/// The first with `unique nulls not distinct`, which the schema uses.
const OLDEST: u32 = 15;

const DEBIAN: &str = "/usr/lib/postgresql";

/// A folder with `postgres` and `initdb` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    pub folder: PathBuf,
    pub major: u32,
}

impl Binaries {
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The programs for a database that PostgreSQL `made_by` made, or for a new one.
pub fn find(data: &Path, made_by: Option<u32>) -> Result<Binaries, StartError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .collect();
    folders.extend(debian_folders());
    let mut found = folders.into_iter().filter_map(inspect);
    match made_by {
        None => found
            .find(|it| it.major >= OLDEST)
            .ok_or(StartError::NoBinaries),
        Some(made_by) => {
            found
                .find(|it| it.major == made_by)
                .ok_or_else(|| StartError::OtherVersion {
                    folder: data.to_owned(),
                    made_by,
                })
        }
    }
}

/// `/usr/lib/postgresql/*/bin`, newest first.
fn debian_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|it| {
            Some((
                it.file_name().to_str()?.parse().ok()?,
                it.path().join("bin"),
            ))
        })
        .collect();
    versions.sort_by_key(|it| std::cmp::Reverse(it.0));
    versions.into_iter().map(|it| it.1).collect()
}

fn inspect(folder: PathBuf) -> Option<Binaries> {
    if !folder.join("initdb").is_file() {
        return None;
    }
    // On PATH there may be a link only, and psql elsewhere: all of them stand where the link leads.
    let folder = folder
        .join("postgres")
        .canonicalize()
        .ok()?
        .parent()?
        .to_owned();
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries { folder, major })
}

/// Of `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, the 15; also of `17beta1`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split("(PostgreSQL)").nth(1)?.trim_start();
    let digits = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version("postgres: command not found"), None);
    }

    #[test]
    fn a_database_of_a_version_that_is_not_installed_names_the_package() {
        let error = find(Path::new("/srv/db"), Some(9)).unwrap_err();
        assert!(
            error.to_string().contains("apt install postgresql-9"),
            "{error}"
        );
    }
}
