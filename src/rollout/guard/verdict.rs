//! The four verdicts, and the newest one as others read it.
//!
//! Its own file, because waves and people ask for the verdict and for nothing else of the guard.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;

/// What is known of the modern side. Only [`Verdict::Fail`] ever moves anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    Fail,
    /// Too few requests to say.
    Insufficient,
    /// Nobody tells: counts are missing, or nobody judges.
    NoData,
}

impl Verdict {
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::Insufficient, Self::NoData];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Insufficient => "insufficient",
            Self::NoData => "no-data",
        }
    }

    /// In the metric: the higher, the worse.
    pub fn number(self) -> i64 {
        match self {
            Self::Pass => 0,
            Self::Insufficient => 1,
            Self::NoData => 2,
            Self::Fail => 3,
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// A verdict with its time and its reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NewestVerdict {
    pub verdict: Verdict,
    /// When it was judged; `None`: never.
    pub at: Option<DateTime<Utc>>,
    pub evidence: serde_json::Value,
}

/// The newest verdict on a capability as a whole. One that is older than a minute is [`Verdict::NoData`]: nobody judges.
pub async fn newest_verdict(
    db: impl PgExecutor<'_>,
    capability: &str,
) -> Result<NewestVerdict, sqlx::Error> {
    let found: Option<(String, DateTime<Utc>, serde_json::Value, bool)> = sqlx::query_as(
        "select verdict, at, evidence, at > clock_timestamp() - interval '60 seconds'
         from ficus.verdict where capability = $1 and tenant_id is null",
    )
    .bind(capability)
    .fetch_optional(db)
    .await?;
    let Some((word, at, mut evidence, is_fresh)) = found else {
        return Ok(NewestVerdict {
            verdict: Verdict::NoData,
            at: None,
            evidence: serde_json::json!({ "why": "nobody has judged this capability yet" }),
        });
    };
    let verdict = match Verdict::parse(&word) {
        Some(verdict) if is_fresh => verdict,
        _ => {
            // What was measured then is no reason now.
            let why = format!("nobody has judged it for a minute; the last verdict was {word}");
            if let Some(evidence) = evidence.as_object_mut() {
                evidence.insert("why".to_owned(), why.into());
            }
            Verdict::NoData
        }
    };
    Ok(NewestVerdict {
        verdict,
        at: Some(at),
        evidence,
    })
}
