//! What `ficus explain` says of freezes and splits.
//!
//! Its own file, because [`super::explain`] has the order of the steps, and these two have much to say.

use crate::flags::split::bucket_of;
use crate::flags::{Caller, FreezeScope, Keys, ServerTime, Snapshot, Sticky};

/// What both look at.
pub struct Held<'a> {
    pub snapshot: &'a Snapshot,
    pub capability: Option<&'a str>,
    pub caller: Caller<'a>,
    pub keys: Keys<'a>,
    pub now: ServerTime,
}

impl Held<'_> {
    /// What a freeze says to the request, and whether it stops it. `None`: nothing is frozen that it belongs to.
    pub fn freeze(&self, writes: bool) -> Option<(String, bool)> {
        let tenant = match self.caller {
            Caller::Tenant(tenant) => Some(tenant.id),
            _ => None,
        };
        let frozen = self.snapshot.frozen();
        let (scope, until) = frozen.covering(self.capability, tenant, self.now)?;
        let what = match scope {
            FreezeScope::All => "everything".to_owned(),
            FreezeScope::Capability(name) => format!("capability {name}"),
            FreezeScope::Tenant(id) => format!("tenant {id}"),
        };
        let seconds = self.now.to(until).as_secs();
        Some(match writes {
            true => {
                let said =
                    format!("{what} is frozen for {seconds} s more, and this writes: 503 frozen");
                (said, true)
            }
            false => {
                let said =
                    format!("{what} is frozen for {seconds} s more, and this reads: it goes on");
                (said, false)
            }
        })
    }

    /// Where the request's key lies in the split. `None`: there is none.
    pub fn split(&self) -> Option<String> {
        let capability = self.capability?;
        let split = self.snapshot.capability(capability)?.split?;
        let share = split.percent();
        let key = match (split.by, self.caller) {
            (Sticky::Tenant, Caller::Tenant(tenant)) => Some(tenant.id.to_string()),
            (Sticky::Tenant, _) => None,
            (Sticky::User, _) => self.keys.user.map(str::to_owned),
            (Sticky::Session, _) => self.keys.session.map(str::to_owned),
        };
        let by = split.by.as_str();
        Some(match key {
            None => format!("{share} % by {by}, and the request has no {by}"),
            Some(key) => {
                // In hundredths of a percent, as the share is written.
                let at = f64::from(bucket_of(capability, &key)) / 10_000.0;
                let side = if split.takes(capability, &key) {
                    "modern"
                } else {
                    "legacy"
                };
                format!("{share} % by {by}; its {by} lies at {at:.2} %: {side}")
            }
        })
    }
}
