//! `/api/v1/api-keys`: make, list, revoke.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Json as Body, Path};
use super::write::say_why;
use super::{Caller, Page, Problem, State};
use crate::ids::TenantRef;
use crate::rollout::{self, ApiKey};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeBody {
    reason: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    name: String,
    tenant: TenantRef,
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Page<ApiKey>>, Problem> {
    Ok(Json(Page::whole(rollout::list_api_keys(&state.db).await?)))
}

/// The one answer that holds a key's text.
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<CreateBody>,
) -> Result<Response, Problem> {
    let CreateBody {
        name,
        tenant,
        expires_at,
        reason,
    } = body;
    let author = caller.author(Some(say_why(reason)?));
    let key = rollout::create_api_key(&state.db, &author, &name, &tenant, expires_at).await?;
    let answer = json!({ "name": name, "tenant": tenant, "expires_at": expires_at, "key": key });
    let headers = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(answer)).into_response())
}

pub(super) async fn revoke(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<RevokeBody>,
) -> Result<Json<Value>, Problem> {
    let author = caller.author(Some(say_why(body.reason)?));
    let revoked = rollout::revoke_api_key(&state.db, &author, &name).await?;
    Ok(Json(json!({ "name": name, "changed": u8::from(revoked) })))
}
