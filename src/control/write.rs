//! What every write of the API has in common: its conditions, and the answer that tells how far it got.
//!
//! Its own file, because a flip, a rollback, an import and an undo are answered in one shape, by every backend.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{Caller, Problem};
use crate::ids::Revision;
use crate::rollout::{self, Author, Change, ChangeItem, Confirmation, Proxy, Source, Terms};

/// How long a write waits for its proxies unless told.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(5);
/// Below the API's own deadline of 30 s.
pub const MAX_PATIENCE: Duration = Duration::from_secs(25);
/// Characters of a reason.
const MAX_REASON: usize = 1000;

/// The fields that every write's body may have.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    pub reason: Option<String>,
    pub dry_run: bool,
    pub expect_revision: Option<Revision>,
    pub no_wait: bool,
    pub timeout: Option<String>,
}

/// Declares a write's body: its own fields, and those of [`Conditions`]. Not `serde(flatten)`, which would accept
/// a mistyped `dryrun` in silence and write.
macro_rules! write_body {
    ($(#[$attribute:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$field_attribute])* $field: $kind,)*
            reason: Option<String>,
            #[serde(default)]
            dry_run: bool,
            expect_revision: Option<$crate::ids::Revision>,
            #[serde(default)]
            no_wait: bool,
            timeout: Option<String>,
        }

        impl $name {
            fn conditions(&self) -> $crate::control::write::Conditions {
                $crate::control::write::Conditions {
                    reason: self.reason.clone(),
                    dry_run: self.dry_run,
                    expect_revision: self.expect_revision,
                    no_wait: self.no_wait,
                    timeout: self.timeout.clone(),
                }
            }
        }
    };
}
pub(super) use write_body;

/// The reason of a write, without which there is none.
pub(super) fn say_why(reason: Option<String>) -> Result<String, Problem> {
    parse_reason(reason.as_deref().unwrap_or("")).map_err(|fault| {
        Problem::invalid(fault).hint("say why in `reason`: it stands in the audit")
    })
}

/// A reason as the audit takes it: some text, and no more than a thousand characters of it.
pub fn parse_reason(text: &str) -> Result<String, String> {
    let reason = text.trim();
    if reason.is_empty() {
        return Err("a write needs a reason".to_owned());
    }
    if reason.chars().count() > MAX_REASON {
        return Err(format!("a reason has {MAX_REASON} characters at most"));
    }
    Ok(reason.to_owned())
}

/// Conditions that have been checked.
pub(super) struct Checked {
    pub terms: Terms,
    no_wait: bool,
    patience: Duration,
}

impl Checked {
    /// How long the caller waits in all.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }
}

impl Conditions {
    pub(super) fn check(self, caller: Caller) -> Result<Checked, Problem> {
        let patience = match self.timeout.as_deref() {
            Some(text) => parse_patience(text).map_err(Problem::invalid)?,
            None => DEFAULT_PATIENCE,
        };
        let reason = match (self.reason, self.dry_run) {
            (None, true) => None,
            (reason, false) => Some(say_why(reason)?),
            (Some(reason), true) => Some(say_why(Some(reason))?),
        };
        let terms = Terms {
            author: caller.author(reason),
            dry_run: self.dry_run,
            expect_revision: self.expect_revision,
        };
        Ok(Checked {
            terms,
            no_wait: self.no_wait,
            patience,
        })
    }
}

/// The answer to a write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Written {
    pub revision: Revision,
    /// Rows changed; 0: everything stood as asked already. `None`: a proxy's local rollback, which counts no rows.
    pub changed: Option<u64>,
    pub at: DateTime<Utc>,
    pub dry_run: bool,
    /// What a dry run would change, the first hundred rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preview: Vec<ChangeItem>,
    /// Whether the proxies were waited for.
    pub waited: bool,
    /// Every live proxy has applied it.
    pub confirmed: bool,
    pub proxies: Vec<Proxy>,
    pub elapsed_ms: f64,
    /// Why the wait ended early, or why a local rollback is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl Written {
    /// Of a change that another request made: it stands, and the proxies are asked anew.
    pub(super) async fn resumed(db: &PgPool, change: Change) -> Self {
        let how = Checked {
            terms: Terms::of(Author::new("", Source::Api, "")),
            no_wait: false,
            patience: DEFAULT_PATIENCE,
        };
        Self::after(db, change, &how).await
    }

    /// The change as it stands, and whether the proxies have it, if the caller wants to wait for that.
    pub(super) async fn after(db: &PgPool, change: Change, how: &Checked) -> Self {
        let dry_run = how.terms.dry_run;
        let waited = !dry_run && !how.no_wait;
        let outcome = match waited {
            true => rollout::confirm(db, &change, how.patience).await,
            false => Confirmation {
                confirmed: false,
                proxies: Vec::new(),
                elapsed_ms: 0.0,
                fault: None,
            },
        };
        if !dry_run {
            let author = &how.terms.author;
            tracing::info!(
                revision = change.revision.0,
                rows = change.changed,
                actor = author.actor,
                source = author.source.as_str(),
                waited,
                confirmed = outcome.confirmed,
                elapsed_ms = outcome.elapsed_ms,
                "change written"
            );
        }
        Self {
            revision: change.revision,
            changed: Some(change.changed),
            at: change.at,
            dry_run,
            preview: change.preview,
            waited,
            confirmed: outcome.confirmed,
            proxies: outcome.proxies,
            elapsed_ms: outcome.elapsed_ms,
            fault: outcome.fault,
        }
    }
}

/// Reads `5s`, `800ms` or `1.5s`: from 1 ms to 25 s.
pub fn parse_patience(text: &str) -> Result<Duration, String> {
    let fault = || {
        format!(
            "{text:?} is no time to wait: expected such as 800ms or 5s, {}s at most",
            MAX_PATIENCE.as_secs()
        )
    };
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').ok_or_else(fault)?, 1.0),
    };
    let seconds = number.parse::<f64>().map_err(|_| fault())? * unit;
    let patience = Duration::try_from_secs_f64(seconds).map_err(|_| fault())?;
    if patience < Duration::from_millis(1) || patience > MAX_PATIENCE {
        Err(fault())
    } else {
        Ok(patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_has_a_unit_and_bounds() {
        assert_eq!(parse_patience("800ms"), Ok(Duration::from_millis(800)));
        assert_eq!(parse_patience("1.5s"), Ok(Duration::from_millis(1500)));
        for text in ["", "5", "s", "-1s", "0s", "26s", "1m", "NaNs", "infs"] {
            assert!(parse_patience(text).is_err(), "{text:?}");
        }
    }
}
