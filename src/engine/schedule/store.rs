//! `POST /campaign/schedule-email/{campaign}/{template}/store`: takes a schedule, and answers 201 once it is stored in both databases.
//!
//! Its own file, because what happens between the two of them has to be told somewhere.
//!
//! Legacy's row is first, then ours, then the answer. Legacy's cron does not take the row, whose status is `queued`, and only ours is
//! ever fired: a crash between the two leaves a row that shows and does nothing, which nobody was told was stored. A crash after ours
//! leaves a schedule that is kept; who then asks again stores a second one, whose send has the keys of the first's and reaches nobody twice.

use axum::Form;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use uuid::Uuid;

use super::plan::{Asked, Plan};
use crate::engine::Handle;
use crate::engine::campaign::find_campaign;
use crate::ids::TenantId;
use crate::modern::accept::wants_page;
use crate::modern::json::LegacyJson;
use crate::modern::problem::Problem;
use crate::modern::tenant::Tenant;
use crate::modern::{failed, id_in_path};

#[derive(Serialize)]
struct Stored {
    status: &'static str,
    id: i64,
}

/// 404 for what the tenant does not have; 422 for a time that is none, and for a campaign of another channel.
pub async fn store_email(
    State(engine): State<Handle>,
    Tenant(tenant): Tenant,
    Path((campaign, template)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let wants_page = wants_page(request.headers());
    let campaign = id_in_path(&campaign)?;
    let template = id_in_path(&template)?;
    let now = Utc::now();
    let plan = Plan::read(read(request).await?, now).map_err(unfit)?;
    find_campaign(&engine.legacy, tenant, campaign, template).await?;
    let at = plan.next_at;
    let stored = engine
        .legacy
        .store_schedule(tenant, campaign, template, at, now);
    let stored = stored.await.map_err(failed("store the schedule"))?;
    // Deleted since it was found.
    let legacy =
        stored.ok_or_else(|| Problem::not_found(format!("there is no campaign {campaign}")))?;
    if let Err(error) = store(&engine, tenant, (campaign, template), legacy, &plan).await {
        // Refused by the database: surely nothing was stored. After a lost connection it may have been, and then it is kept.
        if error.as_database_error().is_some() {
            let told = engine
                .legacy
                .schedule_ended(tenant, legacy, "failed", at, now);
            if let Err(error) = told.await {
                tracing::warn!(%error, %tenant, schedule = legacy, "a schedule that is not stored still shows as queued");
            }
        }
        return Err(failed("store the schedule")(error));
    }
    tracing::info!(%tenant, campaign, template, schedule = legacy, %at, cron = plan.repeated.is_some(), "a campaign was scheduled");
    if wants_page {
        let to = [(header::LOCATION, "/campaign/schedule-emails")];
        return Ok((StatusCode::FOUND, to).into_response());
    }
    let stored = Stored {
        status: "scheduled",
        id: legacy,
    };
    Ok(LegacyJson(StatusCode::CREATED, stored).into_response())
}

async fn store(
    engine: &Handle,
    tenant: TenantId,
    (campaign, template): (i64, i64),
    legacy: i64,
    plan: &Plan,
) -> Result<(), sqlx::Error> {
    let (cron, zone) = plan.repeated.clone().unzip();
    sqlx::query("select ficus.store_schedule($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(Uuid::now_v7())
        .bind(tenant.0)
        .bind(campaign)
        .bind(template)
        .bind(legacy)
        .bind(plan.next_at)
        .bind(cron)
        .bind(zone)
        .bind(plan.skip_after)
        .execute(&engine.pool)
        .await?;
    Ok(())
}

/// As Laravel reads a request: JSON where it says so, else a form; the query counts where there is no body.
async fn read(request: Request) -> Result<Asked, Problem> {
    if is_json(request.headers()) {
        let body = Bytes::from_request(request, &()).await;
        let body = body.map_err(|_| unfit("the body cannot be read"))?;
        return serde_json::from_slice(&body)
            .map_err(|_| unfit("the body is no object of JSON whose fields are texts"));
    }
    if !request.headers().contains_key(header::CONTENT_TYPE) {
        let query = Query::try_from_uri(request.uri());
        return query
            .map(|Query(asked)| asked)
            .map_err(|_| unfit("the query cannot be read"));
    }
    let form = Form::from_request(request, &()).await;
    form.map(|Form(asked)| asked)
        .map_err(|_| unfit("the body is no form (application/x-www-form-urlencoded)"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    kind.contains("/json") || kind.contains("+json")
}

fn unfit(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}
