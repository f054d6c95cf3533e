//! `/api/v1/freezes`: list, freeze, unfreeze.
//!
//! Its own file, because a freeze is answered only when what was under way is over, or is named.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State as Shared;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::extract::Json as Body;
use super::write::{Checked, write_body};
use super::{Caller, Page, Problem, State, Written};
use crate::ids::TenantRef;
use crate::rollout::{self, Drain, Freeze, FreezeTarget, LONGEST_FREEZE};

write_body!(FreezeBody {
    tenant: Option<TenantRef>,
    capability: Option<String>,
    #[serde(default)]
    all: bool,
    /// How long: `15m`. There is no freeze without an end.
    r#for: String,
});

write_body!(UnfreezeBody {
    tenant: Option<TenantRef>,
    capability: Option<String>,
    #[serde(default)]
    all: bool,
});

/// The answer to a freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FreezeWritten {
    #[serde(flatten)]
    pub written: Written,
    /// `None`: of a dry run.
    pub until: Option<DateTime<Utc>>,
    /// What was still under way at the end of the wait. `None`: nobody waited.
    pub drain: Option<Drain>,
}

fn target(
    tenant: Option<&TenantRef>,
    capability: Option<&String>,
    all: bool,
) -> Result<FreezeTarget, Problem> {
    match (tenant, capability, all) {
        (Some(tenant), None, false) => Ok(FreezeTarget::Tenant(tenant.clone())),
        (None, Some(capability), false) => Ok(FreezeTarget::Capability(capability.clone())),
        (None, None, true) => Ok(FreezeTarget::All),
        _ => Err(Problem::invalid(
            "expected exactly one of `tenant`, `capability` and `all`",
        )),
    }
}

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Page<Freeze>>, Problem> {
    Ok(Json(Page::whole(rollout::freezes(&state.db).await?)))
}

pub(super) async fn freeze(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<FreezeBody>,
) -> Result<Json<FreezeWritten>, Problem> {
    let span = parse_span(&body.r#for).map_err(Problem::invalid)?;
    let target = target(body.tenant.as_ref(), body.capability.as_ref(), body.all)?;
    let how = body.conditions().check(caller)?;
    let begun = Instant::now();
    let (change, scope) = rollout::freeze(&state.db, &how.terms, &target, span).await?;
    let (revision, at) = (change.revision, change.at);
    let written = Written::after(&state.db, change, &how).await;
    let drain = match written.waited {
        true => {
            // Of one patience: what the proxies took is gone.
            let left = how.patience().saturating_sub(begun.elapsed());
            Some(rollout::drain(&state.db, revision, &scope, left).await)
        }
        false => None,
    };
    let until = TimeDelta::from_std(span).ok().map(|span| at + span);
    Ok(Json(FreezeWritten {
        until: until.filter(|_| !written.dry_run),
        written,
        drain,
    }))
}

pub(super) async fn unfreeze(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<UnfreezeBody>,
) -> Result<Json<Written>, Problem> {
    let target = target(body.tenant.as_ref(), body.capability.as_ref(), body.all)?;
    let how: Checked = body.conditions().check(caller)?;
    let change = rollout::unfreeze(&state.db, &how.terms, &target).await?;
    Ok(Json(Written::after(&state.db, change, &how).await))
}

/// Reads `90s`, `15m` or `2h`: from 1 s to 24 h.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let fault = || {
        format!("{text:?} is no time to freeze for: expected such as 90s, 15m or 2h, 24h at most")
    };
    let seconds = [("s", 1), ("m", 60), ("h", 3600)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, unit) = seconds.ok_or_else(fault)?;
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fault());
    }
    let number: u64 = number.parse().map_err(|_| fault())?;
    let span = number.checked_mul(unit).map(Duration::from_secs);
    span.filter(|span| !span.is_zero() && *span <= LONGEST_FREEZE)
        .ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_has_an_end_within_a_day() {
        assert_eq!(parse_span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_span("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(parse_span("24h"), Ok(LONGEST_FREEZE));
        for text in [
            "",
            "m",
            "0s",
            "-1m",
            "15",
            "25h",
            "1d",
            "1.5h",
            "infinity",
            "99999999999999999999s",
            "+5m",
        ] {
            assert!(parse_span(text).is_err(), "{text:?}");
        }
    }
}
