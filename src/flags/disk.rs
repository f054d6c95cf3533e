//! The disk snapshot, the local actions and the instance's id: what a proxy knows when PostgreSQL is away.
//!
//! Its own file, because it holds the promises about files: written whole (temporary file, fsync, rename,
//! fsync of the folder), checked by a digest when read, and a file that fails the check is as good as none.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::local::Action;
use super::model::{Capability, Class, Forced, MAX_CAPABILITIES, Snapshot, Tenant, TenantFacts};
use super::{Effect, Frozen};
use crate::ids::{Revision, TenantId};

/// First bytes of a snapshot file; the last one is the layout's version.
pub const MAGIC: &[u8; 8] = b"ficus\0s\x02";
/// Before there were freezes and splits. Read, since a proxy that is upgraded while the database is away has no other.
const MAGIC_1: &[u8; 8] = b"ficus\0s\x01";
const DIGEST_LEN: usize = 32;

/// The files of one state folder.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// Layout 2: postcard (its wire format is specified) of this, after the magic and SHA-256 of what follows.
#[derive(Serialize, Deserialize)]
struct Layout {
    revision: Revision,
    capabilities: Vec<(String, Capability)>,
    forced: Forced,
    frozen: Frozen,
    tenants: Vec<TenantRow>,
}

#[derive(Serialize, Deserialize)]
struct Layout1 {
    revision: Revision,
    /// Name, ordinal, effect.
    capabilities: Vec<(String, u8, Effect)>,
    forced: Forced,
    tenants: Vec<TenantRow>,
}

impl From<Layout1> for Layout {
    fn from(old: Layout1) -> Self {
        let capability = |(name, ordinal, effect)| {
            let split = None;
            (
                name,
                Capability {
                    ordinal,
                    effect,
                    split,
                },
            )
        };
        Self {
            revision: old.revision,
            capabilities: old.capabilities.into_iter().map(capability).collect(),
            forced: old.forced,
            frozen: Frozen::default(),
            tenants: old.tenants,
        }
    }
}

/// Id, slug, class, the two planes of flags.
type TenantRow = (i64, Option<Arc<str>>, Class, u64, u64);

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("reading it: {0}")]
    Io(#[from] io::Error),
    #[error("it is no snapshot of this version")]
    NotASnapshot,
    #[error("its digest does not match: it was cut or changed")]
    Damaged,
    #[error("{0}")]
    Invalid(String),
}

impl StateDir {
    /// Makes the folder where it is missing. Only its owner may list it or read what we write in it; others may pass
    /// through, as the account of an embedded PostgreSQL must.
    pub fn open(folder: &Path) -> io::Result<Self> {
        if !folder.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o711)
                .create(folder)?;
        }
        Ok(Self(folder.to_owned()))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// This installation's id: made once, so that a restart is the same instance to the fleet.
    pub fn instance_id(&self) -> io::Result<Uuid> {
        let path = self.path("instance-id");
        if let Ok(text) = fs::read_to_string(&path)
            && let Ok(id) = text.trim().parse()
        {
            return Ok(id);
        }
        let id = Uuid::new_v4();
        write_whole(&path, id.to_string().as_bytes())?;
        Ok(id)
    }

    pub fn save_snapshot(&self, snapshot: &Snapshot) -> io::Result<()> {
        write_whole(&self.path("snapshot"), &encode(snapshot)?)
    }

    /// `None` where there is no file.
    pub fn load_snapshot(&self) -> Option<Result<Snapshot, Unreadable>> {
        match fs::read(self.path("snapshot")) {
            Ok(bytes) => Some(decode(&bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => Some(Err(e.into())),
        }
    }

    pub fn save_actions(&self, actions: &[Action]) -> io::Result<()> {
        write_whole(
            &self.path("local-actions.json"),
            &serde_json::to_vec_pretty(actions)?,
        )
    }

    pub fn load_actions(&self) -> Result<Vec<Action>, Unreadable> {
        match fs::read(self.path("local-actions.json")) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|e| Unreadable::Invalid(e.to_string()))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e.into()),
        }
    }
}

/// The file has either its old content or its new one, whatever happens meanwhile.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&fresh, path));
    if let Err(e) = written {
        // A full disk must not stay full of our halves.
        let _ = fs::remove_file(&fresh);
        return Err(e);
    }
    // Without this the rename itself may be lost with the power.
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// A snapshot file's bytes, as [`decode`] reads them.
pub fn encode(snapshot: &Snapshot) -> io::Result<Vec<u8>> {
    let row = |t: &Tenant| {
        let (low, high) = t.planes();
        (t.id.0, t.slug.clone(), t.class, low, high)
    };
    let layout = Layout {
        revision: snapshot.revision,
        capabilities: snapshot
            .capabilities()
            .iter()
            .map(|(name, c)| (name.clone(), *c))
            .collect(),
        forced: snapshot.forced(),
        frozen: snapshot.frozen().clone(),
        tenants: snapshot.tenants().map(row).collect(),
    };
    let body = postcard::to_stdvec(&layout).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(MAGIC.len() + DIGEST_LEN + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&Sha256::digest(&body));
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads a snapshot file's bytes; whatever they are, the answer is a valid snapshot or a reason.
pub fn decode(bytes: &[u8]) -> Result<Snapshot, Unreadable> {
    let (rest, is_old) = match bytes.strip_prefix(MAGIC) {
        Some(rest) => (rest, false),
        None => {
            let rest = bytes.strip_prefix(MAGIC_1);
            (rest.ok_or(Unreadable::NotASnapshot)?, true)
        }
    };
    let (digest, body) = rest
        .split_at_checked(DIGEST_LEN)
        .ok_or(Unreadable::Damaged)?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(Unreadable::Damaged);
    }
    let layout = match is_old {
        true => postcard::from_bytes::<Layout1>(body).map(Layout::from),
        false => postcard::from_bytes::<Layout>(body),
    };
    let layout = layout.map_err(|e| Unreadable::Invalid(e.to_string()))?;
    let capabilities: BTreeMap<String, Capability> = layout.capabilities.into_iter().collect();
    if capabilities
        .values()
        .any(|c| usize::from(c.ordinal) >= MAX_CAPABILITIES)
    {
        return Err(Unreadable::Invalid(
            "a capability's ordinal is out of range".to_owned(),
        ));
    }
    let tenant = |(id, slug, class, low, high)| {
        Tenant::new(TenantId(id), TenantFacts { slug, class }).with_planes(low, high)
    };
    let tenants = layout.tenants.into_iter().map(tenant).collect();
    Ok(
        Snapshot::build(layout.revision, capabilities, layout.forced, tenants)
            .with_frozen(layout.frozen),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{FreezeScope, ServerTime, Split, State, Sticky};
    use super::*;

    fn snapshot() -> Snapshot {
        let mut tenant = Tenant::new(
            TenantId(2),
            TenantFacts {
                slug: Some("acme".into()),
                class: Class::High,
            },
        );
        tenant.set_state(1, Some(State::Modern));
        let capabilities = BTreeMap::from([(
            "dashboard".to_owned(),
            Capability {
                ordinal: 1,
                effect: Effect::Read,
                split: Split::of_hundredths(Sticky::Session, 2_500),
            },
        )]);
        let mut frozen = Frozen::default();
        frozen.set(FreezeScope::Tenant(TenantId(2)), ServerTime(5));
        Snapshot::build(
            Revision(9),
            capabilities,
            Forced {
                all: false,
                capabilities: 2,
            },
            vec![tenant],
        )
        .with_frozen(frozen)
    }

    #[test]
    fn a_snapshot_survives_the_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDir::open(folder.path()).expect("a state folder");
        assert!(state.load_snapshot().is_none());
        state.save_snapshot(&snapshot()).expect("written");
        let read = state.load_snapshot().expect("there").expect("whole");
        let tenant = read.tenant_by_slug("acme").expect("the tenant");
        assert_eq!(
            (tenant.id, tenant.class, tenant.state(1)),
            (TenantId(2), Class::High, Some(State::Modern))
        );
        assert_eq!(
            (read.revision, read.forced()),
            (
                Revision(9),
                Forced {
                    all: false,
                    capabilities: 2
                }
            )
        );
        assert_eq!(read.frozen(), snapshot().frozen());
        assert_eq!(read.capabilities(), snapshot().capabilities());
    }

    #[test]
    fn a_file_of_the_version_before_is_read() {
        let old = Layout1 {
            revision: Revision(9),
            capabilities: vec![("dashboard".to_owned(), 1, Effect::Send)],
            forced: Forced::default(),
            tenants: vec![(2, Some("acme".into()), Class::High, 2, 2)],
        };
        let body = postcard::to_stdvec(&old).expect("encoded");
        let mut bytes = MAGIC_1.to_vec();
        bytes.extend_from_slice(&Sha256::digest(&body));
        bytes.extend_from_slice(&body);
        let read = decode(&bytes).expect("read");
        let tenant = read.tenant_by_slug("acme").expect("the tenant");
        assert_eq!(tenant.state(1), Some(State::Modern));
        assert_eq!(
            (read.revision, read.frozen().is_empty()),
            (Revision(9), true)
        );
    }

    proptest! {
        #[test]
        fn a_changed_or_cut_file_is_never_taken(place in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<bool>()) {
            let mut bytes = encode(&snapshot()).expect("encoded");
            let place = place.index(bytes.len());
            if cut { bytes.truncate(place) } else { bytes[place] ^= flip }
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
            let mut signed = MAGIC.to_vec();
            signed.extend_from_slice(&Sha256::digest(&bytes));
            signed.extend_from_slice(&bytes);
            let _ = decode(&signed);
        }
    }

    #[test]
    fn a_full_disk_leaves_the_old_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDir::open(folder.path()).expect("a state folder");
        state.save_snapshot(&snapshot()).expect("written");
        // A folder in the way of the temporary file fails the write as a full disk would.
        fs::create_dir(state.path("snapshot.new")).expect("made");
        assert!(state.save_snapshot(&snapshot()).is_err());
        assert_eq!(
            state
                .load_snapshot()
                .expect("there")
                .expect("whole")
                .revision,
            Revision(9)
        );
    }
}
