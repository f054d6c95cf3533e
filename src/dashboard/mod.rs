//! The modern campaign dashboard: answers legacy's read routes from legacy's tables, with legacy's JSON.
//!
//! Its own folder, because it stays when the proxy is gone; one file a resource.

mod campaigns;
mod pages;
mod stats;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use sqlx::PgPool;

use crate::modern::accept::wants_page;
use crate::modern::json::{LegacyJson, List, One};
use crate::modern::problem::Problem;
use crate::modern::tenant::{Tenant, account_name};
use crate::modern::{complete, failed, id_in_path};

/// What `[dashboard]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
}

/// The dashboard's routes. `legacy` is read, and never written.
pub fn router(legacy: PgPool) -> Router {
    let routes = Router::new()
        .route("/dashboard", get(index))
        .route("/dashboard/stats", get(stats))
        .route("/dashboard/campaigns", get(list))
        .route("/dashboard/campaigns/{campaign}", get(detail))
        .with_state(legacy);
    complete(routes)
}

async fn index(
    State(legacy): State<PgPool>,
    Tenant(tenant): Tenant,
) -> Result<Html<String>, Problem> {
    let figures = stats::of(&legacy, tenant)
        .await
        .map_err(failed("read the figures of the dashboard"))?;
    let campaigns = campaigns::list(&legacy, tenant)
        .await
        .map_err(failed("read the campaigns"))?;
    let account = account_name(&legacy, tenant).await?;
    Ok(pages::index(
        tenant,
        account.as_deref(),
        &figures,
        &campaigns,
    ))
}

async fn stats(State(legacy): State<PgPool>, Tenant(tenant): Tenant) -> Result<Response, Problem> {
    let figures = stats::of(&legacy, tenant)
        .await
        .map_err(failed("read the figures of the dashboard"))?;
    Ok(LegacyJson(StatusCode::OK, figures).into_response())
}

async fn list(
    State(legacy): State<PgPool>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let campaigns = campaigns::list(&legacy, tenant)
        .await
        .map_err(failed("read the campaigns"))?;
    if !wants_page(&headers) {
        return Ok(LegacyJson(StatusCode::OK, List::from(campaigns)).into_response());
    }
    let account = account_name(&legacy, tenant).await?;
    Ok(pages::list(tenant, account.as_deref(), &campaigns).into_response())
}

async fn detail(
    State(legacy): State<PgPool>,
    Tenant(tenant): Tenant,
    Path(campaign): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let campaign = id_in_path(&campaign)?;
    // Another tenant's campaign is as absent as none.
    let Some(found) = campaigns::find(&legacy, tenant, campaign)
        .await
        .map_err(failed("read the campaign"))?
    else {
        return Err(Problem::not_found(format!(
            "there is no campaign {campaign}"
        )));
    };
    if !wants_page(&headers) {
        return Ok(LegacyJson(StatusCode::OK, One { data: found }).into_response());
    }
    let account = account_name(&legacy, tenant).await?;
    Ok(pages::detail(tenant, account.as_deref(), &found).into_response())
}
