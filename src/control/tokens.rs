//! `/api/v1/tokens`: make, list, revoke.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Json as Body, Path};
use super::write::say_why;
use super::{Caller, Page, Problem, State};
use crate::ids::TenantRef;
use crate::rollout::{self, Role, Token};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    name: String,
    role: Role,
    /// Of role ofrep, and only then: whom it may ask for.
    #[serde(default)]
    tenants: Vec<TenantRef>,
    reason: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeBody {
    reason: Option<String>,
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
    let author = caller.author(Some(say_why(body.reason)?));
    let token = match (body.role, body.tenants.as_slice()) {
        (Role::Ofrep, tenants) => {
            rollout::create_ofrep_token(&state.db, &author, &body.name, tenants).await?
        }
        (role, []) => rollout::create_token(&state.db, &author, &body.name, role).await?,
        _ => {
            return Err(Problem::invalid(
                "only a token of role ofrep is bound to tenants",
            ));
        }
    };
    let answer = Json(
        json!({ "name": body.name, "role": body.role, "tenants": body.tenants, "token": token }),
    );
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], answer).into_response())
}

pub(super) async fn revoke(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<RevokeBody>,
) -> Result<Json<Value>, Problem> {
    let author = caller.author(Some(say_why(body.reason)?));
    let revoked = rollout::revoke_token(&state.db, &author, &name).await?;
    Ok(Json(json!({ "name": name, "changed": u8::from(revoked) })))
}
