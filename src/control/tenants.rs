//! `/api/v1/tenants`: list, show, set, import.
//!
//! Its own file: one a resource.

use axum::Json;
use axum::extract::State as Shared;
use serde::Deserialize;

use super::extract::{Json as Body, Path, Query, tenant_named};
use super::write::write_body;
use super::{Caller, Page, Problem, State, Written, default_limit};
use crate::ids::TenantId;
use crate::rollout::{self, Class, NewTenant, Tenant, TenantPatch};

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<i64>,
    #[serde(default = "default_limit")]
    limit: u32,
}

write_body!(SetBody {
    slug: Option<String>,
    name: Option<String>,
    class: Option<Class>,
});

write_body!(SyncBody {});

write_body!(ImportBody {
    tenants: Vec<NewTenant>,
});

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Tenant>>, Problem> {
    let tenants = rollout::tenants(&state.db, query.after.map(TenantId), query.limit).await?;
    Ok(Json(Page::new(tenants, query.limit, |tenant| {
        tenant.id.to_string()
    })))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, Problem> {
    Ok(Json(
        rollout::tenant(&state.db, &tenant_named(&tenant)?).await?,
    ))
}

pub(super) async fn set(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(tenant): Path<String>,
    Body(body): Body<SetBody>,
) -> Result<Json<Written>, Problem> {
    let how = body.conditions().check(caller)?;
    let patch = TenantPatch {
        slug: body.slug,
        name: body.name,
        class: body.class,
    };
    let change =
        rollout::set_tenant(&state.db, &how.terms, &tenant_named(&tenant)?, &patch).await?;
    Ok(Json(Written::after(&state.db, change, &how).await))
}

pub(super) async fn import(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<ImportBody>,
) -> Result<Json<Written>, Problem> {
    let how = body.conditions().check(caller)?;
    let change = rollout::import_tenants(&state.db, &how.terms, &body.tenants).await?;
    Ok(Json(Written::after(&state.db, change, &how).await))
}

pub(super) async fn sync(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<SyncBody>,
) -> Result<Json<Written>, Problem> {
    let how = body.conditions().check(caller)?;
    let Some(queries) = &state.queries else {
        return Err(
            Problem::invalid("there is no configuration here, so no query of volumes")
                .hint("ask the admin API, without --direct"),
        );
    };
    let change = rollout::sync_tenants(&state.db, &how.terms, queries).await?;
    Ok(Json(Written::after(&state.db, change, &how).await))
}
