//! `/api/v1/tokens`: make, list, revoke.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Json as Body, Path};
use super::{Caller, Page, Problem, State};
use crate::rollout::{self, Role, Token};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    name: String,
    role: Role,
}

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Page<Token>>, Problem> {
    Ok(Json(Page::whole(rollout::list_tokens(&state.db).await?)))
}

/// The one answer that holds a token's text.
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<CreateBody>,
) -> Result<Response, Problem> {
    let token =
        rollout::create_token(&state.db, &caller.author(None), &body.name, body.role).await?;
    let answer = Json(json!({ "name": body.name, "role": body.role, "token": token }));
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], answer).into_response())
}

pub(super) async fn revoke(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let revoked = rollout::revoke_token(&state.db, &caller.author(None), &name).await?;
    Ok(Json(json!({ "name": name, "changed": u8::from(revoked) })))
}
