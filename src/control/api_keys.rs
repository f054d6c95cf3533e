//! `/api/v1/api-keys`: make, list, revoke.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Json as Body, Path};
use super::{Caller, Page, Problem, State};
use crate::ids::TenantRef;
use crate::rollout::{self, ApiKey};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    name: String,
    tenant: TenantRef,
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
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
    let author = caller.author(None);
    let CreateBody {
        name,
        tenant,
        expires_at,
    } = body;
    let key = rollout::create_api_key(&state.db, &author, &name, &tenant, expires_at).await?;
    let answer = json!({ "name": name, "tenant": tenant, "expires_at": expires_at, "key": key });
    let headers = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(answer)).into_response())
}

pub(super) async fn revoke(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let revoked = rollout::revoke_api_key(&state.db, &caller.author(None), &name).await?;
    Ok(Json(json!({ "name": name, "changed": u8::from(revoked) })))
}
