//! `POST /campaign/schedule-email/{campaign}/{template}/store`, and `schedule-sms` with a gateway behind the template: takes a schedule, and answers 201 once it is stored in both databases.
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
use crate::engine::campaign::{find_campaign, find_gateway, make_text};
use crate::engine::message::Channel;
use crate::engine::sms::Gateway;
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
    let stored = engine
        .legacy
        .store_schedule(tenant, campaign, template, plan.next_at, now);
    let stored = stored.await.map_err(failed("store the schedule"))?;
    let wanted = Wanted {
        tenant,
        campaign,
        template,
        gateway: None,
    };
    keep(&engine, &wanted, stored, &plan, wants_page).await
}

/// As [`store_email`]; 404 also for a gateway that the tenant has not set up.
pub async fn store_text(
    State(engine): State<Handle>,
    Tenant(tenant): Tenant,
    Path((campaign, template, gateway)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let wants_page = wants_page(request.headers());
    let campaign = id_in_path(&campaign)?;
    let template = id_in_path(&template)?;
    let now = Utc::now();
    let plan = Plan::read(read(request).await?, now).map_err(unfit)?;
    let gateway = find_gateway(&engine.legacy, tenant, &gateway).await?;
    // As it is checked at its time: what it could not be sent with today is told today.
    let what = (campaign, template);
    make_text(&engine.legacy, tenant, what, gateway, Uuid::now_v7()).await?;
    let stored = engine
        .legacy
        .store_sms_schedule(tenant, what, gateway, plan.next_at, now);
    let stored = stored.await.map_err(failed("store the schedule"))?;
    let wanted = Wanted {
        tenant,
        campaign,
        template,
        gateway: Some(gateway),
    };
    keep(&engine, &wanted, stored, &plan, wants_page).await
}

/// What is to be sent.
struct Wanted {
    tenant: TenantId,
    campaign: i64,
    template: i64,
    /// Of texts.
    gateway: Option<Gateway>,
}

impl Wanted {
    fn channel(&self) -> Channel {
        match self.gateway {
            None => Channel::Email,
            Some(_) => Channel::Sms,
        }
    }
}

/// Stores it with us, now that legacy's row `stored` shows it.
async fn keep(
    engine: &Handle,
    wanted: &Wanted,
    stored: Option<i64>,
    plan: &Plan,
    wants_page: bool,
) -> Result<Response, Problem> {
    let (tenant, campaign, at) = (wanted.tenant, wanted.campaign, plan.next_at);
    // Deleted since it was found.
    let legacy =
        stored.ok_or_else(|| Problem::not_found(format!("there is no campaign {campaign}")))?;
    if let Err(error) = store(engine, wanted, legacy, plan).await {
        // Refused by the database: surely nothing was stored. After a lost connection it may have been, and then it is kept.
        if error.as_database_error().is_some() {
            let (channel, now) = (wanted.channel(), Utc::now());
            let told = engine
                .legacy
                .schedule_ended(channel, tenant, legacy, "failed", at, now);
            if let Err(error) = told.await {
                tracing::warn!(%error, %tenant, schedule = legacy, "a schedule that is not stored still shows as queued");
            }
        }
        return Err(failed("store the schedule")(error));
    }
    let channel = wanted.channel().as_str();
    tracing::info!(%tenant, campaign, template = wanted.template, channel, schedule = legacy, %at, cron = plan.repeated.is_some(), "a campaign was scheduled");
    if wants_page {
        let list = match wanted.channel() {
            Channel::Email => "/campaign/schedule-emails",
            Channel::Sms => "/campaign/schedule-sms",
        };
        return Ok((StatusCode::FOUND, [(header::LOCATION, list)]).into_response());
    }
    let stored = Stored {
        status: "scheduled",
        id: legacy,
    };
    Ok(LegacyJson(StatusCode::CREATED, stored).into_response())
}

async fn store(
    engine: &Handle,
    wanted: &Wanted,
    legacy: i64,
    plan: &Plan,
) -> Result<(), sqlx::Error> {
    let (cron, zone) = plan.repeated.clone().unzip();
    let (sql, gateway) = match wanted.gateway {
        None => (
            "select ficus.store_schedule($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            None,
        ),
        Some(gateway) => (
            "select ficus.store_sms_schedule($1, $2, $3, $4, $10, $5, $6, $7, $8, $9)",
            Some(gateway.as_str()),
        ),
    };
    let query = sqlx::query(sql)
        .bind(Uuid::now_v7())
        .bind(wanted.tenant.0)
        .bind(wanted.campaign)
        .bind(wanted.template)
        .bind(legacy)
        .bind(plan.next_at)
        .bind(cron)
        .bind(zone)
        .bind(plan.skip_after);
    let query = match gateway {
        None => query,
        Some(gateway) => query.bind(gateway),
    };
    query.execute(&engine.pool).await?;
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
