//! What people do with messages: look at them, send them again, settle them, hold them back.
//!
//! Its own folder, because nothing of it is on a message's way: the queue and the worker never ask it. The rules stand in
//! `migrations/0010_message_operations.sql` and `0016_return.sql`, where the admin API, the command line and psql meet the same ones.

mod act;
mod list;
mod mask;
mod policies;
mod returns;
mod runs;
mod servers;
mod show;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use act::{MAX_RETRIED, hold, holds, release, retry, settle, under_way};
pub use list::{Filter, Listed, list};
pub use policies::{Policy, SettlingPolicy, policies, set_policy};
pub use returns::{Handback, Return, Unsent, handbacks, return_tenant, returns, unsent};
pub use runs::{Run, RunOperation, operate, runs};
pub use servers::{MailServer, NewMailServer, mail_servers, set_mail_server, unset_mail_server};
pub use show::show;

/// Who does it, by which way, and why. It stands in `ficus.message_operation`.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    pub actor: &'a str,
    pub source: &'a str,
    pub reason: &'a str,
}

/// How a message stands, as `ficus.message_now` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum State {
    /// It is sent as soon as its turn comes.
    Due,
    /// It is due at a time: a schedule, or a retry.
    Waiting,
    /// An attempt has begun and has no end.
    Sending,
    Accepted,
    Failed,
    Dead,
    Unknown,
    Cancelled,
    /// It may have been accepted: to be settled.
    Uncertain,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
            Self::Uncertain => "uncertain",
        }
    }
}

/// A message of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct MessageRow {
    pub id: Uuid,
    pub tenant_id: i64,
    pub channel: String,
    pub campaign_id: Option<i64>,
    /// Its first letter and its domain: the whole is in `show` alone.
    pub recipient: String,
    pub state: State,
    /// Its tenant or its campaign is held back.
    pub held: bool,
    #[sqlx(rename = "created_at")]
    pub accepted_at: DateTime<Utc>,
    /// Of the last attempt. `None`: there was none.
    pub attempts: Option<i16>,
    pub code: Option<String>,
    pub ended_at: Option<DateTime<Utc>>,
    /// When it is tried next, where that is a time. `None`: see the state.
    pub due_at: Option<DateTime<Utc>>,
    /// Why it waits: `scheduled`, `retried`, `settled`, or the code of the last attempt.
    pub why: Option<String>,
}

/// A message's whole story. Never what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageDetail {
    /// With the whole recipient.
    #[serde(flatten)]
    pub message: MessageRow,
    pub attempts_made: Vec<Attempt>,
    /// What holds it back.
    pub holds: Vec<Hold>,
    /// What people, or the policy, did with it, in their order.
    pub operations: Vec<Operation>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Attempt {
    pub number: i16,
    /// Through what. `None`: it was refused before it was begun.
    pub connection: Option<String>,
    pub epoch: Option<i64>,
    pub begun_at: Option<DateTime<Utc>>,
    /// `None`: it has none yet.
    pub end: Option<String>,
    pub code: Option<String>,
    /// What the other side calls it.
    pub reference: Option<String>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Operation {
    pub at: DateTime<Utc>,
    /// `retry` or `settle`.
    pub operation: String,
    pub number: Option<i16>,
    pub before: Option<String>,
    pub after: Option<String>,
    pub actor: String,
    pub source: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Hold {
    pub tenant_id: i64,
    /// `None`: all of the tenant.
    pub campaign_id: Option<i64>,
    pub reason: String,
    pub since: DateTime<Utc>,
}

/// What became of one message that was to be sent again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Retried {
    pub id: Uuid,
    pub became: Became,
    /// How it stood. `None`: there is no such message.
    pub state: Option<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum Became {
    Due,
    /// It is on its way by itself; nothing was changed.
    AlreadyDue,
    /// As it stands it is not sent again.
    Refused,
    Missing,
}

/// How an uncertain attempt is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The other side has it.
    Sent,
    /// It has not, and is not to get it.
    Failed,
    /// It is to be sent, on the risk that it arrives twice.
    Resend,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Resend => "resend",
        }
    }
}

/// How a message stands after somebody settled it, or wanted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct Settled {
    /// By this. False: it was not uncertain any more, or never was.
    pub changed: bool,
    pub state: State,
    /// Of the attempt that was settled, and how, by whom and when. `None`: its last one never was.
    pub number: Option<i16>,
    pub settled_as: Option<String>,
    pub settled_by: Option<String>,
    pub settled_at: Option<DateTime<Utc>>,
}

/// Attempts that have begun and have no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
pub struct UnderWay {
    pub attempts: i64,
    /// The queue was long, and not all of it was looked at: there may be more.
    pub whole: bool,
}
