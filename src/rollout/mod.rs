//! The operations on the control state: flip, roll back, import, undo; each one transaction and one promise.
//!
//! Its own folder, because the admin API, the command line and the embedded mode all do these same things and
//! must not each have their own idea of what a flip is.
//!
//! Every write locks `ficus.clock` first, so what it looks at before it writes is what it changes, and every
//! write that finds nothing to change succeeds with `changed: 0`.

mod api_keys;
pub mod audit;
mod beside;
mod capabilities;
mod confirm;
pub mod controller;
mod error;
mod flags;
mod freezes;
pub mod guard;
mod history;
mod idempotency;
mod instances;
mod issued;
pub mod outcomes;
mod overrides;
pub mod queries;
mod roll_back;
mod splits;
mod status;
mod tenants;
mod tokens;
mod transaction;
mod undo;
mod volume;
pub mod wave;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use api_keys::{ApiKey, create_api_key, list_api_keys, revoke_api_key};
pub use beside::Beside;
pub use capabilities::{Capability, Wanted, capabilities, capability, register_capabilities};
pub use confirm::{Confirmation, Proxy, ProxyState, confirm};
pub use error::{Blocker, Error};
pub use flags::{Flag, FlagFilter, flag, flags, set_flag};
pub use freezes::{
    Drain, Freeze, FreezeTarget, LONGEST_FREEZE, OnProxy, clear_ended, drain, freeze, freezes,
    unfreeze,
};
pub use history::{
    ChangeDetail, ChangeItem, ChangeRow, Confirmed, FlagChange, change, changes, changes_after,
    flag_history, newest,
};
pub use idempotency::{Kept, RequestKey, keep_answer, kept};
pub use instances::{Instance, instances, prune_instances};
pub use overrides::{Override, clear_override, overrides, set_override};
pub use roll_back::{Scope, roll_back};
pub use splits::set_split;
pub use status::{CapabilityStatus, Status, status};
pub use tenants::{
    Class, NewTenant, Tenant, TenantPatch, TenantRowFault, check_rows, import_tenants, set_tenant,
    tenant, tenants,
};
pub use tokens::{
    Role, Token, TokenHolder, create_ofrep_token, create_token, list_tokens, revoke_token,
    token_digest, verify_token,
};
pub use undo::undo;
pub use volume::{class_of, sync_tenants};

use crate::ids::{Revision, TenantId};

/// Who writes, from where, and why: it stands in the audit row of the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// A token's name, or the login of the person at the command line.
    pub actor: String,
    pub source: Source,
    /// A person who gives none is refused, but for a dry run.
    pub reason: Option<String>,
    /// What was measured, where an automaton decided: it stands in the audit beside the change.
    pub evidence: Option<serde_json::Value>,
    /// When the write was asked for. `None`: when its transaction began.
    pub requested_at: Option<DateTime<Utc>>,
    /// The key under which the write is done once.
    pub key: Option<RequestKey>,
}

impl Author {
    pub fn new(actor: impl Into<String>, source: Source, reason: impl Into<String>) -> Self {
        Self {
            actor: actor.into(),
            source,
            reason: Some(reason.into()),
            evidence: None,
            requested_at: None,
            key: None,
        }
    }

    pub fn with_evidence(mut self, evidence: serde_json::Value) -> Self {
        self.evidence = Some(evidence);
        self
    }
}

/// The way a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A program, through the admin API.
    Api,
    /// The command line, through the admin API.
    Cli,
    /// The command line, in the database itself.
    Direct,
    /// A proxy's socket.
    Local,
    /// A process that acts on its own configuration.
    Config,
    /// The console in a browser, through the admin API.
    Console,
    /// The guard, which takes back.
    Guard,
    /// The runner of waves, which moves forward.
    Wave,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Direct => "direct",
            Self::Local => "local",
            Self::Config => "config",
            Self::Console => "console",
            Self::Guard => "guard",
            Self::Wave => "wave",
        }
    }
}

/// What a write is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub author: Author,
    /// Everything is checked and done, shown, and taken back.
    pub dry_run: bool,
    /// The write is refused unless this is the newest revision.
    pub expect_revision: Option<Revision>,
}

impl Terms {
    /// A write without conditions.
    pub fn of(author: Author) -> Self {
        Self {
            author,
            dry_run: false,
            expect_revision: None,
        }
    }
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The newest revision after the write: what a proxy must have applied to be up to date with it.
    pub revision: Revision,
    /// Rows changed. Zero: everything stood as asked already.
    pub changed: u64,
    /// The database's time of the change, or of the look when nothing changed.
    pub at: DateTime<Utc>,
    /// Of a dry run: what would change, the first hundred rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preview: Vec<ChangeItem>,
}

/// Rows that a list answers at most.
pub const MAX_PAGE: u32 = 1000;

/// Keeps a page within bounds.
pub(crate) fn page(limit: u32) -> i64 {
    i64::from(limit.clamp(1, MAX_PAGE))
}

// How rows become ids: `#[sqlx(try_from = "i64")]` in this folder's row types.
impl From<i64> for Revision {
    fn from(revision: i64) -> Self {
        Self(revision)
    }
}

impl From<i64> for TenantId {
    fn from(id: i64) -> Self {
        Self(id)
    }
}
