//! `/api/v1/messages`: list, show, retry, settle.
//!
//! Its own file: one a resource. They are the engine's operations, so they have no revision and no proxy follows them.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::extract::{Json as Body, Path, Query, tenant_named};
use super::write::say_why;
use super::{Caller, Page, Problem, State, default_limit};
use crate::engine::operations::{
    self, Became, By, Filter, MAX_RETRIED, MessageDetail, MessageRow, Retried, Settled, Verdict,
};
use crate::rollout::{self, Author, Beside, Error, MAX_PAGE};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// An id or a slug.
    tenant: Option<String>,
    campaign: Option<i64>,
    state: Option<operations::State>,
    /// The `next` of the page before: a message's id.
    before: Option<Uuid>,
    #[serde(default = "default_limit")]
    limit: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryBody {
    /// A thousand at most.
    ids: Vec<Uuid>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettleBody {
    r#as: Verdict,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// The answer to a retry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RetryWritten {
    /// One for each id, in their order.
    pub items: Vec<Retried>,
    pub dry_run: bool,
}

/// The answer to a settling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettleWritten {
    pub id: Uuid,
    #[serde(flatten)]
    pub settled: Settled,
    pub dry_run: bool,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<MessageRow>>, Problem> {
    let tenant = match &query.tenant {
        Some(text) => Some(rollout::tenant(&state.db, &tenant_named(text)?).await?.id),
        None => None,
    };
    let filter = Filter {
        tenant,
        campaign: query.campaign,
        state: query.state,
        before: query.before,
    };
    let limit = i64::from(query.limit.clamp(1, MAX_PAGE));
    let listed = operations::list(&state.db, filter, limit).await;
    let listed = listed.map_err(Error::from)?;
    Ok(Json(Page {
        items: listed.messages,
        next: listed.next.map(|it| it.to_string()),
    }))
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    Path(message): Path<Uuid>,
) -> Result<Json<MessageDetail>, Problem> {
    let found = operations::show(&state.db, message).await;
    let found = found.map_err(Error::from)?;
    Ok(Json(found.ok_or_else(|| unknown(message))?))
}

pub(super) async fn retry(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(body): Body<RetryBody>,
) -> Result<Json<RetryWritten>, Problem> {
    if body.ids.is_empty() || body.ids.len() > MAX_RETRIED {
        let count = body.ids.len();
        return Err(
            Problem::invalid(format!("expected 1 to {MAX_RETRIED} ids, got {count}"))
                .hint("in several commands: each id has its own answer"),
        );
    }
    let author = author(caller, body.reason, body.dry_run)?;
    let mut write = Beside::begin(&state.db, &author).await?;
    let items = operations::retry(write.connection(), &body.ids, by(&author)).await;
    let items = items.map_err(Error::from)?;
    write.finish(body.dry_run).await?;
    let due = items.iter().filter(|it| it.became == Became::Due).count();
    note(&author, "retry", body.dry_run || due == 0);
    Ok(Json(RetryWritten {
        items,
        dry_run: body.dry_run,
    }))
}

pub(super) async fn settle(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(message): Path<Uuid>,
    Body(body): Body<SettleBody>,
) -> Result<Json<SettleWritten>, Problem> {
    let author = author(caller, body.reason, body.dry_run)?;
    let mut write = Beside::begin(&state.db, &author).await?;
    let settled = operations::settle(write.connection(), message, body.r#as, by(&author)).await;
    let settled = settled.map_err(Error::from)?;
    let settled = settled.ok_or_else(|| unknown(message))?;
    let same = settled.settled_as.as_deref() == Some(body.r#as.as_str());
    if !settled.changed && !same {
        return Err(not_uncertain(message, &settled));
    }
    write.finish(body.dry_run).await?;
    note(&author, "settle", body.dry_run || !settled.changed);
    Ok(Json(SettleWritten {
        id: message,
        settled,
        dry_run: body.dry_run,
    }))
}

/// Who writes, and why; a dry run needs no reason.
pub(super) fn author(
    caller: Caller,
    reason: Option<String>,
    dry_run: bool,
) -> Result<Author, Problem> {
    let reason = match (reason, dry_run) {
        (None, true) => "dry run".to_owned(),
        (reason, _) => say_why(reason)?,
    };
    Ok(caller.author(Some(reason)))
}

/// The same as the engine's trace has it.
pub(super) fn by(author: &Author) -> By<'_> {
    By {
        actor: &author.actor,
        source: author.source.as_str(),
        reason: author.reason.as_deref().unwrap_or_default(),
    }
}

/// One event a write that did something; what it did stands in `ficus.message_operation`.
pub(super) fn note(author: &Author, operation: &'static str, is_nothing: bool) {
    if is_nothing {
        return;
    }
    let (actor, source) = (&author.actor, author.source.as_str());
    tracing::info!(operation, actor, source, "messages operated on");
}

fn unknown(message: Uuid) -> Problem {
    let detail = format!("there is no message {message}");
    Problem::new(StatusCode::NOT_FOUND, "unknown-message", detail)
        .hint("`ficus message list --tenant T` shows a tenant's; those of old days are dropped")
}

/// It was settled otherwise, or it never was uncertain.
fn not_uncertain(message: Uuid, settled: &Settled) -> Problem {
    let state = settled.state.as_str();
    let (Some(verdict), Some(who), Some(at)) =
        (&settled.settled_as, &settled.settled_by, settled.settled_at)
    else {
        let detail = format!("message {message} is not uncertain: it is {state}");
        return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-uncertain", detail)
            .with("state", json!(state))
            .hint("`ficus message show` has its story; one that is failed, dead or unknown is sent again by `ficus message retry`");
    };
    let at = at.format("%F %T UTC");
    let detail =
        format!("message {message} was settled as {verdict} by {who} at {at}, and is {state} now");
    Problem::new(StatusCode::CONFLICT, "settled-already", detail)
        .with("state", json!(state))
        .with("settled_as", json!(verdict))
        .with("settled_by", json!(who))
        .hint("somebody was faster: look at it with `ficus message show`")
}
