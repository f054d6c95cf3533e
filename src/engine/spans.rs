//! Spans from acceptance to outcome, across the queue: of messages and campaigns whose request was recorded.
//!
//! Its own file, because it is told of ends with everybody else, from the events, and costs nothing on a message's way. A crash may tell of an end twice.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::letter::{Body, Letter};
use super::message::MessageId;
use crate::telemetry::traces::{self, Parent, Tracer};

/// Where a recorded request's trace goes on. What is not recorded is not stored, and nothing is looked for.
pub fn recorded(headers: &axum::http::HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    Parent::parse(text)
        .is_some_and(|it| it.sampled)
        .then(|| text.to_owned())
}

/// Makes spans of ends. Without a tracer it asks nobody.
#[derive(Clone)]
pub struct Spans {
    pub pool: PgPool,
    pub tracer: Option<Tracer>,
}

/// A message's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub id: MessageId,
    pub tenant: i64,
    pub state: String,
    pub code: String,
    pub at: DateTime<Utc>,
}

impl Spans {
    /// Nobody waits for these: what cannot be read is left out.
    pub async fn messages_ended(&self, ends: Vec<End>) {
        let Some(tracer) = self.tracer.as_ref().filter(|_| !ends.is_empty()) else {
            return;
        };
        let ids: Vec<Uuid> = ends.iter().map(|it| it.id.0).collect();
        let found: Result<Vec<(Uuid, String)>, _> = sqlx::query_as(
            "select g.id, m.body from (select distinct g.id from unnest($1::uuid[]) as g (id)) as g
             cross join lateral (select m.body from ficus.message as m where m.id = g.id offset 0) as m
             where position('\"traceparent\"' in m.body) > 0",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await;
        let found = found.unwrap_or_else(|error| {
            tracing::debug!(%error, "could not look for the traces of messages");
            Vec::new()
        });
        for (id, body) in found {
            let body: Option<Body> = serde_json::from_str(&body).ok();
            let parent = body.and_then(|it| Parent::parse(&it.traceparent?));
            for end in ends.iter().filter(|it| it.id.0 == id) {
                if let Some(parent) = parent {
                    tracer.submit_ended(message(end, parent));
                }
            }
        }
    }

    /// The same of a campaign's send. `failed` of its messages were not sent.
    pub async fn run_ended(&self, run: Uuid, tenant: i64, (sent, failed): (i32, i32)) {
        let Some(tracer) = &self.tracer else {
            return;
        };
        let found: Result<Option<(String, DateTime<Utc>)>, _> = sqlx::query_as(
            "select c.body, r.requested_at from ficus.campaign_run as r join ficus.content as c on c.id = r.content_id where r.id = $1",
        )
        .bind(run)
        .fetch_optional(&self.pool)
        .await;
        let Ok(Some((body, begun))) = found else {
            return;
        };
        let letter: Option<Letter> = serde_json::from_str(&body).ok();
        let Some(parent) = letter.and_then(|it| Parent::parse(&it.traceparent?)) else {
            return;
        };
        tracer.submit_ended(traces::Ended {
            parent,
            name: "campaign",
            begun: begun.into(),
            ended: Utc::now().into(),
            is_failed: sent == 0 && failed > 0,
            attributes: vec![
                ("ficus.run", run.to_string()),
                ("ficus.tenant", tenant.to_string()),
                ("ficus.sent", sent.to_string()),
                ("ficus.failed", failed.to_string()),
            ],
        });
    }
}

fn message(end: &End, parent: Parent) -> traces::Ended {
    traces::Ended {
        parent,
        name: "message",
        begun: end.id.made_at().unwrap_or(end.at).into(),
        ended: end.at.into(),
        is_failed: matches!(end.state.as_str(), "failed" | "dead" | "unknown"),
        attributes: vec![
            ("ficus.message", end.id.to_string()),
            ("ficus.tenant", end.tenant.to_string()),
            ("ficus.end", end.state.clone()),
            ("ficus.code", end.code.clone()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn only_a_recorded_requests_trace_is_kept() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", HeaderValue::from_static(text));
            recorded(&headers)
        };
        let taken = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(of(taken).as_deref(), Some(taken));
        for other in [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "hello",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(recorded(&HeaderMap::new()), None);
    }
}
