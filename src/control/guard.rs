//! `/api/v1/guard` and `/api/v1/outcomes`: what the guard says, and what the modern side tells it.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use serde::{Deserialize, Serialize};

use super::extract::{Json as Body, Path};
use super::{Page, Problem, State};
use crate::rollout::guard::{Guarded, GuardedDetail, guarded, guarded_detail};
use crate::rollout::outcomes::{Reported, report_outcomes};

/// Of one request: a batch of a second's work.
const MOST_OUTCOMES: usize = 1000;

/// What the modern side reports.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OutcomesBody {
    pub outcomes: Vec<Reported>,
}

/// How many were taken.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
pub(super) struct Told {
    pub told: usize,
}

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Page<Guarded>>, Problem> {
    Ok(Json(Page::whole(guarded(&state.db).await?)))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(capability): Path<String>,
) -> Result<Json<GuardedDetail>, Problem> {
    Ok(Json(guarded_detail(&state.db, &capability).await?))
}

pub(super) async fn report(
    Shared(state): Shared<State>,
    Body(body): Body<OutcomesBody>,
) -> Result<Json<Told>, Problem> {
    if body.outcomes.len() > MOST_OUTCOMES {
        return Err(Problem::invalid(format!(
            "{} outcomes at once: expected at most {MOST_OUTCOMES}",
            body.outcomes.len()
        )));
    }
    let is_kind = |kind: &str| {
        let mut bytes = kind.bytes();
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        kind.len() <= 63 && bytes.next().is_some_and(|b| b.is_ascii_lowercase()) && bytes.all(good)
    };
    if let Some(bad) = body.outcomes.iter().find(|it| !is_kind(&it.kind)) {
        return Err(Problem::invalid(format!(
            "kind is {:?}: expected a-z, then up to 62 of a-z, 0-9 and \"-\"",
            bad.kind
        )));
    }
    report_outcomes(&state.db, &body.outcomes).await?;
    Ok(Json(Told {
        told: body.outcomes.len(),
    }))
}
