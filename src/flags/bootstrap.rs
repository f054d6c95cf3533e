//! The bootstrap file: what a proxy knows that has never seen a database.
//!
//! Its own file, because people write it, and a fault in it must refuse it whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::disk::Unreadable;
use super::model::{Capability, Class, Forced, MAX_CAPABILITIES, Snapshot, Tenant, TenantFacts};
use super::{Effect, State};
use crate::ids::{Revision, TenantId, is_slug};

/// A bootstrap file, written by a person or a deployment: JSON, the least that a cold proxy needs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bootstrap {
    /// Name to effect.
    capabilities: BTreeMap<String, Effect>,
    #[serde(default)]
    force_legacy: bool,
    tenants: Vec<BootstrapTenant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BootstrapTenant {
    id: i64,
    #[serde(default)]
    slug: Option<String>,
    #[serde(default)]
    flags: BTreeMap<String, State>,
}

/// Reads a bootstrap file. Its revision is 0, so anything that the database or the disk says is newer.
pub fn load_bootstrap(path: &Path) -> Result<Snapshot, Unreadable> {
    let file: Bootstrap =
        serde_json::from_slice(&fs::read(path)?).map_err(|e| Unreadable::Invalid(e.to_string()))?;
    if file.capabilities.len() > MAX_CAPABILITIES {
        return Err(Unreadable::Invalid(format!(
            "it has more than {MAX_CAPABILITIES} capabilities"
        )));
    }
    let numbered = file
        .capabilities
        .into_iter()
        .zip(0..)
        .map(|((name, effect), ordinal)| {
            (
                name,
                Capability {
                    ordinal,
                    effect,
                    split: None,
                },
            )
        });
    let capabilities: BTreeMap<String, Capability> = numbered.collect();
    let mut tenants = BTreeMap::new();
    for entry in file.tenants {
        let invalid =
            |problem: &str| Unreadable::Invalid(format!("tenant {}: {problem}", entry.id));
        if entry.id <= 0 {
            return Err(invalid("an id is positive"));
        }
        if entry.slug.as_deref().is_some_and(|slug| !is_slug(slug)) {
            return Err(invalid("its slug is none"));
        }
        let mut tenant = Tenant::new(
            TenantId(entry.id),
            TenantFacts {
                slug: entry.slug.as_deref().map(Arc::from),
                class: Class::Low,
            },
        );
        for (name, state) in &entry.flags {
            let capability = capabilities
                .get(name)
                .ok_or_else(|| invalid(&format!("there is no capability {name}")))?;
            tenant.set_state(capability.ordinal, Some(*state));
        }
        if tenants.insert(entry.id, tenant).is_some() {
            return Err(invalid("it stands there twice"));
        }
    }
    let forced = Forced {
        all: file.force_legacy,
        capabilities: 0,
    };
    Ok(Snapshot::build(
        Revision(0),
        capabilities,
        forced,
        tenants.into_values().collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_file_with_a_fault_is_refused_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bootstrap.json");
        let good = r#"{"capabilities": {"dashboard": "read"}, "tenants": [{"id": 2, "slug": "acme", "flags": {"dashboard": "modern"}}]}"#;
        fs::write(&path, good).expect("written");
        assert_eq!(
            load_bootstrap(&path)
                .expect("good")
                .tenant(TenantId(2))
                .and_then(|t| t.state(0)),
            Some(State::Modern)
        );
        for (from, to) in [
            ("\"id\": 2", "\"id\": 0"),
            ("acme", "9x"),
            ("{\"dashboard\": \"modern\"}", "{\"typo\": \"modern\"}"),
            ("\"modern\"", "\"maybe\""),
        ] {
            fs::write(&path, good.replace(from, to)).expect("written");
            assert!(load_bootstrap(&path).is_err(), "{to}");
        }
    }
}
