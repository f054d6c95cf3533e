//! `/api/v1/overrides`: list, set, clear.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;

use super::extract::Json as Body;
use super::write::write_body;
use super::{Caller, Page, Problem, State, Written};
use crate::rollout::{self, Override};

write_body!(OverrideBody {
    capability: Option<String>,
    #[serde(default)]
    all: bool,
});

impl OverrideBody {
    /// The capability, or `None` for all; never both and never neither.
    fn scope(&self) -> Result<Option<&str>, Problem> {
        match (&self.capability, self.all) {
            (Some(capability), false) => Ok(Some(capability)),
            (None, true) => Ok(None),
            _ => Err(Problem::invalid(
                "expected exactly one of `capability` and `all`",
            )),
        }
    }
}

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Page<Override>>, Problem> {
    Ok(Json(Page::whole(rollout::overrides(&state.db).await?)))
}

pub(super) async fn set(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<OverrideBody>,
) -> Result<Json<Written>, Problem> {
    let how = body.conditions().check(caller)?;
    let change = rollout::set_override(&state.db, &how.terms, body.scope()?).await?;
    Ok(Json(Written::after(&state.db, change, &how).await))
}

pub(super) async fn clear(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<OverrideBody>,
) -> Result<Json<Written>, Problem> {
    let how = body.conditions().check(caller)?;
    let change = rollout::clear_override(&state.db, &how.terms, body.scope()?).await?;
    Ok(Json(Written::after(&state.db, change, &how).await))
}
